"""The log against ``eventsourcing``: appends and replays per second, both on SQLite.

Both write the same typed event (``FactAdded``, about 300 bytes of JSON, the text of a chat turn) to
files in WAL mode, with an optimistic version check, one or a hundred per transaction: with
``synchronous=FULL`` (acknowledged events survive power loss) and with ``NORMAL``. Ours also
computes salts, digests and a hash chain, and indexes event ids and correlation ids;
``eventsourcing`` has none of these. It is used as its manual describes: a command of an aggregate
for every event, ``app.save(aggregate)`` for every transaction, and transcodings for the value
objects in the event. Two variants give it less to do: events created directly and saved without an
aggregate, and value objects left as plain dictionaries.

Replay returns typed events: ours by ``read`` (all events by position) and ``read_ledger``, with
envelopes; theirs by ``notification_log.select`` and ``events.get``, through its mapper. Both read
pages of 100, which is faster for both than 1,000: most events are freed before Python's garbage
collector has seen them twice.

**The limit.** An append that survives power loss waits for one flush. The floor, measured in turns
with the two, is one write of 4 KiB and an ``fdatasync``. In batches, and with ``NORMAL``, the limit
is the work itself: ``sqlite3`` inserts some 100,000 rows per second into a table with our three
indexes.

    python -m bench.log
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import uuid_utils
from attrs import asdict
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import JSONTranscoder, Transcoding
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteConnection, SQLiteConnectionPool

from bench.floor import DiskFloor
from bench.report import Row, paired, report
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, Durability, SqliteSettings
from remembrancer.domain.events import EventId, FactAdded
from remembrancer.domain.facts.fact import Evidence, FactId, Interval, MessageId
from remembrancer.domain.recorded import Append, CorrelationId, NewEvent, Position
from remembrancer.domain.scope import SCOPE_IDS, LedgerId, Scope

TEXT = "I went to the pottery class again on Saturday and finished the blue bowl for my sister."
PAGE = 100
LEDGER = LedgerId("user:caroline")
SCOPE = Scope(user_id="caroline")


def new_id() -> str:
    return uuid_utils.uuid7().hex


class Ours:
    """Our log in a separate file."""

    def __init__(self, path: Path, durability: Durability) -> None:
        settings = SqliteSettings(path=str(path), durability=durability)
        self._database = Database(settings, [create_log])
        self._log = SqliteAuditLog(self._database)
        self._version = 0

    def append(self, count: int) -> None:
        """One transaction with ``count`` events."""
        self._log.append(
            Append(
                ledger=LEDGER,
                events=[
                    NewEvent(event_id=EventId(new_id()), event=self._event()) for _ in range(count)
                ],
                recorded_at=datetime.now(UTC),
                correlation_id=CorrelationId(new_id()),
                expected_version=self._version,
            )
        )
        self._version += count

    def _event(self) -> FactAdded:
        return FactAdded(
            fact_id=FactId(new_id()),
            scope=SCOPE,
            text=TEXT,
            evidence=(Evidence(message_id=MessageId(new_id())),),
            speaker="Caroline",
            entities=("Saturday",),
            occurred_at=datetime.now(UTC),
        )

    def replay(self) -> int:
        """All events, by position."""
        count, position = 0, Position(0)
        while page := self._log.read(position, PAGE):
            count, position = count + len(page), page[-1].position
        return count

    def replay_ledger(self) -> int:
        """All events of the ledger, by version."""
        count = 0
        while page := self._log.read_ledger(LEDGER, count, PAGE):
            count += len(page)
        return count

    def close(self) -> None:
        self._database.close()


class Ledger(Aggregate):
    """The aggregate for the same event, as a user of ``eventsourcing`` would write it."""

    @event("FactAdded")
    def add_fact(
        self,
        fact_id: str,
        scope: Any,
        text: str,
        kind: str,
        metadata: dict[str, Any],
        evidence: list[Any],
        speaker: str | None,
        entities: list[str],
        slot: str | None,
        occurred_at: datetime,
        valid: Any,
        expires_at: datetime | None,
        reason: str,
    ) -> None:
        self.newest = fact_id


class ScopeAsDict(Transcoding):
    """Transcoding of ``Scope``, as the manual of ``eventsourcing`` describes."""

    type = Scope
    name = "scope"

    def encode(self, obj: Scope) -> dict[str, str | None]:
        return {name: getattr(obj, name) for name in SCOPE_IDS}

    def decode(self, data: dict[str, str | None]) -> Scope:
        return Scope(**data)


class EvidenceAsDict(Transcoding):
    """Transcoding of ``Evidence``."""

    type = Evidence
    name = "evidence"

    def encode(self, obj: Evidence) -> dict[str, str | None]:
        return {"message_id": obj.message_id, "quote": obj.quote}

    def decode(self, data: dict[str, Any]) -> Evidence:
        return Evidence(**data)


class IntervalAsDict(Transcoding):
    """Transcoding of ``Interval``."""

    type = Interval
    name = "interval"

    def encode(self, obj: Interval) -> dict[str, datetime | None]:
        return {"start": obj.start, "end": obj.end}

    def decode(self, data: dict[str, datetime | None]) -> Interval:
        return Interval(**data)


class App(Application[UUID]):
    log_section_size = PAGE

    def register_transcodings(self, transcoder: JSONTranscoder) -> None:
        super().register_transcodings(transcoder)
        transcoder.register(ScopeAsDict())
        transcoder.register(EvidenceAsDict())
        transcoder.register(IntervalAsDict())


class DurablePool(SQLiteConnectionPool):
    """A pool whose connections have the requested ``synchronous`` setting."""

    durability = Durability.FULL

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        connection.cursor().execute(f"PRAGMA synchronous = {self.durability.value}")
        return connection


class Theirs:
    """``eventsourcing`` in a separate file.

    ``typed``: whether value objects in events are ours, by transcodings, or dictionaries.
    """

    def __init__(self, path: Path, durability: Durability, *, typed: bool = True) -> None:
        self._app = App(
            env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
        )
        recorder = self._app.recorder
        assert isinstance(recorder, SQLiteApplicationRecorder)
        recorder.datastore.close()
        recorder.datastore.pool = pool = DurablePool(db_name=str(path))
        pool.durability = durability
        self._ledger = Ledger()
        self._typed = typed
        self._app.save(self._ledger)
        self._version = self._ledger.version

    def append(self, count: int) -> None:
        """One transaction with ``count`` events, as commands of the aggregate."""
        for _ in range(count):
            self._ledger.add_fact(**self._fields())
        self._app.save(self._ledger)

    def append_bare(self, count: int) -> None:
        """One transaction with ``count`` events created directly, with versions counted here."""
        made: Callable[..., Any] = Ledger.FactAdded  # type: ignore[attr-defined]
        start = self._version + 1
        self._version += count
        self._app.save(
            *(
                made(
                    originator_id=self._ledger.id,
                    originator_version=version,
                    timestamp=datetime.now(UTC),
                    **self._fields(),
                )
                for version in range(start, start + count)
            )
        )

    def _fields(self) -> dict[str, Any]:
        evidence = Evidence(message_id=MessageId(new_id()))
        values: dict[str, Any] = {"scope": SCOPE, "evidence": [evidence], "valid": Interval()}
        if not self._typed:
            values = {
                "scope": asdict(SCOPE),
                "evidence": [asdict(evidence)],
                "valid": asdict(Interval()),
            }
        return {
            "fact_id": new_id(),
            "text": TEXT,
            "kind": "semantic",
            "metadata": {},
            "speaker": "Caroline",
            "entities": ["Saturday"],
            "slot": None,
            "occurred_at": datetime.now(UTC),
            "expires_at": None,
            "reason": "",
            **values,
        }

    def replay(self) -> int:
        """All events, by notification id."""
        count, position = 0, 0
        while page := self._app.notification_log.select(position + 1, PAGE):
            count += len([self._app.mapper.to_domain_event(item) for item in page])
            position = page[-1].id
        return count

    def replay_ledger(self) -> int:
        """All events of the aggregate, by version."""
        count = 0
        while page := list(self._app.events.get(self._ledger.id, gt=count, limit=PAGE)):
            count += len(page)
        return count

    def close(self) -> None:
        self._app.close()


def rate(act: Callable[[int], object], batch: int, events: int) -> float:
    """Events per second, for ``events`` events in transactions of ``batch``."""
    start = time.perf_counter()
    for _ in range(events // batch):
        act(batch)
    return events / (time.perf_counter() - start)


def replay_rate(replay: Callable[[], int]) -> float:
    """Events per second of a full replay."""
    start = time.perf_counter()
    count = replay()
    return count / (time.perf_counter() - start)


def appends(folder: Path, durability: Durability, rounds: int) -> list[Row]:
    """Rows for appends, with one durability setting."""
    rows = []
    waits = durability is Durability.FULL
    with ExitStack() as stack:
        ours = stack.enter_context(closing(Ours(folder / f"ours-{durability}.db", durability)))
        command, bare = (
            stack.enter_context(closing(Theirs(folder / f"{name}-{durability}.db", durability)))
            for name in ("command", "bare")
        )
        floor = stack.enter_context(DiskFloor(folder))
        one_by_one = 100 if waits else 500
        for batch, events, bar in ((1, one_by_one, 1.0), (100, 2000, 1.3)):
            acts = (ours.append, command.append, bare.append_bare)
            for act in acts:
                rate(act, batch, events)
            mine, theirs, barely, lowest = paired(
                rounds,
                *(partial(rate, act, batch, events) for act in acts),
                partial(rate, lambda _count: floor.write(), 1, 100),
            )
            case = f"append, {durability.value}, {batch} at a time"
            note = f"disk floor {lowest:,.0f} commits/s, {mine / batch / lowest:.0%} of it"
            rows += [
                Row(
                    case=case,
                    unit="events/s",
                    ours=mine,
                    theirs=theirs,
                    bar=bar,
                    note=note if waits else "",
                ),
                Row(case=f"{case}, no aggregate", unit="events/s", ours=mine, theirs=barely),
            ]
    return rows


def replays(folder: Path, events: int, rounds: int) -> list[Row]:
    """Rows for replays of ``events`` events."""
    with ExitStack() as stack:
        ours = stack.enter_context(closing(Ours(folder / "ours.db", Durability.NORMAL)))
        typed, untyped = (
            stack.enter_context(
                closing(
                    Theirs(folder / f"typed-{typed}.db", Durability.NORMAL, typed=typed),
                )
            )
            for typed in (True, False)
        )
        for subject in (ours, typed, untyped):
            rate(subject.append, 1000, events)
        rows = []
        for way, bar in (("replay", 2.5), ("replay_ledger", 2.5)):
            mine, theirs, bare = paired(
                rounds,
                *(partial(replay_rate, getattr(each, way)) for each in (ours, typed, untyped)),
            )
            case = "replay, by position" if way == "replay" else "replay, one ledger"
            rows += [
                Row(case=case, unit="events/s", ours=mine, theirs=theirs, bar=bar),
                Row(
                    case=f"{case}, nested values left raw", unit="events/s", ours=mine, theirs=bare
                ),
            ]
    return rows


def main() -> int:
    """Run the benchmark; return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns that each subject takes")
    parser.add_argument("--events", type=int, default=50_000, help="length of the log replayed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-log-") as name:
        folder = Path(name)
        rows = [
            *appends(folder, Durability.FULL, arguments.rounds),
            *appends(folder, Durability.NORMAL, arguments.rounds),
            *replays(folder, arguments.events, arguments.rounds),
        ]
    met = report(
        "log",
        "The log against eventsourcing on SQLite (medians, taken in turns)",
        rows,
        subjects=("remembrancer", "eventsourcing"),
        settings=vars(arguments),
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
