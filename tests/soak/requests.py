"""``sh dev soak requests``: generated requests by owners whose ids look alike; 0 foreign facts.

    sh dev soak requests                       # 50,000 requests
    sh dev soak requests --count 1000000       # goes on where an interrupted run stopped

Rounds take turns on the stores: memory, SQLite, PostgreSQL. What is done is kept in
``build/soak-requests.json``; another ``--seed`` or ``--count`` begins anew.
"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from remembrancer import Memory, load_settings
from tests.engines.postgres_server import PostgresServer
from tests.soak.foreign import Foreign, run_round
from tests.soak.progress import Progress, progress_of

A_ROUND = 500
"""Requests on one memory."""

STORES = ("memory", "sqlite", "postgres")


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
        while progress.left:
            number, requests = progress.done // A_ROUND, min(A_ROUND, progress.left)
            store = STORES[number % len(STORES)]
            with progress.step(), opened(store, Path(folder), dsn) as memory:
                progress.add(shown=run_round(memory, f"{progress.seed}/{number}", requests))
                progress.done += requests


def main() -> int:
    """Run it; the exit code is 1 if an answer was wrong."""
    progress = progress_of("requests", __doc__, what="requests", count=50_000)
    try:
        soak(progress)
    except Foreign as error:
        print(f"\nFOREIGN after {progress.done:,} requests: {error}")
        return 1
    print(
        f"{progress.done:,} requests, {progress.figures['shown']:,} facts, links and entities "
        f"shown, 0 foreign, in {progress.seconds:,.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
