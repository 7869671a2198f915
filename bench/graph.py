"""Neighbours of an entity at depth 2, in a graph of a million edges, against a recursive CTE.

Measures ``KnowledgeGraph.neighbours`` at depth 2 with at most 100 links, on the embedded graph:
with valid and transaction time, scope, aliases and facts, and a path for every link. The
counterpart is hand-written SQL: an edge table with an index for each direction, and a recursive CTE
that returns as many edges. It has no times, scopes or paths.

The data is synthetic. A fifth of the edges are facts that name two entities, the rest are
relations. One end of an edge is drawn uniformly, the other by a power law: some names have two
edges, some have thousands (``hubs``: the thousand names with the most edges).

**The limit.** The minimum is some 40 look-ups in B-trees of a million rows, at 2 microseconds each.
The rest is Python, 15 microseconds per link: two intervals, a link, a step, a path.

    python -m bench.graph
    python -m bench.graph --edges 100000
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

from attrs import frozen

from bench.report import Row, paired, quantile, report
from remembrancer.adapters.stores.sqlite.audit_log import create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteKnowledgeGraph
from remembrancer.domain.events import Event, EventId, FactAdded, RelationAsserted
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.graph.graph import View
from remembrancer.domain.recorded import CorrelationId, Handle, Position, Recorded
from remembrancer.domain.scope import Scope

SCOPE = Scope(user_id="ann")
START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
PREDICATES = ("knows", "lives_in", "works_at", "likes", "part_of", "made")
EDGES_PER_NAME = 5
FACTS = 5
"""Every fifth edge is a fact."""

BATCH = 10_000
LIMIT = 100
DEPTH = 2


@frozen
class Edges:
    """Synthetic edges between numbered names; deterministic for a count and seed."""

    count: int
    seed: int = 1

    @property
    def names(self) -> int:
        """Number of names."""
        return self.count // EDGES_PER_NAME

    def __iter__(self) -> Iterator[tuple[int, int]]:
        chance = random.Random(self.seed)
        names = self.names
        for _ in range(self.count):
            yield chance.randrange(names), int(names * chance.random() ** 4)

    def starts(self, count: int) -> dict[str, list[int]]:
        """Start names, grouped by number of edges."""
        chance = random.Random(self.seed + 1)
        even = [chance.randrange(self.names // 2, self.names) for _ in range(count)]
        hubs = [chance.randrange(min(1000, self.names)) for _ in range(count)]
        return {"ordinary names": even, "hubs": hubs}


def _name(number: int) -> str:
    return f"Name {number}"


def _event(position: int, subject: int, object_: int) -> Event:
    if position % FACTS == 0:
        return FactAdded(
            fact_id=FactId(f"{position:032x}"),
            scope=SCOPE,
            text="",
            entities=(_name(subject), _name(object_)),
            occurred_at=START,
        )
    return RelationAsserted(
        relation_id=f"{position:032x}",
        scope=SCOPE,
        subject=_name(subject),
        predicate=PREDICATES[position % len(PREDICATES)],
        object=_name(object_),
        valid=Interval(start=START),
    )


def _recorded(position: int, event: Event) -> Recorded:
    return Recorded(
        position=Position(position),
        ledger=SCOPE.ledger,
        handle=Handle("0" * 32),
        version=position,
        event_id=EventId(""),
        recorded_at=START + timedelta(seconds=position),
        correlation_id=CorrelationId(""),
        causation_id=None,
        actor="bench",
        type_name=event.type_name,
        schema_version=event.schema_version,
        event=event,
        payload=b"",
        salt=b"",
        payload_digest=b"",
        previous_hash=b"",
        hash=b"",
    )


class Ours:
    """The embedded graph, written as by an append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(SqliteSettings(path=str(path)), [create_log])
        self._graph = SqliteKnowledgeGraph(self._database)
        with self._database.transaction() as connection:
            self._graph.create(connection)
            connection.execute(
                "INSERT INTO ledger (name, version, hash, recorded_at) VALUES (?, 0, x'', 0)",
                (SCOPE.ledger,),
            )

    def load(self, edges: Sequence[tuple[int, int]], first: int) -> None:
        """Apply edges in one transaction."""
        with self._database.transaction() as connection:
            self._graph.apply_in(
                connection,
                [
                    _recorded(position, _event(position, *edge))
                    for position, edge in enumerate(edges, start=first)
                ],
            )

    def neighbours(self, number: int) -> int:
        """Number of links found from a name."""
        view = View(scope=SCOPE, now=NOW, as_of=NOW)
        return len(self._graph.neighbours(view, [_name(number)], DEPTH, LIMIT))

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class RecursiveCte:
    """An edge table, and one recursive statement."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;"
            "PRAGMA mmap_size = 1073741824;"
            "CREATE TABLE edge (id INTEGER PRIMARY KEY, subject TEXT, predicate TEXT, object TEXT);"
            "CREATE INDEX edge_subject ON edge (subject);"
            "CREATE INDEX edge_object ON edge (object);"
        )

    def load(self, edges: Sequence[tuple[int, int]], first: int) -> None:
        """Insert edges in one transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "INSERT INTO edge VALUES (?, ?, ?, ?)",
            [
                (number, _name(subject), PREDICATES[number % len(PREDICATES)], _name(object_))
                for number, (subject, object_) in enumerate(edges, start=first)
            ],
        )
        self._connection.execute("COMMIT")

    def neighbours(self, number: int) -> int:
        """Number of edges found from a name."""
        return len(
            self._connection.execute(
                """
                WITH RECURSIVE near (name, depth) AS (
                    SELECT ?, 0
                    UNION
                    SELECT iif(edge.subject = near.name, edge.object, edge.subject), depth + 1
                    FROM near JOIN edge ON edge.subject = near.name OR edge.object = near.name
                    WHERE depth < ?
                    LIMIT ?
                )
                SELECT DISTINCT edge.* FROM near
                JOIN edge ON edge.subject = near.name OR edge.object = near.name
                WHERE depth < ? LIMIT ?
                """,
                (_name(number), DEPTH - 1, LIMIT, DEPTH, LIMIT),
            ).fetchall()
        )

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def load(subject: Ours | RecursiveCte, edges: Edges) -> float:
    """Load all edges; return edges per second."""
    start = time.perf_counter()
    remaining, first = iter(edges), 1
    while batch := list(islice(remaining, BATCH)):
        subject.load(batch, first)
        first += len(batch)
    return edges.count / (time.perf_counter() - start)


def add_one(subject: Ours | RecursiveCte, edges: Edges) -> Callable[[], float]:
    """Return a function that measures one more edge in its own transaction."""
    numbers = count(edges.count + 1)
    chance = random.Random(edges.seed + 2)

    def measure() -> float:
        pair = chance.randrange(edges.names), chance.randrange(edges.names)
        start = time.perf_counter()
        subject.load([pair], next(numbers))
        return time.perf_counter() - start

    return measure


def rows_for(ours: Ours, theirs: RecursiveCte, edges: Edges, queries: int) -> Iterator[Row]:
    """Run all measurements."""
    rates = load(ours, edges), load(theirs, edges)
    for case, starts in edges.starts(queries).items():
        taken: list[list[float]] = [[], []]
        found = [0, 0]
        # In turns, so that a slow minute of the machine affects both.
        for number in starts:
            for index, subject in enumerate((ours, theirs)):
                start = time.perf_counter()
                found[index] += subject.neighbours(number)
                taken[index].append(1000 * (time.perf_counter() - start))
        for q in (0.5, 0.95):
            mine, other = (quantile(values, q) for values in taken)
            links, bare = (total / queries for total in found)
            yield Row(
                case=f"{case}: p{100 * q:.0f}",
                unit="ms",
                ours=mine,
                theirs=other,
                more_is_better=False,
                note=f"{links:.0f} links with paths, {bare:.0f} bare edges" if q == 0.5 else "",
            )
    one = paired(queries, add_one(ours, edges), add_one(theirs, edges))
    yield Row(
        case="add one, made durable",
        unit="ms",
        ours=1000 * one[0],
        theirs=1000 * one[1],
        more_is_better=False,
    )
    yield Row(case="build", unit="edges/s", ours=rates[0], theirs=rates[1])


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500, help="walks of each kind")
    arguments = parser.parse_args()
    edges = Edges(arguments.edges)
    with tempfile.TemporaryDirectory(prefix="bench-graph-") as folder:
        ours, theirs = Ours(Path(folder) / "ours.db"), RecursiveCte(Path(folder) / "theirs.db")
        rows = list(rows_for(ours, theirs, edges, arguments.queries))
        size = [path.stat().st_size / 2**20 for path in (ours.path, theirs.path)]
        rows.append(
            Row(case="on disk", unit="MiB", ours=size[0], theirs=size[1], more_is_better=False)
        )
        ours.close()
        theirs.close()
    met = report(
        "graph",
        f"The neighbourhood of depth {DEPTH} among {edges.count:,} edges",
        rows,
        subjects=("remembrancer", "recursive CTE"),
        settings={**vars(arguments), "depth": DEPTH, "limit": LIMIT},
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
