"""Bytes of a fact, and the cost of making the read models again, on SQLite.

Owners with a hundred facts each, every fact a message of twelve words that is stored verbatim, so
that a fact is two events (what was said, what is believed), with vectors of 384 components by the
offline embedder. What is counted is pages of the file by table and index (``dbstat``), after
everything was committed. A fact that is revised, and one with relations, costs more; a fact of
which several were drawn from one message costs less.

The rebuild is that of ``catch_up``: the checkpoints are forgotten, and the next opening makes
facts, index and graph from the log. Embedding is part of it; here it costs microseconds a text.

    python -m bench.bytes
    python -m bench.bytes --facts 100000
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

from rich.console import Console
from rich.table import Table

from bench.scale import Corpus
from memledger import Memory
from memledger.settings import Settings, load_settings

DIMENSION = 384
PER_OWNER = 100
PARTS = {
    "event": "log",
    "ledger": "log",
    "request": "log",
    "sqlite_sequence": "log",
    "index": "index",
    "graph": "graph",
    "relation": "graph",
    "entity": "graph",
}
"""Which part a table belongs to, by the first word of its name; others belong to the facts."""


def filled(settings: Settings, facts: int) -> float:
    """Write facts; returns the seconds that it took."""
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


def rebuilt(settings: Settings, path: Path) -> float:
    """Make the read models again; returns the seconds that it took."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM projection")
        connection.commit()
    before = time.perf_counter()
    with Memory(settings=settings):
        return time.perf_counter() - before


def sizes(path: Path) -> tuple[Counter[str], int]:
    """Bytes by part of the file, and the number of events in it."""
    found: Counter[str] = Counter()
    with closing(sqlite3.connect(path)) as connection:
        owners = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master"))
        for name, size in connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"):
            table = owners.get(name, name)
            found[PARTS.get(table, PARTS.get(table.split("_")[0], "facts"))] += size
        (events,) = connection.execute("SELECT count(*) FROM event").fetchone()
    return found, int(events)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--facts", type=int, default=20_000)
    facts = parser.parse_args().facts // PER_OWNER * PER_OWNER
    with tempfile.TemporaryDirectory(prefix="memledger-bytes-") as folder:
        path = Path(folder) / "bytes.db"
        settings = load_settings(
            {"audit_log": {"path": str(path)}, "embedder": {"dimension": DIMENSION}},
            environment={},
        )
        filling = filled(settings, facts)
        found, events = sizes(path)
        rebuilding = rebuilt(settings, path)
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
