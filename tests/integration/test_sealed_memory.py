"""A memory whose log is sealed: opening it with and without its vault, and what outlives a key."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from remembrancer import AsyncMemory, Memory
from remembrancer.adapters.key_vault.memory import InMemoryKeyVault
from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault, SqliteVaultSettings
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.application.audit.health_report import Finding
from remembrancer.doctor import examine
from remembrancer.domain.errors import Erased, IntegrityError, InvalidRequest
from remembrancer.domain.recorded import Head, Position, chain_hash, header_of, payload_digest
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import append_of, fact_added
from remembrancer.wiring.settings import load_settings

ANN = LedgerId("user:ann")
MASTER_KEY = "0f" * 32


@frozen
class Place:
    """A sealed log in a file or a schema, and its vault in a file."""

    log: dict[str, Any]
    keys: Path

    def config(self, **changes: Any) -> dict[str, Any]:
        vault = {"provider": "sqlite", "path": str(self.keys)}
        return {"audit_log": self.log, "key_vault": vault, **changes}

    def open(self, **changes: Any) -> Memory:
        return Memory(settings=load_settings(self.config(**changes), environment={}))

    def destroy(self, ledger: LedgerId) -> None:
        with closing(SqliteKeyVault(SqliteVaultSettings(path=str(self.keys)))) as vault:
            vault.destroy(ledger)


@pytest.fixture
def file(tmp_path: Path) -> Place:
    return Place({"path": str(tmp_path / "app.db")}, tmp_path / "keys.db")


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place({"path": str(tmp_path / "app.db")}, tmp_path / "keys.db")
    settings = request.getfixturevalue("postgres")
    log = {name: getattr(settings, name) for name in ("dsn", "schema", "partitions")}
    return Place({"provider": "postgres", **log}, tmp_path / "keys.db")


def texts(memory: Memory, user: str = "ann") -> list[str]:
    return [fact.text for fact in memory.get_all(user_id=user, order="created_at").facts]


def fill(place: Place) -> None:
    with place.open() as memory:
        memory.add("I live in Paris. I like tea.", user_id="ann")
        memory.add("I live in Berlin now.", user_id="ann")
        memory.add("I have a cat.", user_id="bob")


# With its vault


def test_all_that_a_memory_does_it_does_sealed(place: Place) -> None:
    fill(place)
    with place.open() as memory:
        assert texts(memory) == ["I like tea.", "I live in Berlin now."]
        found = memory.search("Where do I live?", user_id="ann")
        assert found[0].fact.text == "I live in Berlin now."
        receipt = memory.add("I have a dog.", user_id="ann", idempotency_key="once")
        again = memory.add("I have a dog.", user_id="ann", idempotency_key="once")
        assert (again.replayed, again.verdicts) == (True, receipt.verdicts)
        assert memory.verify().ok


def test_read_models_are_made_again_from_what_is_sealed(place: Place) -> None:
    fill(place)
    with place.open(embedder={"dimension": 64}) as memory:
        assert texts(memory) == ["I like tea.", "I live in Berlin now."]
        assert memory.verify().ok


def test_in_a_loop_it_is_sealed_as_well(place: Place) -> None:
    async def run() -> list[str]:
        settings = load_settings(place.config(), environment={})
        async with await AsyncMemory.open(settings=settings) as memory:
            await asyncio.gather(
                *(memory.add(f"I like tea number {n}.", user_id=f"u{n}") for n in range(8))
            )
            assert (await memory.verify()).ok
            return [fact.text for fact in (await memory.get_all(user_id="u3")).facts]

    assert asyncio.run(run()) == ["I like tea number 3."]


def test_a_vault_that_is_chosen_later_leaves_what_was_before_as_it_is(place: Place) -> None:
    with place.open(key_vault="none") as memory:
        memory.add("I live in Paris.", user_id="ann")
    with place.open() as memory:
        memory.add("I like tea.", user_id="ann")
    with place.open(embedder={"dimension": 64}) as memory:
        assert texts(memory) == ["I live in Paris.", "I like tea."]
        assert memory.verify().ok


def test_a_vault_in_memory_goes_with_a_log_in_memory() -> None:
    with Memory.from_config({"audit_log": "memory", "key_vault": "memory"}) as memory:
        memory.add("I like tea.", user_id="ann")
        assert texts(memory) == ["I like tea."]


# Without it


def test_a_sealed_log_is_not_opened_without_a_vault(place: Place) -> None:
    fill(place)
    for changes in ({}, {"embedder": {"dimension": 64}}):
        with pytest.raises(InvalidRequest, match=r"key_vault\.provider: is none, but position"):
            place.open(key_vault="none", **changes)
    with place.open() as memory:
        assert memory.verify().ok


def test_a_sealed_log_is_not_opened_with_the_vault_of_another(place: Place) -> None:
    fill(place)
    other = {"provider": "sqlite", "path": f"{place.keys}.other"}
    with pytest.raises(Erased, match=r"user:\w+: position \d+: the vault has no key"):
        place.open(key_vault=other)
    with place.open() as memory:
        assert memory.verify().ok


def test_a_sealed_log_is_not_opened_under_another_master_key(place: Place) -> None:
    vault = {"provider": "sqlite", "path": str(place.keys)}
    with place.open(key_vault={**vault, "master_key": MASTER_KEY}) as memory:
        memory.add("I like tea.", user_id="ann")
    for wrong in ({"master_key": "00" * 32}, {}):
        with pytest.raises(InvalidRequest, match=r"key_vault\.master_key"):
            place.open(key_vault={**vault, **wrong})


# When a key is destroyed


def test_what_was_destroyed_keeps_nobody_else_from_anything(place: Place) -> None:
    # Given a ledger whose key has been destroyed
    fill(place)
    place.destroy(ANN)
    # When read models are made again, as from a copy of the log
    with place.open(embedder={"dimension": 64}) as memory:
        # Then its facts are in none of them, and all else is as it was
        assert texts(memory) == []
        assert texts(memory, "bob") == ["I have a cat."]
        assert memory.verify().ok
        with pytest.raises(Erased, match="user:ann"):
            memory.add("I like tea.", user_id="ann")
        memory.add("I have a dog.", user_id="bob")
        assert texts(memory, "bob") == ["I have a cat.", "I have a dog."]
        assert memory.retry().failures == ()


def test_a_request_whose_words_were_destroyed_is_not_replayed_as_if_it_had_been_empty(
    place: Place,
) -> None:
    with place.open() as memory:
        memory.add("I like tea.", user_id="ann", idempotency_key="once")
        place.destroy(ANN)
        with pytest.raises(Erased, match=r"user:ann: position 1"):
            memory.add("I like tea.", user_id="ann", idempotency_key="once")


def test_verify_says_which_read_models_still_hold_what_was_destroyed(file: Place) -> None:
    fill(file)
    file.destroy(ANN)
    with file.open() as memory:
        problems = memory.verify().problems
    assert problems
    assert all(problem.startswith("user:ann: the ") for problem in problems)


# Being tampered with


@pytest.fixture
def log_alone(tmp_path: Path) -> Iterator[tuple[SqliteAuditLog, Path]]:
    """A log without read models, which would hold what it says in plain text."""
    folder = tmp_path / "log"
    folder.mkdir()
    database = Database(SqliteSettings(path=str(folder / "log.db")), [create_log])
    yield SqliteAuditLog(database, SealingCodec(InMemoryKeyVault())), folder
    database.close()


def test_of_what_was_said_nothing_is_in_the_file_or_beside_it(
    log_alone: tuple[SqliteAuditLog, Path],
) -> None:
    log, folder = log_alone
    for number in range(20):
        log.append(append_of([fact_added(f"wardrobe number {number} is full of zebras")]))
    written = b"".join(each.read_bytes() for each in folder.iterdir())
    assert b"fact.added" in written
    assert b"zebras" not in written
    assert b"wardrobe" not in written
    assert len(log.read(Position(0))) == 20


def test_verify_tells_a_bit_that_was_flipped(file: Place) -> None:
    fill(file)
    with closing(sqlite3.connect(file.log["path"])) as connection, connection:
        (payload,) = connection.execute("SELECT payload FROM event WHERE position = 2").fetchone()
        changed = payload[:-1] + bytes([payload[-1] ^ 1])
        connection.execute("UPDATE event SET payload = ? WHERE position = 2", (changed,))
    with file.open() as memory:
        problems = memory.verify().problems
    assert any("position 2" in problem for problem in problems)


def test_a_seal_moved_to_another_event_is_refused_though_the_chain_was_made_anew(
    log_alone: tuple[SqliteAuditLog, Path],
) -> None:
    # Given two sealed events of a ledger
    log, folder = log_alone
    log.append(append_of([fact_added("one"), fact_added("two")]))
    first, second = log.read(Position(0))
    # When somebody puts the first one's seal into the second, and makes digest, hash and head anew
    digest = payload_digest(second.salt, first.payload)
    names = (
        "ledger", "version", "event_id", "correlation_id", "causation_id", "actor", "type_name",
        "schema_version",
    )  # fmt: skip
    fields: dict[str, Any] = {name: getattr(second, name) for name in names}
    moment = int(second.recorded_at.timestamp()) * 1_000_000
    hashed = chain_hash(first.hash, header_of(recorded_at=moment, **fields), digest)
    with closing(sqlite3.connect(folder / "log.db")) as connection, connection:
        connection.execute(
            "UPDATE event SET payload = ?, payload_digest = ?, hash = ? WHERE position = 2",
            (first.payload, digest, hashed),
        )
        connection.execute("UPDATE ledger SET hash = ?", (hashed,))
    # Then the key tells what the chain can't
    assert log.head(first.ledger) == Head(version=2, hash=hashed, recorded_at=second.recorded_at)
    with pytest.raises(IntegrityError, match=r"position 2: the sealed fact\.added of user:alice"):
        log.read(Position(0))


# Choosing one


def test_a_vault_that_forgets_is_refused_for_a_log_that_does_not(file: Place) -> None:
    with pytest.raises(InvalidRequest, match=r"key_vault\.provider: memory forgets its keys"):
        load_settings(file.config(key_vault="memory"), environment={})


def test_a_vault_whose_methods_would_suspend_is_refused() -> None:
    class Suspending(InMemoryKeyVault):
        async def key(self, ledger: LedgerId) -> bytes:  # type: ignore[override]
            return bytes(32)

    settings = load_settings({"audit_log": "memory"}, environment={})
    with pytest.raises(InvalidRequest, match=r"Suspending lacks a plain key\(\)"):
        Memory(settings=settings, overrides={"key_vault": Suspending()})


def test_a_vault_of_ones_own_takes_the_place_of_the_configured_one_and_is_not_closed(
    file: Place,
) -> None:
    class Closed(InMemoryKeyVault):
        closed = False

        def close(self) -> None:
            self.closed = True

    vault = Closed()
    settings = load_settings({"audit_log": file.log}, environment={})
    for words in ("I like tea.", "I have a cat."):
        with Memory(settings=settings, overrides={"key_vault": vault}) as memory:
            memory.add(words, user_id="ann")
            assert memory.verify().ok
    assert (vault.held(), vault.closed) == (1, False)


def test_the_path_is_a_setting_that_has_to_be_given() -> None:
    with pytest.raises(InvalidRequest, match=r"key_vault.*path"):
        load_settings({"key_vault": "sqlite"}, environment={})


def test_variables_choose_a_vault(tmp_path: Path) -> None:
    settings = load_settings(
        environment={
            "REMEMBRANCER_KEY_VAULT": "sqlite",
            "REMEMBRANCER_KEY_VAULT__PATH": str(tmp_path / "keys.db"),
            "REMEMBRANCER_KEY_VAULT__MASTER_KEY": MASTER_KEY,
        }
    )
    assert settings.key_vault.settings.master_key == MASTER_KEY
    assert MASTER_KEY not in repr(settings)


# The doctor


def examined(config: dict[str, Any]) -> dict[str, Finding]:
    return {finding.part: finding for finding in examine(config, environment={}).findings}


def trouble(finding: Finding) -> str:
    return "; ".join(f"{each.what} -> {each.advice}" for each in finding.problems)


def test_the_doctor_tells_the_vault_and_how_many_keys_it_holds(place: Place) -> None:
    fill(place)
    place.destroy(LedgerId("user:bob"))
    finding = examined(place.config())["key_vault"]
    assert finding.problems == ()
    assert finding.provider == "sqlite"
    assert str(place.keys) in (finding.engine or "")
    assert finding.details["keys"] == 1


def test_the_doctor_makes_no_vault(file: Place) -> None:
    finding = examined(file.config())["key_vault"]
    assert (finding.problems, finding.details) == ((), {"keys": 0})
    assert not file.keys.exists()


def test_the_doctor_tells_a_log_that_is_sealed_and_has_no_vault(place: Place) -> None:
    fill(place)
    found = examined(place.config(key_vault="none"))
    assert found["key_vault"].problems == ()
    assert "set key_vault.provider right" in trouble(found["audit_log"])


def test_the_doctor_tells_the_vault_of_another(place: Place) -> None:
    fill(place)
    other = {"provider": "sqlite", "path": f"{place.keys}.other"}
    found = examined(place.config(key_vault=other))
    assert "the vault has no key" in trouble(found["audit_log"])


def test_the_doctor_tells_a_master_key_that_is_wrong_and_prints_neither(file: Place) -> None:
    right = {"provider": "sqlite", "path": str(file.keys), "master_key": MASTER_KEY}
    with file.open(key_vault=right) as memory:
        memory.add("I like tea.", user_id="ann")
    wrong = "ab" * 32
    findings = examined(file.config(key_vault={**right, "master_key": wrong}))
    assert "set key_vault.master_key right" in trouble(findings["key_vault"])
    assert wrong not in str(findings)
    assert MASTER_KEY not in str(findings)
