"""``sh dev soak requests``: generated requests by owners whose ids look alike; 0 foreign facts.

    sh dev soak requests                       # 50,000 requests
    sh dev soak requests --count 1000000       # goes on where an interrupted run stopped

Rounds take turns on the stores: memory, SQLite, PostgreSQL. What is done is kept in
``build/soak-requests.json``; another ``--seed`` or ``--count`` begins anew.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from attrs import asdict, define

from remembrancer import Memory, load_settings
from tests.engines.postgres_server import PostgresServer
from tests.soak.foreign import Foreign, run_round

STATE = Path(__file__).parents[2] / "build" / "soak-requests.json"
A_ROUND = 500
"""Requests on one memory."""

STORES = ("memory", "sqlite", "postgres")


@define(kw_only=True)
class Progress:
    """How far a run is."""

    seed: int
    count: int
    done: int = 0
    shown: int = 0
    seconds: float = 0.0

    @classmethod
    def resumed(cls, seed: int, count: int) -> Progress:
        """The progress of an interrupted run of the same kind, else none."""
        try:
            kept = cls(**json.loads(STATE.read_text()))
        except FileNotFoundError:
            return cls(seed=seed, count=count)
        same = (kept.seed, kept.count) == (seed, count) and kept.done < count
        return kept if same else cls(seed=seed, count=count)

    def keep(self) -> None:
        """Write it down, whole or not at all."""
        STATE.parent.mkdir(exist_ok=True)
        written = STATE.with_suffix(".new")
        written.write_text(json.dumps(asdict(self)))
        written.replace(STATE)


@contextmanager
def postgres_dsn() -> Iterator[str]:
    """``POSTGRES_DSN``, else that of a server of this run."""
    if given := os.environ.get("POSTGRES_DSN"):
        yield given
        return
    server = PostgresServer("fsync=off", "shared_buffers=64MB")
    try:
        server.start()
        yield server.dsn
    finally:
        server.remove()


@contextmanager
def opened(store: str, folder: Path, dsn: str) -> Iterator[Memory]:
    """An empty memory on a store."""
    name = f"soak_{uuid.uuid4().hex}"
    log: dict[str, Any] = {"provider": store}
    if store == "sqlite":
        log |= {"path": str(folder / f"{name}.db"), "durability": "normal"}
    if store == "postgres":
        log |= {"dsn": dsn, "schema": name, "partitions": 2, "max_connections": 2}
    try:
        with closing(Memory(settings=load_settings({"audit_log": log}, environment={}))) as memory:
            yield memory
    finally:
        if store == "postgres":
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())


def soak(progress: Progress) -> None:
    """Make all requests that are left, round by round.

    Raises:
        Foreign: an answer is wrong.
    """
    with tempfile.TemporaryDirectory() as folder, postgres_dsn() as dsn:
        while progress.done < progress.count:
            number, begun = progress.done // A_ROUND, time.monotonic()
            requests = min(A_ROUND, progress.count - progress.done)
            with opened(STORES[number % len(STORES)], Path(folder), dsn) as memory:
                progress.shown += run_round(memory, f"{progress.seed}/{number}", requests)
            progress.done += requests
            progress.seconds += time.monotonic() - begun
            progress.keep()
            print(f"\r{progress.done:,} of {progress.count:,}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def main() -> int:
    """Run it; the exit code is 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(prog="dev soak requests", description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="requests (default 50,000)")
    parser.add_argument("--seed", type=int, default=0, help="decides about everything")
    arguments = parser.parse_args()
    progress = Progress.resumed(arguments.seed, arguments.count)
    try:
        soak(progress)
    except Foreign as error:
        print(f"\nFOREIGN after {progress.done:,} requests: {error}")
        return 1
    print(
        f"{progress.done:,} requests, {progress.shown:,} facts, links and entities shown, "
        f"0 foreign, in {progress.seconds:,.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
