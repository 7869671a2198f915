"""What is done while an append holds the lock that other writers wait for."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer import Memory
from remembrancer.adapters.stores.postgres.read_models import PostgresReadModels
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.sqlite.audit_log import MANY, SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.read_models import SqliteReadModels
from remembrancer.adapters.stores.sqlite.writer import MAX_GROUP, _group, _Job
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.events import EventId, MessageObserved
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.recall import analysis
from remembrancer.domain.recorded import (
    Append,
    CorrelationId,
    NewEvent,
    Position,
    chain_hash,
    header_of,
)
from remembrancer.domain.scope import Scope
from remembrancer.wiring.settings import load_settings

BOB: dict[str, Any] = {"user_id": "bob"}
HAN = "".join(map(chr, range(0x4E00, 0x5800)))
CHINESE = "".join(f"{HAN[at : at + 20]}。" for at in range(0, len(HAN), 20))
LATIN = " ".join(f"The parcel number {number} came on a Monday." for number in range(200))
UNPREPARED = 200
"""Characters: speakers, days and slots are not prepared."""


class Watched:
    """Counts the characters that are analysed while an append is applied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.characters = 0
        self._applying = False
        for name in ("_terms", "_cached_terms"):
            monkeypatch.setattr(analysis, name, self._counted(getattr(analysis, name)))
        sync, waiting = SqliteReadModels.apply, PostgresReadModels.apply

        def apply(*arguments: Any) -> None:
            self._applying = True
            try:
                sync(*arguments)
            finally:
                self._applying = False

        async def apply_async(*arguments: Any) -> None:
            self._applying = True
            try:
                await waiting(*arguments)
            finally:
                self._applying = False

        monkeypatch.setattr(SqliteReadModels, "apply", apply)
        monkeypatch.setattr(PostgresReadModels, "apply", apply_async)

    def _counted(self, analyse: Callable[[str], Any]) -> Callable[[str], Any]:
        def call(chunk: str) -> Any:
            if self._applying:
                self.characters += len(chunk)
            return analyse(chunk)

        return call


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


@pytest.mark.parametrize("infer", [True, False])
@pytest.mark.parametrize("text", [CHINESE, LATIN], ids=["Chinese", "Latin"])
def test_texts_are_analysed_before_the_lock_is_taken(
    tmp_path: Path, watched: Watched, text: str, *, infer: bool
) -> None:
    with Memory(tmp_path / "a.db") as memory:
        memory.add(text, infer=infer, **BOB)
        assert watched.characters < UNPREPARED
        assert len(memory.search(text[:20], **BOB)) > 0


@pytest.mark.parametrize("infer", [True, False])
def test_texts_are_analysed_before_postgresql_locks_the_ledger(
    postgres: PostgresSettings, watched: Watched, *, infer: bool
) -> None:
    config = {"audit_log": {"provider": "postgres", "dsn": postgres.dsn, "schema": postgres.schema}}
    with Memory(settings=load_settings(config, environment={})) as memory:
        memory.add(CHINESE, infer=infer, **BOB)
        assert watched.characters < UNPREPARED
        assert len(memory.search(CHINESE[:20], **BOB)) > 0


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_after_the_lock_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, enabled: bool
) -> None:
    # A full collection takes as long as the heap of the application is large: it was measured
    # inside a transaction with 130 ms of its 131 ms.
    inside: list[bool] = []
    original = SqliteReadModels.apply

    def apply(*arguments: Any) -> None:
        inside.append(gc.isenabled())
        original(*arguments)

    monkeypatch.setattr(SqliteReadModels, "apply", apply)
    with Memory(tmp_path / "a.db") as memory:
        before = gc.isenabled()
        try:
            (gc.enable if enabled else gc.disable)()
            memory.add(LATIN, **BOB)
            # Then the choice of the application is as it was
            assert gc.isenabled() is enabled
            memory.add(LATIN, **BOB, infer=False)
        finally:
            (gc.enable if before else gc.disable)()
    assert inside
    assert not any(inside)


class Hashed:
    """Counts the events that are encoded while the log appends, before and in its transaction."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before = self.inside = 0
        self._appending = False
        append, stored = SqliteAuditLog._append, EventCodec.stored

        def appending(*arguments: Any) -> Any:
            self._appending = True
            try:
                return append(*arguments)
            finally:
                self._appending = False

        def counting(codec: EventCodec, event: Append) -> Any:
            if self._appending:
                self.inside += len(event.events)
            else:
                self.before += len(event.events)
            return stored(codec, event)

        monkeypatch.setattr(SqliteAuditLog, "_append", appending)
        monkeypatch.setattr(EventCodec, "stored", counting)


def saying(texts: Sequence[str], ids: Iterator[str]) -> Append:
    return Append(
        ledger=Scope(user_id="bob").ledger,
        events=[
            NewEvent(event_id=EventId(next(ids)), event=observed(text, next(ids))) for text in texts
        ],
        recorded_at=datetime.now(UTC),
        correlation_id=CorrelationId(next(ids)),
        actor="tester",
    )


def observed(text: str, message_id: str) -> MessageObserved:
    message = Message(
        message_id=MessageId(message_id),
        scope=Scope(user_id="bob"),
        role=Role.USER,
        text=text,
        occurred_at=datetime.now(UTC),
    )
    return MessageObserved(message=message)


def test_many_events_are_encoded_and_hashed_before_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = (f"{number:032x}" for number in count(1))
    with closing(Database(SqliteSettings(path=str(tmp_path / "a.db")), [create_log])) as database:
        log = SqliteAuditLog(database)
        hashed = Hashed(monkeypatch)
        log.append(saying(["Hello."] * MANY, ids))
        assert (hashed.before, hashed.inside) == (MANY, 0)


@pytest.mark.parametrize("owner", ["bob", "ann"])
def test_append_that_lost_a_race_is_chained_after_the_winner(tmp_path: Path, owner: str) -> None:
    ids = (f"{number:032x}" for number in count(1))
    with closing(Database(SqliteSettings(path=str(tmp_path / "a.db")), [create_log])) as database:
        log = SqliteAuditLog(database)
        winner = saying(["First."], ids)
        winner = evolve(winner, ledger=Scope(user_id=owner).ledger)

        class Racing(SqliteAuditLog):
            def _chained_ahead(self, append: Append) -> Any:
                made = super()._chained_ahead(append)
                log.append(winner)
                return made

        # When another writer appends between the preparation and the lock
        appended = Racing(database).append(saying(["Hello."] * MANY, ids))
        # Then positions, versions and hashes continue from what it wrote
        written = log.read(Position(0), 2 * MANY)
        assert [item.position for item in written] == list(range(1, MANY + 2))
        assert list(appended.recorded) == written[1:]
        chain = [item for item in written if item.ledger == appended.recorded[0].ledger]
        assert [item.version for item in chain] == list(range(1, len(chain) + 1))
        for before, after in pairwise(chain):
            assert after.previous_hash == before.hash
        assert all(
            chain_hash(
                item.previous_hash,
                header_of(
                    handle=item.handle,
                    version=item.version,
                    event_id=item.event_id,
                    recorded_at=to_microseconds(item.recorded_at),
                    correlation_id=item.correlation_id,
                    causation_id=item.causation_id,
                    actor=item.actor,
                    type_name=item.type_name,
                    schema_version=item.schema_version,
                ),
                item.payload_digest,
            )
            == item.hash
            for item in chain
        )


def test_facts_of_a_document_are_not_written_again_when_more_is_said(tmp_path: Path) -> None:
    with Memory(tmp_path / "a.db") as memory, sqlite3.connect(tmp_path / "a.db") as file:
        memory.add(LATIN, **BOB)
        (written,) = file.execute("SELECT revision FROM index_ledger").fetchone()
        memory.add("Hello!", **BOB)
        touched = file.execute(
            "SELECT count(*) FROM index_document WHERE touched > ?", (written,)
        ).fetchone()
        assert touched == (0,)


@pytest.mark.parametrize("text", [CHINESE, LATIN], ids=["Chinese", "Latin"])
def test_terms_in_the_index_grow_with_the_text_and_not_with_its_square(
    tmp_path: Path, text: str
) -> None:
    def terms(length: int) -> int:
        path = tmp_path / f"{length}.db"
        with Memory(path) as memory, sqlite3.connect(path) as file:
            memory.add(text[:length], **BOB)
            (size,) = file.execute(
                "SELECT sum(length(text_terms) + length(context_terms)) FROM index_document"
            ).fetchone()
        return int(size)

    assert terms(len(text)) < 3 * terms(len(text) // 2)


def test_writes_of_a_group_are_bounded_by_their_events() -> None:
    sizes = (1, MAX_GROUP - 1, 1, 10 * MAX_GROUP)
    queue = [_Job(lambda connection: None, units) for units in sizes]
    groups = []
    while queue:
        groups.append([job.units for job in _group(queue)])
        queue = queue[len(groups[-1]) :]
    assert groups == [[1, MAX_GROUP - 1], [1], [10 * MAX_GROUP]]
