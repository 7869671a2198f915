"""Bytes per fact, and the cost of a rebuild of the read models, on SQLite or on PostgreSQL.

Owners have a hundred facts each. Every fact is a message of twelve words that is stored verbatim,
so a fact is two events (``MessageObserved`` and ``FactAdded``), with vectors of 384 components by
the offline embedder. Sizes are pages by table and index (``dbstat``, ``pg_total_relation_size``)
after the last commit. Revised facts and facts with relations need more; several facts from one
message need less.

The rebuild is that of ``remembrancer rebuild read_models``: facts, index and graph. It includes
embedding, which takes microseconds per text here.

    python -m bench.bytes
    python -m bench.bytes --facts 100000
    python -m bench.bytes --dsn "host=... dbname=..."   a database for this benchmark only
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString

from rich.console import Console
from rich.table import Table

from bench.scale import Corpus
from remembrancer import Memory
from remembrancer.wiring.settings import Settings, load_settings

DIMENSION = 384
PER_OWNER = 100
SCHEMA = "remembrancer_bytes"
PARTS = {
    "event": "log",
    "ledger": "log",
    "request": "log",
    "arrival": "log",
    "place": "log",
    "identity": "log",
    "sqlite_sequence": "log",
    "index": "index",
    "document": "index",
    "wording": "index",
    "graph": "graph",
    "relation": "graph",
    "entity": "graph",
}
"""The part of a table by the first word of its name; the rest belongs to the facts."""


def filled(settings: Settings, facts: int) -> float:
    """Write facts; return the seconds."""
    corpus = Corpus(facts=facts, dimension=DIMENSION)
    texts = iter(_texts(corpus, facts))
    before = time.perf_counter()
    with Memory(settings=settings) as memory:
        for owner in range(facts // PER_OWNER):
            messages = [{"content": next(texts)} for _ in range(PER_OWNER)]
            memory.add(messages, user_id=f"owner-{owner}", infer=False)
    return time.perf_counter() - before


def _texts(corpus: Corpus, count: int) -> Iterator[str]:
    words = corpus.words
    for number in range(count):
        yield " ".join(
            words[(number * 7919 + place * place * 104729) % 20_000] for place in range(12)
        )


class OnSqlite:
    """A temporary SQLite file.

    Args:
        folder: folder of the file.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "bytes.db"
        self.log: dict[str, Any] = {"path": str(self._path)}

    def sizes(self) -> tuple[Counter[str], int]:
        """Bytes by part, and the number of events."""
        found: Counter[str] = Counter()
        with closing(sqlite3.connect(self._path)) as connection:
            owners = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master"))
            pages = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name"
            for name, size in connection.execute(pages):
                found[_part(owners.get(name, name))] += size
            (events,) = connection.execute("SELECT count(*) FROM event").fetchone()
        return found, int(events)


class OnPostgres:
    """A separate schema, dropped before and after the run.

    Args:
        dsn: connection string of the database.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.log: dict[str, Any] = {"provider": "postgres", "dsn": dsn, "schema": SCHEMA}
        self.drop()

    def _ask(self, statement: LiteralString) -> list[Any]:
        import psycopg

        with psycopg.connect(self._dsn, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def drop(self) -> None:
        """Drop the schema."""
        self._ask("DROP SCHEMA IF EXISTS remembrancer_bytes CASCADE")

    def sizes(self) -> tuple[Counter[str], int]:
        """Bytes by part, and the number of events."""
        found: Counter[str] = Counter()
        for name, size in self._ask(
            "SELECT relname, pg_total_relation_size(oid)::bigint FROM pg_class "
            "WHERE relnamespace = 'remembrancer_bytes'::regnamespace AND relkind = 'r'"
        ):
            found[_part(name)] += size
        ((events,),) = self._ask("SELECT count(*) FROM remembrancer_bytes.event")
        return found, int(events)


def _part(table: str) -> str:
    return PARTS.get(table, PARTS.get(table.split("_")[0], "facts"))


def rebuilt(settings: Settings) -> float:
    """Rebuild the read models; return the seconds."""
    with Memory(settings=settings) as memory:
        before = time.perf_counter()
        memory.rebuild("read_models")
        return time.perf_counter() - before


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--facts", type=int, default=20_000)
    parser.add_argument("--dsn")
    arguments = parser.parse_args()
    facts = arguments.facts // PER_OWNER * PER_OWNER
    with tempfile.TemporaryDirectory(prefix="remembrancer-bytes-") as folder:
        store = OnPostgres(arguments.dsn) if arguments.dsn else OnSqlite(Path(folder))
        settings = load_settings(
            {"audit_log": store.log, "embedder": {"dimension": DIMENSION}}, environment={}
        )
        filling = filled(settings, facts)
        found, events = store.sizes()
        rebuilding = rebuilt(settings)
        if isinstance(store, OnPostgres):
            store.drop()
    table = Table("part", "bytes a fact", box=None)
    for part, size in found.most_common():
        table.add_row(part, f"{size / facts:,.0f}")
    table.add_row("all", f"{found.total() / facts:,.0f}")
    console = Console(width=100)
    console.print(table)
    console.print(f"{facts:,} facts, {events:,} events, {events / facts:.2f} a fact")
    console.print(f"written: {facts / filling:,.0f} facts/s in calls of {PER_OWNER}")
    console.print(
        f"rebuilt: {events / rebuilding:,.0f} events/s, {facts / rebuilding:,.0f} facts/s"
    )


if __name__ == "__main__":
    main()
