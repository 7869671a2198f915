"""Tests of audit logs with encrypted payloads, for every log; not in ``AuditLogContract``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import frozen
from remembrancer_jsonlines.log import JsonLinesLog

from remembrancer.adapters.key_vault.memory import InMemoryKeyVault
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.audit_log import create_log as create_postgres_log
from remembrancer.adapters.stores.postgres.database import Database as PostgresDatabase
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.domain.audit.recorded_chain import faults_of
from remembrancer.domain.errors import Erased, InvalidRequest
from remembrancer.domain.events import FactErased, LedgerErased, PayloadErased
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.recorded import Position, is_sealed, readable
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import ALICE, BOB, append_of, fact_added, new_id
from remembrancer.testing.driving import Driven


@frozen
class Store:
    """Storage of a log; ``open`` opens a log there with a codec."""

    open: Callable[[EventCodec], Any]

    def log(self, codec: EventCodec) -> Any:
        return Driven(self.open(codec))


@pytest.fixture(params=["sqlite", "postgres", "jsonlines", "memory"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Every store; the in-memory one cannot be opened twice."""
    with ExitStack() as closing:
        if request.param == "memory":
            yield Store(InMemoryAuditLog)
            return
        if request.param == "postgres":
            database = PostgresDatabase(
                request.getfixturevalue("postgres"), [create_postgres_log], blocking=True
            )
            closing.callback(database.close)
            yield Store(lambda codec: PostgresAuditLog(database.sessions, codec))
            return
        path = str(request.getfixturevalue("tmp_path") / "log")
        if request.param == "sqlite":
            file = Database(SqliteSettings(path=path), [create_log])
            closing.callback(file.close)
            yield Store(lambda codec: SqliteAuditLog(file, codec))
            return
        opened: list[JsonLinesLog] = []
        closing.callback(lambda: [log.close() for log in opened])

        def alone(codec: EventCodec) -> JsonLinesLog:
            while opened:
                opened.pop().close()
            opened.append(JsonLinesLog(path, codec))
            return opened[-1]

        yield Store(alone)


@pytest.fixture
def lasting(request: pytest.FixtureRequest, store: Store) -> Store:
    """Every store that can be opened again with another codec."""
    if store.open is InMemoryAuditLog:
        pytest.skip("cannot be opened again")
    return store


@pytest.fixture
def vault() -> InMemoryKeyVault:
    return InMemoryKeyVault()


@pytest.fixture
def log(store: Store, vault: InMemoryKeyVault) -> Any:
    return store.log(SealingCodec(vault))


def faults_in(log: Any, ledger: LedgerId) -> list[str]:
    """The faults in the hash chain of a ledger."""
    return [str(fault) for fault in faults_of(log.read_ledger(ledger))]


def test_stored_payload_is_sealed_and_read_event_is_plain(log: Any) -> None:
    event = fact_added("The cat sleeps in the wardrobe.")
    log.append(append_of([event]))
    (read,) = log.read(Position(0))
    assert read.event == event
    assert is_sealed(read.payload)
    assert b"wardrobe" not in read.payload


def test_equal_events_are_sealed_with_different_nonces(log: Any) -> None:
    event = fact_added()
    log.append(append_of([event, event]))
    one, two = log.read(Position(0))
    assert one.event == two.event
    assert one.payload[1:13] != two.payload[1:13]


def test_erasure_events_are_not_sealed(log: Any, vault: InMemoryKeyVault) -> None:
    erased = FactErased(fact_id=FactId(new_id()), versions=(1,))
    log.append(append_of([erased, fact_added()]))
    # The key is destroyed before the erasure event is appended
    vault.destroy(ALICE)
    log.append(append_of([LedgerErased()]))
    first, second, third = log.read_ledger(ALICE)
    assert [is_sealed(item.payload) for item in (first, second, third)] == [False, True, False]
    assert (first.event, second.event, third.event) == (erased, PayloadErased(), LedgerErased())


class TestLedgerWithDestroyedKey:
    @pytest.fixture(autouse=True)
    def _written(self, log: Any, vault: InMemoryKeyVault) -> None:
        """Given two ledgers, one of them with a destroyed key."""
        self.request = new_id()
        self.append = append_of(
            [fact_added("one"), fact_added("two")], idempotency_key="k", correlation_id=self.request
        )
        log.append(self.append)
        log.append(append_of([fact_added("three", "bob")], ledger=BOB))
        vault.destroy(ALICE)

    def test_read_returns_its_events_as_erased(self, log: Any) -> None:
        events = [item.event for item in log.read(Position(0))]
        assert [isinstance(event, PayloadErased) for event in events] == [True, True, False]
        assert events[2].text == "three"

    def test_readable_raises_erased_for_its_events(self, log: Any) -> None:
        for read in (
            log.read_ledger(ALICE),
            log.read_correlation(self.request),
            log.find_request(ALICE, "k"),
        ):
            assert [item.version for item in read] == [1, 2]
            with pytest.raises(Erased, match=r"user:alice: position 1: .*fact\.added was erased"):
                readable(read)

    def test_its_hash_chain_is_still_valid(self, log: Any) -> None:
        assert faults_in(log, ALICE) == []
        assert faults_in(log, BOB) == []

    def test_append_to_it_raises_erased(self, log: Any) -> None:
        before = log.head(ALICE)
        with pytest.raises(Erased, match="user:alice"):
            log.append(append_of([fact_added()]))
        assert (log.head(ALICE), log.last_position()) == (before, 3)
        log.append(append_of([fact_added(user="bob")], ledger=BOB))
        assert log.last_position() == 4

    def test_repeated_idempotency_key_is_replayed_with_erased_events(self, log: Any) -> None:
        again = log.append(self.append)
        assert again.replayed
        assert [item.event for item in again.recorded] == [PayloadErased(), PayloadErased()]

    def test_append_with_a_known_event_id_raises_erased(self, log: Any) -> None:
        again = append_of([fact_added()], correlation_id=self.request)
        object.__setattr__(again.events[0], "event_id", self.append.events[0].event_id)
        with pytest.raises(Erased, match="user:alice"):
            log.append(again)
        assert log.last_position() == 3


def test_vault_can_be_added_to_a_log_with_plain_events(
    lasting: Store, vault: InMemoryKeyVault
) -> None:
    # Given an event stored unencrypted
    events = [fact_added("plain"), fact_added("sealed")]
    lasting.log(EventCodec()).append(append_of(events[:1]))
    # When a vault is configured
    log = lasting.log(SealingCodec(vault))
    log.append(append_of(events[1:]))
    # Then both are read, and the chain is valid
    read = log.read(Position(0))
    assert [item.event for item in read] == events
    assert [is_sealed(item.payload) for item in read] == [False, True]
    assert faults_in(log, ALICE) == []
    # And the unencrypted event is still readable after the key is destroyed
    vault.destroy(ALICE)
    assert [item.event for item in log.read(Position(0))] == [events[0], PayloadErased()]


def test_reading_sealed_events_without_a_vault_names_the_setting(
    lasting: Store, vault: InMemoryKeyVault
) -> None:
    lasting.log(SealingCodec(vault)).append(append_of([fact_added()]))
    with pytest.raises(InvalidRequest, match=r"key_vault\.provider: .*position 1 of user:alice"):
        lasting.log(EventCodec()).read(Position(0))


def test_reading_without_the_key_names_ledger_and_position(
    lasting: Store, vault: InMemoryKeyVault
) -> None:
    lasting.log(SealingCodec(vault)).append(append_of([fact_added()]))
    with pytest.raises(Erased, match=r"user:alice: position 1: the vault has no key"):
        lasting.log(SealingCodec(InMemoryKeyVault())).read(Position(0))
