"""Several processes share one index: each finds the commits of the others, also after a kill.

Sizes are so small that segments are built, merged and deleted all the time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.vector_index import Sizes, SqliteVectorIndex
from remembrancer.adapters.stores.sqlite.vector_index.schema import create
from remembrancer.domain.facts.fact import FactId, FactKey, Interval
from remembrancer.domain.ports.vector_index import Document, IndexQuery
from remembrancer.domain.scope import Scope

pytestmark = pytest.mark.slow

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
ALICE = Scope(user_id="alice")
SIZES = Sizes(first=3, tail=3, segment=8)


def opened(path: Path) -> tuple[Database, SqliteVectorIndex]:
    database = Database(SqliteSettings(path=str(path)), [create])
    return database, SqliteVectorIndex(database, model="m", dimension=2, sizes=SIZES)


def version(name: str, number: int, *, ended: bool = False) -> Document:
    """A version of a fact; each starts one hour after the previous one."""
    start = NOON + timedelta(hours=number)
    return Document(
        key=(FactId(name), number),
        scope=ALICE,
        text=f"{name} says number{number}",
        occurred_at=NOON,
        visible=Interval(start=start, end=start + timedelta(hours=1) if ended else None),
        vector=array("f", [1.0, number]),
    )


def write_versions(path: Path, name: str, out: Connection) -> None:
    """Supersede a fact again and again; send each version number after its commit."""
    database, index = opened(path)
    with closing(database):
        index.put([version(name, 1)])
        out.send(1)
        for number in range(2, 10_000):
            index.put([version(name, number - 1, ended=True), version(name, number)])
            out.send(number)
            # Also add and remove unrelated facts.
            index.put([version(f"crowd of {name}", number)])
            index.remove([(FactId(f"crowd of {name}"), number - 3)])


@contextmanager
def writing(path: Path, name: str) -> Iterator[tuple[Connection, int]]:
    """A process that writes until the end of the block; yields its acknowledgements and its id."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=write_versions, args=(path, name, there), daemon=True)
    process.start()
    there.close()
    assert process.pid is not None
    try:
        yield here, process.pid
    finally:
        process.kill()
        process.join()


def current(index: SqliteVectorIndex, name: str) -> list[FactKey]:
    """The versions of a fact that a search finds now."""
    query = IndexQuery(
        scope=ALICE, text=name, vector=array("f", [0.0, 1.0]), now=NOON + timedelta(days=999)
    )
    return [hit.key for hit in index.search(query) if hit.key[0] == name]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    where = tmp_path / "index.db"
    opened(where)[0].close()
    return where


def test_search_finds_documents_committed_by_another_process(path: Path) -> None:
    database, index = opened(path)
    with closing(database), writing(path, "alpha") as (told, _):
        for _ in range(40):
            committed = told.recv()
            ((_, number),) = current(index, "alpha")
            assert number >= committed
            past = IndexQuery(
                scope=ALICE, text=f"number{committed}", now=NOON,
                as_of=NOON + timedelta(hours=committed),
            )  # fmt: skip
            assert ("alpha", committed) in [hit.key for hit in index.search(past)]


def test_concurrent_writers_lose_no_documents(path: Path) -> None:
    database, index = opened(path)
    with closing(database), writing(path, "alpha") as (a, _), writing(path, "beta") as (b, _):
        for number in range(1, 30):
            assert (a.recv(), b.recv()) == (number, number)
            index.put([version(f"gamma {number}", 1)])
            for name in ("alpha", "beta"):
                ((_, found),) = current(index, name)
                assert found >= number
            assert current(index, f"gamma {number}") == [(f"gamma {number}", 1)]


@pytest.mark.parametrize("acknowledged", [1, 2, 7, 19, 33])
def test_killed_writer_loses_no_acknowledged_documents(path: Path, acknowledged: int) -> None:
    with writing(path, "alpha") as (told, process):
        last = [told.recv() for _ in range(acknowledged)][-1]
        os.kill(process, signal.SIGKILL)
        # Versions acknowledged just before the kill count too.
        try:
            while True:
                last = told.recv()
        except EOFError:
            pass
    database, index = opened(path)
    with closing(database):
        ((_, number),) = current(index, "alpha")
        assert number in (last, last + 1)
        with database.reader() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        index.put([version("beta", 1)])
        index.compact()
        assert current(index, "alpha") == [("alpha", number)]
        assert current(index, "beta") == [("beta", 1)]
