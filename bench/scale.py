"""Search at a million facts, in two shapes: many owners with a hundred each, or one with all.

Measures ``VectorIndex.search`` with text and vector together, 100 candidates per signal, on the
embedded index: the part of a recall that grows with the data. The counterpart is hand-written code
on SQLite's FTS5 (text and context columns, an OR of the words, ``bm25``, joined with the owner),
with the vectors as BLOBs, compared by numpy. For one owner the counterpart has an advantage: all
its vectors are in memory; for many owners, they are read for each search.

The data is synthetic, with realistic distributions. Vectors: topics of Zipfian sizes, a spectrum
that falls with the inverse of the rank, and a common direction of length 0.54, which gives pairs a
cosine of 0.3 +- 0.1 like those of all-MiniLM-L6-v2 on LoCoMo (measured: 0.29 +- 0.13). Texts: 12
words of a Zipfian vocabulary of 50,000, and 40 words of context. A query is five words of a
document and its vector with noise, at a cosine of 0.78. The facts of an owner come in ten visits,
interleaved with those of other owners.

"Owner not in memory" is the first search of an owner in a process, with the file in the page cache
of the system; "file not in the page cache" drops the file from the cache first, so that it measures
the disk: some 80 pages for an owner with a hundred facts.

**The limit.** A small owner: reading 250 kB of adjacent pages takes 0.1 ms and comparing 100
vectors 0.01 ms; the rest is Python that creates objects for rows and hits. One owner with a
million: comparing 32 bytes of quantized code per document takes 3 ms of one core; 400 vectors to
compare exactly and 300 documents to return are 1,000 look-ups in B-trees, 5 to 8 ms; the posting
lists of five words have some 800,000 entries, 6 ms. The sum is 15 ms, plus half of it for numpy and
Python in between.

    python -m bench.scale
    python -m bench.scale --facts 100000 --shape one
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen

from bench.report import Row, quantile, report, timed
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.vector_index import SqliteVectorIndex
from remembrancer.adapters.stores.sqlite.vector_index.schema import create
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import Scope

PER_OWNER = 100
VISITS = 10
BATCH = 1_000
VOCABULARY = 50_000
TOPICS = 5_000
LIMIT = 100
NEAREST = 10
START = datetime(2024, 1, 1, tzinfo=UTC)

Vectors = npt.NDArray[np.float32]


@frozen
class Corpus:
    """Synthetic facts; deterministic for the same parameters."""

    facts: int
    dimension: int
    seed: int = 1

    @cached_property
    def words(self) -> list[str]:
        """The vocabulary, most frequent first."""
        chance = random.Random(self.seed)
        letters = "bcdfghjklmnprstvwz", "aeiou"
        found: dict[str, None] = {}
        while len(found) < VOCABULARY:
            syllables = chance.randint(1, 4)
            found["".join(chance.choice(kind) for _ in range(syllables) for kind in letters)] = None
        return list(found)

    @cached_property
    def _cumulated(self) -> npt.NDArray[np.float64]:
        shares = 1 / (np.arange(VOCABULARY) + 2.7)
        return np.cumsum(shares / shares.sum())

    @cached_property
    def _spread(self) -> Vectors:
        variances = 1 / (np.arange(self.dimension) + 4.0)
        return np.sqrt(variances / variances.sum()).astype(np.float32)

    def _noise(self, chance: np.random.Generator, count: int) -> Vectors:
        noise = chance.standard_normal((count, self.dimension), np.float32)
        noise *= self._spread
        return noise

    @cached_property
    def _topics(self) -> tuple[Vectors, npt.NDArray[np.float64], Vectors]:
        chance = np.random.default_rng(self.seed)
        common = chance.standard_normal(self.dimension, np.float32)
        common *= 0.54 / np.linalg.norm(common)
        sizes = 1 / (np.arange(TOPICS) + 10.0)
        return self._noise(chance, TOPICS) * 0.65, sizes / sizes.sum(), common

    def vectors(self, start: int, count: int) -> Vectors:
        """Vectors of length 1 of ``count`` facts."""
        topics, sizes, common = self._topics
        chance = np.random.default_rng([self.seed, 1, start])
        vectors = topics[chance.choice(TOPICS, count, p=sizes)]
        vectors += self._noise(chance, count) * 0.53
        vectors += common
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def texts(self, start: int, count: int, length: int) -> list[list[str]]:
        """Texts of ``count`` facts, as lists of ``length`` words."""
        chance = np.random.default_rng([self.seed, length, start])
        drawn = np.searchsorted(self._cumulated, chance.random((count, length)))
        words = self.words
        return [[words[number] for number in row] for row in drawn.clip(max=VOCABULARY - 1)]

    def batches(self) -> Iterator[tuple[int, Vectors, list[str], list[str]]]:
        """All facts: first number, vectors, texts and contexts of each batch."""
        for start in range(0, self.facts, BATCH):
            count = min(BATCH, self.facts - start)
            yield (
                start,
                self.vectors(start, count),
                [" ".join(words) for words in self.texts(start, count, 12)],
                [" ".join(words) for words in self.texts(start, count, 40)],
            )

    def queries(self, count: int) -> list[tuple[int, str, Vectors]]:
        """Queries: number of the matching fact, text, vector."""
        chance = np.random.default_rng([self.seed, 2])
        found = []
        for number in chance.integers(0, self.facts, count).tolist():
            start = number - number % BATCH
            own = number - start
            batch = min(BATCH, self.facts - start)
            words = self.texts(start, batch, 12)[own]
            vector = self.vectors(start, batch)[own] + self._noise(chance, 1)[0] * 0.8
            text = " ".join(random.Random(number).sample(words, 5))
            found.append((number, text, vector / np.linalg.norm(vector)))
        return found


@frozen
class Shape:
    """Distribution of facts over owners; with ``owners`` of 1 one owner has all."""

    name: str
    owners: int

    def owner(self, number: int) -> int:
        """The owner of a fact: owners take turns with a few facts each."""
        if self.owners == 1:
            return 0
        return number // (PER_OWNER // VISITS) % self.owners

    def scope(self, number: int) -> Scope:
        """Scope of a fact."""
        return Scope(user_id=f"owner {self.owner(number)}")


@frozen
class Half(Shape):
    """Facts with even numbers belong to owner 0."""

    def owner(self, number: int) -> int:
        if number % 2 == 0:
            return 0
        return 1 + number // 2 // (PER_OWNER // VISITS) % (self.owners - 1)


def half(facts: int) -> Half:
    """One owner with half of the facts, the others with a hundred each."""
    return Half("half", 1 + max(1, facts // 2 // PER_OWNER))


def shape_named(name: str, facts: int) -> Shape:
    return Shape(name, 1 if name == "one" else max(1, facts // PER_OWNER))


def document(shape: Shape, number: int, text: str, context: str, vector: Vectors) -> Document:
    """The index document of a fact."""
    moment = START + timedelta(seconds=number)
    fact_id = FactId(f"{number:032x}")
    return Document(
        key=(fact_id, 1),
        scope=shape.scope(number),
        text=text,
        context=context,
        speaker="user",
        occurred_at=moment,
        visible=Interval(start=moment),
        attributes={
            "fact_id": fact_id,
            "kind": "semantic",
            "status": "active",
            "speaker": "user",
            "text": text,
            "created_at": moment,
            "updated_at": moment,
            "occurred_at": moment,
            "metadata": {"topic": text[:8]},
        },
        vector=array("f", vector.tobytes()),
    )


def opened(path: Path, dimension: int) -> tuple[Database, SqliteVectorIndex]:
    database = Database(SqliteSettings(path=str(path)), [create])
    return database, SqliteVectorIndex(database, model="bench", dimension=dimension)


def build_ours(path: Path, corpus: Corpus, shape: Shape) -> float:
    """Write all facts and build the segments; return the seconds of the index."""
    database, index = opened(path, corpus.dimension)
    seconds = 0.0
    for start, vectors, texts, contexts in corpus.batches():
        documents = [
            document(shape, start + place, *fields)
            for place, fields in enumerate(zip(texts, contexts, vectors, strict=True))
        ]
        before = time.perf_counter()
        index.put(documents)
        seconds += time.perf_counter() - before
        progress(f"{shape.name}: ours", start + len(documents), corpus.facts)
    database.close()
    return seconds


def build_theirs(path: Path, corpus: Corpus, shape: Shape) -> float:
    """Write the same facts to FTS5 and a table of vectors; return the seconds."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(text, context, content='')")
    connection.execute("CREATE TABLE fact (id INTEGER PRIMARY KEY, owner INTEGER, vector BLOB)")
    connection.execute("CREATE INDEX fact_owner ON fact (owner)")
    seconds = 0.0
    for start, vectors, texts, contexts in corpus.batches():
        numbers = range(start, start + len(texts))
        before = time.perf_counter()
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO words (rowid, text, context) VALUES (?, ?, ?)",
            zip(numbers, texts, contexts, strict=True),
        )
        connection.executemany(
            "INSERT INTO fact VALUES (?, ?, ?)",
            (
                (number, shape.owner(number), vector.tobytes())
                for number, vector in zip(numbers, vectors, strict=True)
            ),
        )
        connection.execute("COMMIT")
        seconds += time.perf_counter() - before
        progress(f"{shape.name}: theirs", start + len(texts), corpus.facts)
    connection.close()
    return seconds


def progress(what: str, done: int, of: int) -> None:
    if sys.stderr.isatty() and done % 50_000 < BATCH:
        print(f"\r{what} {done:,} of {of:,}", end="" if done < of else "\n", file=sys.stderr)


def exact(corpus: Corpus, queries: Sequence[tuple[int, str, Vectors]]) -> list[set[str]]:
    """Ids of the nearest facts of each query, by an exact comparison with all facts."""
    asked = np.stack([vector for _, _, vector in queries])
    best = np.full((len(queries), NEAREST), -2.0, np.float32)
    numbers = np.zeros((len(queries), NEAREST), np.int64)
    for start in range(0, corpus.facts, BATCH):
        vectors = corpus.vectors(start, min(BATCH, corpus.facts - start))
        scores = np.concatenate([best, asked @ vectors.T], axis=1)
        places = np.broadcast_to(
            np.arange(start, start + len(vectors)), (len(queries), len(vectors))
        )
        candidates = np.concatenate([numbers, places], axis=1)
        top = np.argpartition(-scores, NEAREST - 1, axis=1)[:, :NEAREST]
        best = np.take_along_axis(scores, top, axis=1)
        numbers = np.take_along_axis(candidates, top, axis=1)
    return [{f"{number:032x}" for number in row} for row in numbers.tolist()]


def resident() -> float:
    """Resident memory of this process without shared pages, in MiB."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


def drop_from_page_cache(path: Path) -> None:
    """Drop a file from the page cache, so that it is read from disk again."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def search_ours(path: Path, corpus: Corpus, shape: Shape, count: int) -> dict[str, Any]:
    """Measure searches with the file on disk, in the page cache, and with the owners in memory.
    Runs in a separate process.
    """
    queries = corpus.queries(count)
    now = START + timedelta(days=1000)
    found: list[list[Hit]] = []

    def call(index: SqliteVectorIndex, number: int, text: str, vector: Vectors) -> None:
        query = IndexQuery(
            scope=shape.scope(number),
            text=text,
            vector=array("f", vector.tobytes()),
            now=now,
            limit=LIMIT,
        )
        found.append(index.search(query))

    def times(index: SqliteVectorIndex) -> list[float]:
        found.clear()
        return timed([partial(call, index, *query) for query in queries])

    before = resident()
    drop_from_page_cache(path)
    start = time.perf_counter()
    database, index = opened(path, corpus.dimension)
    call(index, *queries[0])
    from_disk = time.perf_counter() - start
    disk = times(index)
    database.close()

    start = time.perf_counter()
    database, index = opened(path, corpus.dimension)
    call(index, *queries[0])
    opening = time.perf_counter() - start
    cached = times(index)
    memory = resident() - before
    again = times(index)
    database.close()
    return {
        "open from disk": from_disk,
        "open": opening,
        "disk": disk,
        "cached": cached,
        "again": again,
        "memory": memory,
        "ids": [nearest(hits) for hits in found],
    }


def nearest(hits: Sequence[Hit]) -> list[str]:
    """Ids of the most similar hits."""
    ranked = sorted(hits, key=lambda hit: -2.0 if hit.similarity is None else -hit.similarity)
    return [hit.key[0] for hit in ranked[:NEAREST]]


def search_theirs(path: Path, corpus: Corpus, shape: Shape, count: int) -> dict[str, Any]:
    """Measure the same queries with FTS5 and numpy."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA mmap_size = 1073741824")
    before = resident()

    def vectors_of(owner: int) -> tuple[npt.NDArray[np.int64], Vectors]:
        rows = connection.execute(
            "SELECT id, vector FROM fact WHERE owner = ?", (owner,)
        ).fetchall()
        matrix = np.frombuffer(b"".join(row[1] for row in rows), np.float32)
        return np.array([row[0] for row in rows]), matrix.reshape(len(rows), -1)

    everything = vectors_of(0) if shape.owners == 1 else None

    def search(number: int, text: str, vector: Vectors) -> object:
        owner = shape.owner(number)
        numbers, matrix = everything or vectors_of(owner)
        similarities = np.vecdot(matrix, vector)
        best = np.argpartition(-similarities, min(LIMIT, len(numbers)) - 1)[:LIMIT]
        words = connection.execute(
            "SELECT fact.id, bm25(words) FROM words JOIN fact ON fact.id = words.rowid "
            "WHERE words MATCH ? AND owner = ? ORDER BY bm25(words) LIMIT ?",
            (" OR ".join(f'"{word}"' for word in text.split()), owner, LIMIT),
        ).fetchall()
        return numbers[best], words

    queries = corpus.queries(count)
    search(*queries[0])
    return {
        "cached": timed([partial(search, *query) for query in queries]),
        "memory": resident() - before,
    }


def in_a_process(what: str, path: Path, corpus: Corpus, shape: Shape, count: int) -> dict[str, Any]:
    """Run one of the searches above in a subprocess, to measure its memory alone."""
    arguments = [
        sys.executable, "-m", "bench.scale", "--run", what, str(path),
        "--facts", str(corpus.facts), "--dimension", str(corpus.dimension),
        "--shape", shape.name, "--queries", str(count),
    ]  # fmt: skip
    output = subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout
    result: dict[str, Any] = json.loads(output)
    return result


def size_of(path: Path) -> float:
    """Size on disk, in MiB."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")) / 2**20


def rows_for(shape: Shape, corpus: Corpus, folder: Path, options: argparse.Namespace) -> list[Row]:
    """Build, search and compare one shape."""
    ours, theirs = folder / f"ours-{shape.name}.db", folder / f"theirs-{shape.name}.db"
    building = build_ours(ours, corpus, shape)
    mine = in_a_process("ours", ours, corpus, shape, options.queries)
    other: dict[str, Any] = {}
    if options.alternative:
        other["building"] = build_theirs(theirs, corpus, shape)
        other |= in_a_process("theirs", theirs, corpus, shape, min(20, options.queries))
        other["size"] = size_of(theirs)
    many = shape.owners > 1
    who = f"{shape.owners:,} owners x {PER_OWNER}" if many else f"one owner x {corpus.facts:,}"

    def latency(case: str, kind: str, q: float, **fields: Any) -> Row:
        milliseconds = quantile(mine[kind], q) * 1e3
        return Row(
            case=f"{who}: {case}", unit="ms", ours=milliseconds, more_is_better=False, **fields
        )

    def cost(case: str, unit: str, value: float, theirs: float | None = None) -> Row:
        return Row(
            case=f"{who}: {case}", unit=unit, ours=value, theirs=theirs, more_is_better=False
        )

    fresh = ", owner not in memory" if many else ""
    rows = [
        latency(f"search, p50{fresh}", "cached", 0.5, bar=2.0 if many else 50.0),
        latency(f"search, p95{fresh}", "cached", 0.95),
        latency("search, p50, file not in the page cache", "disk", 0.5),
        cost("open and search once", "s", mine["open"]),
        cost("the same, file not in the page cache", "s", mine["open from disk"]),
        cost("memory", "MiB", mine["memory"], other.get("memory")),
        cost("on disk", "MiB", size_of(ours), other.get("size")),
        Row(
            case=f"{who}: build",
            unit="facts/s",
            ours=corpus.facts / building,
            theirs=corpus.facts / other["building"] if other else None,
        ),
    ]
    if many:
        rows.insert(2, latency("search, p50, owner in memory", "again", 0.5))
    else:
        truth = exact(corpus, corpus.queries(options.queries))
        found = [len(own & set(ids)) for own, ids in zip(truth, mine["ids"], strict=True)]
        recall = sum(found) / (NEAREST * len(found))
        rows.insert(2, Row(case=f"{who}: vector recall@10", unit="", ours=recall, bar=0.95))
    if other:
        rows.insert(
            1,
            latency(
                "the same, compared", "cached", 0.5, theirs=quantile(other["cached"], 0.5) * 1e3
            ),
        )
    if not options.keep:
        for file in (*folder.glob(f"{ours.name}*"), *folder.glob(f"{theirs.name}*")):
            file.unlink()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--facts", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--shape", choices=["many", "one", "both"], default="both")
    parser.add_argument("--folder", type=Path, help="where the databases go (a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the databases there")
    parser.add_argument("--no-alternative", dest="alternative", action="store_false")
    parser.add_argument("--run", nargs=2, metavar=("WHAT", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    corpus = Corpus(options.facts, options.dimension)
    if options.run:
        what, path = options.run
        work = search_ours if what == "ours" else search_theirs
        shape = shape_named(options.shape, options.facts)
        print(json.dumps(work(Path(path), corpus, shape, options.queries)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        names = ["many", "one"] if options.shape == "both" else [options.shape]
        rows = [
            row
            for name in names
            for row in rows_for(shape_named(name, options.facts), corpus, folder, options)
        ]
    met = report(
        "scale",
        f"Search at {options.facts:,} facts",
        rows,
        subjects=("remembrancer", "FTS5 + numpy"),
        settings={"facts": options.facts, "dimension": options.dimension, "limit": LIMIT},
    )
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
