"""Verify a SQLite file, in this process or in several.

It reads alone. Each ledger is checked in one view of the file, so that writers may go on.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from remembrancer.adapters.stores.sqlite.connections import one_view
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.inspection import processes
from remembrancer.adapters.stores.sqlite.inspection.file import FileInspection
from remembrancer.adapters.stores.sqlite.inspection.index import IndexInspection
from remembrancer.adapters.stores.sqlite.inspection.ledger import LedgerInspection
from remembrancer.adapters.stores.sqlite.inspection.sections import Sections
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings
from remembrancer.domain.audit.chain import StoredLedger
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import LOG, RESTORE, Findings, made_otherwise
from remembrancer.domain.audit.jobs import refuse_processes
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.inspection import Progress
from remembrancer.domain.scope import LedgerId

SHARES = 8
"""Shares of ledgers per process: a process that is done early takes another."""

LEDGERS = 1_000
"""Ledgers whose rows are read at once."""

CACHE = 8_192
"""KiB of pages that are held."""

_LEDGERS = (
    "SELECT id, name, version, hash, recorded_at, handle, requests FROM ledger "
    "WHERE id > ? ORDER BY id LIMIT ?"
)
_LEDGER = Table(name="ledger", projection=LOG, help=RESTORE)
_KINDS = (int, str, int, bytes, int, bytes, bytes)

Share: TypeAlias = tuple[int, ...]
"""The numbers of ledgers that are checked together."""


@frozen(kw_only=True)
class Task:
    """What the checks of all ledgers need; it is sent to other processes.

    Args:
        settings: of the file, to be read.
        codec: decodes the events.
        embeddings: the model of the index.
        chain: whether the log alone is checked.
        indexed: whether the index was made with this model and release.
        embedder: computes vectors again; ``None`` if it is not to.
    """

    settings: SqliteSettings
    codec: Codec
    embeddings: Embeddings
    chain: bool
    indexed: bool
    embedder: Any = field(repr=False)


class SqliteInspection:
    """``Inspection`` of a SQLite file.

    Args:
        database: the open database.
        codec: decodes the events.
        embeddings: the model of the index.
        fingerprints: returns the fingerprint of each read model, by name.
        create: creates the tables of all read models that are missing.
    """

    def __init__(
        self,
        database: Database,
        codec: Codec,
        embeddings: Embeddings,
        fingerprints: Callable[[], dict[str, str]],
        create: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._database = database
        self._codec = codec
        self._embeddings = embeddings
        self._fingerprints = fingerprints
        self._create = create

    def check(
        self, *, chain: bool, jobs: int, embedder: Any, progress: Progress | None
    ) -> Findings:
        """See ``Inspection.check``."""
        if self._database.settings.path == ":memory:":
            refuse_processes(jobs)
        findings = Findings()
        fingerprints = self._fingerprints()
        with self._viewed() as connection:
            file = FileInspection(
                connection=connection, path=self._database.path, findings=findings
            )
            if not chain:
                file.form(self._create_all)
            made_with = _stored_fingerprint(connection)
            indexed = chain or made_with in (fingerprints["index"], None)
            total, ledgers = _ledgers(connection, self._database.path, findings)
        task = Task(
            settings=evolve(self._database.settings, read_only=True),
            codec=self._codec,
            embeddings=self._embeddings,
            chain=chain,
            indexed=indexed,
            embedder=embedder,
        )
        done = 0

        def found(part: Findings) -> None:
            nonlocal done
            done += part.checked["events"]
            if progress is not None:
                progress(done, total)

        others = min(jobs, total // processes.WORTH) - 1
        # Refused whatever the size of the file.
        sent = processes.pickled(task) if jobs > 1 else b""
        if others > 0:
            parts = processes.divided(
                _shares(ledgers, jobs),
                lambda share: checked(self._database, task, share),
                others,
                _begin,
                sent,
                found,
            )
        else:
            parts = []
            for share in _shares(ledgers, 1):
                parts.append(checked(self._database, task, share))
                found(parts[-1])
        # In order, so that the first fault is the same with any number of processes.
        for part in parts:
            findings.add(part)
        with self._viewed() as connection:
            file = FileInspection(
                connection=connection, path=self._database.path, findings=findings
            )
            file.positions()
            if not chain:
                file.models(fingerprints if indexed else {**fingerprints, "index": str(made_with)})
        if not indexed:
            findings.skip("the index", made_otherwise(made_with, fingerprints["index"]))
        elif embedder is None and not chain:
            findings.skip("vectors", "the embedder does not compute in this process")
        return findings

    @contextmanager
    def _viewed(self) -> Iterator[sqlite3.Connection]:
        with self._database.reader() as connection, _small_cache(connection), one_view(connection):
            yield connection

    def _create_all(self, fresh: sqlite3.Connection) -> None:
        for migration in SCHEMA_VERSIONS:
            migration(fresh)
        self._create(fresh)


def checked(database: Database, task: Task, share: Share) -> Findings:
    """Check some ledgers, each in one view of the file."""
    findings = Findings()
    with database.reader() as connection, _small_cache(connection):
        for number in share:
            with one_view(connection):
                _check(connection, database.path, task, number, findings)
    return findings


@contextmanager
def _small_cache(connection: sqlite3.Connection) -> Iterator[None]:
    """Almost every page is read once: a cache for searches would only take memory."""
    ((pages,),) = connection.execute("PRAGMA cache_size")
    connection.execute(f"PRAGMA cache_size = -{CACHE}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA cache_size = {pages}")


def _check(
    connection: sqlite3.Connection, path: str, task: Task, number: int, findings: Findings
) -> None:
    rows: list[StoredLedger] = []
    Sections(connection, path, findings).run(
        "ledger", LOG, lambda: rows.extend(_read(connection, number - 1, 1, findings))
    )
    for ledger in rows:
        inspection = LedgerInspection(
            connection=connection, path=path, codec=task.codec, findings=findings
        )
        if task.chain:
            inspection.chain(ledger)
            continue
        folds = inspection.models(ledger)
        if task.indexed:
            IndexInspection(
                connection=connection,
                path=path,
                embeddings=task.embeddings,
                embed=None
                if task.embedder is None
                else lambda texts: task.embedder.embed(texts, "document"),
                findings=findings,
                ledger=ledger.name,
            ).check(folds)
        else:
            deque(folds, 0)


def _read(
    connection: sqlite3.Connection, after: int, limit: int, findings: Findings
) -> Iterator[StoredLedger]:
    for row in connection.execute(_LEDGERS, (after, limit)):
        wrong = [
            (column, kind, value)
            for column, kind, value in zip(_COLUMNS, _KINDS, row, strict=True)
            if not isinstance(value, kind)
        ]
        for column, kind, value in wrong:
            Comparison(findings).value(_LEDGER, f"id {row[0]}", column, kind.__name__, value)
        if not wrong:
            yield StoredLedger(
                id=row[0],
                name=LedgerId(row[1]),
                version=row[2],
                hash=row[3],
                recorded_at=row[4],
                handle=row[5],
                requests=row[6],
            )


_COLUMNS = ("id", "name", "version", "hash", "recorded_at", "handle", "requests")


def _ledgers(
    connection: sqlite3.Connection, path: str, findings: Findings
) -> tuple[int, list[tuple[int, int]]]:
    """The number of events, and the number and size of each ledger."""
    found: list[tuple[int, int]] = []

    def part() -> None:
        found.extend(connection.execute("SELECT id, version FROM ledger ORDER BY id"))

    Sections(connection, path, findings).run("ledger", LOG, part)
    sizes = [(number, size if isinstance(size, int) else 1) for number, size in found]
    return sum(size for _, size in sizes), sizes


def _stored_fingerprint(connection: sqlite3.Connection) -> str | None:
    rows = connection.execute("SELECT fingerprint FROM projection WHERE name = 'index'").fetchall()
    return rows[0][0] if rows else None


def _shares(ledgers: Sequence[tuple[int, int]], jobs: int) -> Iterator[Share]:
    """The ledgers, in shares with about the same number of events."""
    size = max(1, sum(size for _, size in ledgers) // (jobs * SHARES))
    share: list[int] = []
    weight = 0
    for number, events in ledgers:
        share.append(number)
        weight += events
        if weight >= size or len(share) >= LEDGERS:
            yield tuple(share)
            share, weight = [], 0
    if share:
        yield tuple(share)


def _begin(sent: bytes) -> Callable[[Share], Findings]:
    """What checks shares, in a process that checks."""
    task: Task = pickle.loads(sent)
    database = Database(task.settings, SCHEMA_VERSIONS)
    return lambda share: checked(database, task, share)
