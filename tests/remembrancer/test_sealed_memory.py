"""A memory with an encrypted log: opening it with and without its vault, and destroying keys."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from inspect import signature
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
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.application.audit.health_report import Finding
from remembrancer.doctor import examine
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.errors import Erased, IntegrityError, InvalidRequest
from remembrancer.domain.recorded import Head, Position, chain_hash, header_of, payload_digest
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import append_of, fact_added
from remembrancer.wiring.settings import load_settings

pytestmark = pytest.mark.slow

ANN = LedgerId("user:ann")
MASTER_KEY = "0f" * 32


@frozen
class Place:
    """An encrypted log in a file or a schema, and its vault in a file."""

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


# With the right vault


def test_memory_works_with_an_encrypted_log(place: Place) -> None:
    fill(place)
    with place.open() as memory:
        assert texts(memory) == ["I like tea.", "I live in Berlin now."]
        found = memory.search("Where do I live?", user_id="ann")
        assert found[0].fact.text == "I live in Berlin now."
        receipt = memory.add("I have a dog.", user_id="ann", idempotency_key="once")
        again = memory.add("I have a dog.", user_id="ann", idempotency_key="once")
        assert (again.replayed, again.verdicts) == (True, receipt.verdicts)
        assert memory.verify().ok


def test_read_models_are_rebuilt_from_an_encrypted_log(place: Place) -> None:
    fill(place)
    with place.open(embedder={"dimension": 64}) as memory:
        memory.rebuild("read_models")
        assert texts(memory) == ["I like tea.", "I live in Berlin now."]
        assert memory.verify().ok


def test_async_memory_works_with_an_encrypted_log(place: Place) -> None:
    async def run() -> list[str]:
        settings = load_settings(place.config(), environment={})
        async with await AsyncMemory.open(settings=settings) as memory:
            await asyncio.gather(
                *(memory.add(f"I like tea number {n}.", user_id=f"u{n}") for n in range(8))
            )
            assert (await memory.verify()).ok
            return [fact.text for fact in (await memory.get_all(user_id="u3")).facts]

    assert asyncio.run(run()) == ["I like tea number 3."]


def test_events_from_before_the_vault_stay_readable(place: Place) -> None:
    with place.open(key_vault="none") as memory:
        memory.add("I live in Paris.", user_id="ann")
    with place.open() as memory:
        memory.add("I like tea.", user_id="ann")
    with place.open(embedder={"dimension": 64}) as memory:
        memory.rebuild("read_models")
        assert texts(memory) == ["I live in Paris.", "I like tea."]
        assert memory.verify().ok


def test_in_memory_vault_works_with_an_in_memory_log() -> None:
    with Memory.from_config({"audit_log": "memory", "key_vault": "memory"}) as memory:
        memory.add("I like tea.", user_id="ann")
        assert texts(memory) == ["I like tea."]


# Without the right vault


def test_encrypted_log_is_not_opened_without_a_vault(place: Place) -> None:
    fill(place)
    for changes in ({}, {"embedder": {"dimension": 64}}):
        with pytest.raises(InvalidRequest, match=r"key_vault\.provider: is none, but position"):
            place.open(key_vault="none", **changes)
    with place.open() as memory:
        assert memory.verify().ok


def test_encrypted_log_is_not_opened_with_another_vault(place: Place) -> None:
    fill(place)
    other = {"provider": "sqlite", "path": f"{place.keys}.other"}
    with pytest.raises(Erased, match=r"user:\w+: position \d+: the vault has no key"):
        place.open(key_vault=other)
    with place.open() as memory:
        assert memory.verify().ok


def test_encrypted_log_is_not_opened_with_another_master_key(place: Place) -> None:
    vault = {"provider": "sqlite", "path": str(place.keys)}
    with place.open(key_vault={**vault, "master_key": MASTER_KEY}) as memory:
        memory.add("I like tea.", user_id="ann")
    for wrong in ({"master_key": "00" * 32}, {}):
        with pytest.raises(InvalidRequest, match=r"key_vault\.master_key"):
            place.open(key_vault={**vault, **wrong})


# When a key is destroyed


def test_destroyed_key_does_not_affect_other_ledgers(place: Place) -> None:
    # Given a ledger whose key has been destroyed
    fill(place)
    place.destroy(ANN)
    # When the read models are rebuilt
    with place.open(embedder={"dimension": 64}) as memory:
        memory.rebuild("read_models")
        # Then its facts are gone, and all other facts are unchanged
        assert texts(memory) == []
        assert texts(memory, "bob") == ["I have a cat."]
        assert memory.verify().ok
        with pytest.raises(Erased, match="user:ann"):
            memory.add("I like tea.", user_id="ann")
        memory.add("I have a dog.", user_id="bob")
        assert texts(memory, "bob") == ["I have a cat.", "I have a dog."]
        assert memory.retry().failures == ()


def test_request_with_a_destroyed_key_is_not_replayed_as_empty(
    place: Place,
) -> None:
    with place.open() as memory:
        memory.add("I like tea.", user_id="ann", idempotency_key="once")
        place.destroy(ANN)
        with pytest.raises(Erased, match=r"user:ann: position 1"):
            memory.add("I like tea.", user_id="ann", idempotency_key="once")


def test_verify_reports_read_models_that_still_hold_destroyed_payloads(file: Place) -> None:
    fill(file)
    file.destroy(ANN)
    with file.open() as memory:
        faults = memory.verify().faults
    assert faults
    assert {fault.ledger for fault in faults} <= {"user:ann", None}
    assert {fault.kind for fault in faults} == {"row-surplus"}


# Tampering


@pytest.fixture
def log_alone(tmp_path: Path) -> Iterator[tuple[SqliteAuditLog, Path]]:
    """A log without read models: these would store plain text."""
    folder = tmp_path / "log"
    folder.mkdir()
    database = Database(SqliteSettings(path=str(folder / "log.db")), [create_log])
    yield SqliteAuditLog(database, SealingCodec(InMemoryKeyVault())), folder
    database.close()


def test_log_folder_contains_no_plain_text(
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


def test_verify_reports_a_flipped_bit(file: Place) -> None:
    fill(file)
    with closing(sqlite3.connect(file.log["path"])) as connection, connection:
        (payload,) = connection.execute("SELECT payload FROM event WHERE position = 2").fetchone()
        changed = payload[:-1] + bytes([payload[-1] ^ 1])
        connection.execute("UPDATE event SET payload = ? WHERE position = 2", (changed,))
    with file.open() as memory:
        first = memory.verify().first
    assert first is not None
    assert (first.kind, first.position) == ("payload-changed", 2)


def test_moved_payload_is_refused_even_with_a_recomputed_chain(
    log_alone: tuple[SqliteAuditLog, Path],
) -> None:
    # Given two encrypted events of a ledger
    log, folder = log_alone
    log.append(append_of([fact_added("one"), fact_added("two")]))
    first, second = log.read(Position(0))
    # When the first one's payload is copied to the second, and digest, hash and head are recomputed
    digest = payload_digest(second.salt, first.payload)
    names = (
        "handle", "version", "event_id", "correlation_id", "causation_id", "actor", "type_name",
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
    # Then the chain is valid, but decryption fails
    assert log.head(first.ledger) == Head(
        version=2, hash=hashed, recorded_at=second.recorded_at, handle=second.handle
    )
    with pytest.raises(IntegrityError, match=r"position 2: the sealed fact\.added of user:alice"):
        log.read(Position(0))


def test_plain_payload_after_sealed_ones_is_reported_even_with_a_recomputed_chain(
    file: Place, tmp_path: Path
) -> None:
    with file.open() as memory:
        memory.add("I like tea.", user_id="ann")
        memory.add("I like coffee.", user_id="ann")
    # When the last payload is replaced by its decrypted document, and the chain recomputed
    with (
        closing(SqliteKeyVault(SqliteVaultSettings(path=str(file.keys)))) as vault,
        closing(Database(SqliteSettings(path=file.log["path"]), SCHEMA_VERSIONS)) as database,
    ):
        codec = SealingCodec(vault)
        last = SqliteAuditLog(database, codec).read_ledger(ANN)[-1]
    document = codec.encode(last.event)
    digest = payload_digest(last.salt, document)
    fields: dict[str, Any] = {
        name: getattr(last, name) for name in signature(header_of).parameters
    } | {"recorded_at": to_microseconds(last.recorded_at)}
    hashed = chain_hash(last.previous_hash, header_of(**fields), digest)
    with closing(sqlite3.connect(file.log["path"])) as connection, connection:
        connection.execute(
            "UPDATE event SET payload = ?, payload_digest = ?, hash = ? WHERE position = ?",
            (document, digest, hashed, last.position),
        )
        connection.execute("UPDATE ledger SET hash = ?", (hashed,))
    # Then
    with file.open() as memory:
        (fault,) = memory.verify().faults
        assert (fault.kind, fault.ledger, fault.position) == ("unsealed", "user:ann", last.position)


# Settings


def test_in_memory_vault_is_refused_for_a_durable_log(file: Place) -> None:
    with pytest.raises(InvalidRequest, match=r"key_vault\.provider: memory loses its keys"):
        load_settings(file.config(key_vault="memory"), environment={})


def test_vault_with_async_methods_is_refused() -> None:
    class Suspending(InMemoryKeyVault):
        async def key(self, ledger: LedgerId) -> bytes:  # type: ignore[override]
            return bytes(32)

    settings = load_settings({"audit_log": "memory"}, environment={})
    with pytest.raises(InvalidRequest, match=r"Suspending lacks a plain key\(\)"):
        Memory(settings=settings, overrides={"key_vault": Suspending()})


def test_vault_override_replaces_the_configured_vault_and_is_not_closed(
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


def test_vault_path_setting_is_required() -> None:
    with pytest.raises(InvalidRequest, match=r"key_vault.*path"):
        load_settings({"key_vault": "sqlite"}, environment={})


def test_environment_variables_configure_the_vault(tmp_path: Path) -> None:
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


def test_doctor_reports_the_vault_and_its_number_of_keys(place: Place) -> None:
    fill(place)
    place.destroy(LedgerId("user:bob"))
    finding = examined(place.config())["key_vault"]
    assert finding.problems == ()
    assert finding.provider == "sqlite"
    assert str(place.keys) in (finding.engine or "")
    assert finding.details["keys"] == 1


def test_doctor_does_not_create_a_vault(file: Place) -> None:
    finding = examined(file.config())["key_vault"]
    assert (finding.problems, finding.details) == ((), {"keys": 0})
    assert not file.keys.exists()


def test_doctor_reports_an_encrypted_log_without_a_vault(place: Place) -> None:
    fill(place)
    found = examined(place.config(key_vault="none"))
    assert found["key_vault"].problems == ()
    assert "correct key_vault.provider" in trouble(found["audit_log"])


def test_doctor_reports_a_vault_of_another_log(place: Place) -> None:
    fill(place)
    other = {"provider": "sqlite", "path": f"{place.keys}.other"}
    found = examined(place.config(key_vault=other))
    assert "the vault has no key" in trouble(found["audit_log"])


def test_doctor_reports_a_wrong_master_key_and_prints_none(file: Place) -> None:
    right = {"provider": "sqlite", "path": str(file.keys), "master_key": MASTER_KEY}
    with file.open(key_vault=right) as memory:
        memory.add("I like tea.", user_id="ann")
    wrong = "ab" * 32
    findings = examined(file.config(key_vault={**right, "master_key": wrong}))
    assert "correct key_vault.master_key" in trouble(findings["key_vault"])
    assert wrong not in str(findings)
    assert MASTER_KEY not in str(findings)
