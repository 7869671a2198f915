"""Appends to the log on PostgreSQL: positions assigned after the commit against one global lock.

Eight processes append to 1,000 ledgers. The benchmark starts its own server with PostgreSQL's
default settings: every append is on disk before it is acknowledged. Run it with
``sh dev bench postgres``.

The cost of a lock depends on how long it is held, which is mostly the time of a flush. If a flush
costs almost nothing (a disk with a write cache), both are bound by the processors; the lock then
leaves processors idle only if there are more than one writer can use, so the ratio can't exceed
their number by much. So both are measured twice: on the disk as it is, and with flushes that take
``FLUSH`` (``commit_delay``, which the server sleeps before each flush).

The cases run in turns, so that a machine that becomes slower during a run does not favour one.
After each run every position, version and hash is verified.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from attrs import evolve

from bench.report import Row, paired, quantile, report
from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog, create_log
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.application.inline import run_inline
from remembrancer.domain.audit.recorded_chain import faults_of
from remembrancer.domain.events import EventId, FactAdded
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.recorded import (
    Append,
    CorrelationId,
    Head,
    NewEvent,
    Position,
    Recorded,
)
from remembrancer.domain.scope import LedgerId, Scope
from tests.engines.postgres_server import PostgresServer

PROCESSES = 8
LEDGERS = 1_000
FLUSH = 2000
"""Microseconds. A disk over a network takes 1 to 4 ms."""

DISKS: dict[str, Sequence[str]] = {
    "this disk": (),
    "flushes of 2 ms": (f"commit_delay={FLUSH}", "commit_siblings=0"),
}

TEXT = "Alice moved from Oslo to Lisbon and works at a bakery near the river now. " * 3


class UnderOneLock(PostgresAuditLog):
    """The same log with positions assigned in the transaction: an append holds one global lock
    until the commit is on disk, since a reader could otherwise pass a position that is still open.
    """

    async def _written(self, append: Append, prepared: Any) -> tuple[int, range, list[Recorded]]:
        async with self._sessions.transaction() as connection:
            await self._lock(connection)
            ledger_id, versions, chain = await self._appended(connection, append, prepared)
            cursor = await connection.execute(
                "SELECT position_of(%s, %s)", (ledger_id, versions[0])
            )
            (position,) = await cursor.fetchone() or (0,)
        placed = [evolve(item, position=Position(position + at)) for at, item in enumerate(chain)]
        return ledger_id, versions, placed

    async def _lock(self, connection: Connection) -> None:
        key = advisory_key(self._sessions.schema, "everything")
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))


LOGS: dict[str, type[PostgresAuditLog]] = {
    "numbered": PostgresAuditLog,
    "one lock": UnderOneLock,
}


def append_to(ledger: LedgerId) -> Append:
    """An append of one fact, some 300 bytes."""
    event = FactAdded(
        fact_id=FactId(uuid.uuid4().hex),
        scope=Scope(user_id=ledger),
        text=TEXT,
        occurred_at=datetime.now(UTC),
    )
    return Append(
        ledger=ledger,
        events=[NewEvent(event_id=EventId(uuid.uuid4().hex), event=event)],
        recorded_at=datetime.now(UTC),
        correlation_id=CorrelationId(uuid.uuid4().hex),
    )


def write(
    settings: PostgresSettings, name: str, seed: int, seconds: float, start: Barrier, out: Any
) -> None:
    """Append to random ledgers for ``seconds``; put the seconds of every append into ``out``."""
    database = Database(settings, [create_log])
    log = LOGS[name](database.sessions)
    ledgers = random.Random(seed)
    run_inline(log.append(append_to(LedgerId(f"user:{seed}"))))
    took: list[float] = []
    start.wait()
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        run_inline(log.append(append_to(LedgerId(f"user:{ledgers.randrange(LEDGERS)}"))))
        took.append(time.perf_counter() - begun)
    out.put(took)
    database.close()


def measure(dsn: str, name: str, seconds: float, processes: int) -> tuple[float, list[float]]:
    """Return appends per second of all processes, and the seconds of each append."""
    settings = PostgresSettings(dsn=dsn, schema=f"bench_{uuid.uuid4().hex}", max_connections=2)
    Database(settings, [create_log]).close()
    context = multiprocessing.get_context("spawn")
    start, out = context.Barrier(processes), context.Queue()
    running = [
        context.Process(target=write, args=(settings, name, seed, seconds, start, out))
        for seed in range(processes)
    ]
    for process in running:
        process.start()
    took = [seconds for _ in running for seconds in out.get()]
    for process in running:
        process.join()
    verify(settings, len(took) + processes)
    return len(took) / seconds, took


def verify(settings: PostgresSettings, appended: int) -> None:
    """Check that no event is lost, positions have no gaps, and every hash chain is valid."""
    database = Database(settings, [create_log])
    log = PostgresAuditLog(database.sessions)
    chains: dict[LedgerId, list[Recorded]] = defaultdict(list)
    position = 0
    page: Sequence[Recorded] = ()
    while page := run_inline(log.read(Position(position), 1000)):
        for item in page:
            position += 1
            assert item.position == position
            chains[item.ledger].append(item)
    assert position == appended, f"{appended} events were acknowledged, {position} were read"
    for ledger, items in chains.items():
        assert not faults_of(items)
        assert run_inline(log.head(ledger)) == Head.after(items[-1])
    database.close()


def flushes(folder: Path) -> float:
    """Return the flushes per second of one process on the disk of a folder."""
    with tempfile.TemporaryFile(dir=folder) as file:
        end = time.perf_counter() + 1
        count = 0
        while time.perf_counter() < end:
            os.pwrite(file.fileno(), bytes(8192), 8192 * (count % 1000))
            os.fdatasync(file.fileno())
            count += 1
    return count


def on(disk: str, options: argparse.Namespace) -> list[Row]:
    """Measure both logs in turns, on a separate server."""
    waits: dict[str, list[float]] = {name: [] for name in LOGS}

    def rate(name: str) -> float:
        appends, took = measure(server.dsn, name, options.seconds, options.processes)
        waits[name] += took
        return appends

    server = PostgresServer(*DISKS[disk])
    try:
        server.start()
        ours, theirs = paired(options.rounds, *(partial(rate, name) for name in LOGS))
    finally:
        server.remove()
    return [
        Row(case=f"{disk}: appends", unit="/s", ours=ours, theirs=theirs, bar=3.0),
        *(
            Row(
                case=f"{disk}: an append, {name}",
                unit="ms",
                ours=quantile(waits["numbered"], share) * 1e3,
                theirs=quantile(waits["one lock"], share) * 1e3,
                more_is_better=False,
            )
            for name, share in (("median", 0.5), ("95 of 100", 0.95))
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench postgres", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    options = parser.parse_args()
    rows = [row for disk in DISKS for row in on(disk, options)]
    met = report(
        "postgres",
        f"{options.processes} processes append to {LEDGERS:,} ledgers on PostgreSQL",
        rows,
        subjects=("numbered", "one lock"),
        settings={
            "seconds": options.seconds,
            "processes": options.processes,
            "flushes of this disk, /s": flushes(Path(tempfile.gettempdir())),
        },
    )
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
