"""Check the index of one ledger: documents, terms, vectors, counts and segments."""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import msgspec
from attrs import define, field

from remembrancer.adapters.stores.sqlite.inspection.parts import PartFold
from remembrancer.adapters.stores.sqlite.inspection.sections import Sections
from remembrancer.adapters.stores.sqlite.inspection.segments import SegmentCheck
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings, digest_of
from remembrancer.adapters.stores.sqlite.vector_index.schema import LOW_BITS, first_of, last_of
from remembrancer.adapters.stores.sqlite.vector_index.terms import EncodedBatch, number_of
from remembrancer.adapters.stores.sqlite.vector_index.writing import COLUMNS, row_of
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import Findings
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.facts.fact import Fact, FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import context_for, document_of
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import name_keys

Embed: TypeAlias = Callable[[Sequence[str]], Sequence[Vector]]
"""Computes the vectors of texts, the same as when they were stored."""

PAGE = 500
"""Documents that are compared together, and whose texts are embedded together."""

FORGET = 5_000
"""Documents after which the analysed texts are forgotten, to bound the memory."""

INDEX = "index"
DOCUMENT = Table(name="index_document", projection=INDEX, columns=COLUMNS)
EMBEDDING = Table(name="index_embedding", projection=INDEX, columns=("model", "digest"))
SCOPE = Table(name="index_scope", projection=INDEX)
SPEAKER = Table(name="index_speaker", projection=INDEX, columns=("documents",))
NAME = Table(name="index_name", projection=INDEX, columns=("documents",))
LEDGER = Table(name="index_ledger", projection=INDEX)

_DOCUMENTS = (
    f"SELECT {', '.join(f'document.{name}' for name in COLUMNS)}, embedding.model, "
    "embedding.digest FROM index_document AS document "
    "LEFT JOIN index_embedding AS embedding ON embedding.id = document.embedding "
    "WHERE document.id BETWEEN ? AND ? ORDER BY document.id"
)
_DOCUMENTS_OF = _DOCUMENTS.replace(
    "FROM index_document AS document ",
    "FROM (SELECT value FROM json_each(?)) AS wanted CROSS JOIN index_document AS document "
    "ON document.fact_id = wanted.value ",
)
_EMBEDDING = COLUMNS.index("embedding")


@define
class _Sums:
    """What the rows of documents add up to."""

    documents: int = 0
    text_length: int = 0
    context_length: int = 0
    touched: int = 0
    last: int = 0
    speakers: Counter[str] = field(factory=Counter)
    names: Counter[int] = field(factory=Counter)
    scopes: set[int] = field(factory=set)


@define(kw_only=True)
class IndexInspection:
    """Checks the index rows of one ledger, in one view of the file.

    Args:
        connection: in a read transaction.
        path: of the file, for errors.
        embeddings: the model that the index was made with.
        embed: computes vectors; ``None`` if they are not to be recomputed.
        findings: gets the faults.
        ledger: the name of the ledger.
    """

    connection: sqlite3.Connection
    path: str
    embeddings: Embeddings
    embed: Embed | None
    findings: Findings
    ledger: LedgerId
    _row: dict[str, Any] | None = None
    _scopes: dict[tuple[str, str, str], int] = field(factory=dict)
    _sums: _Sums = field(factory=_Sums)
    _read: bool = True

    def check(self, folds: Iterable[LedgerFold]) -> None:
        """Check the index of a ledger against its fold, or those of its parts."""
        began = False
        for fold in folds:
            if not began:
                self._begin()
                began = True
            self._part(fold)
        if began:
            self._finish()

    @property
    def _comparison(self) -> Comparison:
        return Comparison(self.findings, self.ledger)

    def _run(self, table: str, part: Callable[[], object]) -> bool:
        return Sections(self.connection, self.path, self.findings, self.ledger).run(
            table, INDEX, part
        )

    def _begin(self) -> None:
        rows: list[Any] = []
        select = f"SELECT {', '.join(_LEDGER_COLUMNS)} FROM index_ledger WHERE name = ?"
        self._run(
            "index_ledger", lambda: rows.extend(self.connection.execute(select, (self.ledger,)))
        )
        if rows:
            row = self._row = dict(zip(_LEDGER_COLUMNS, rows[0], strict=True))
            self._run("index_scope", lambda: self._scopes.update(self._held_scopes(row["id"])))

    def _part(self, fold: LedgerFold) -> None:
        row = self._row
        if row is not None:
            self._read &= self._run("index_document", lambda: self._documents(fold, row))
        elif self._read and any(True for _ in fold.indexed()):
            self._comparison.missing(LEDGER, self.ledger)
            self._read = False

    def _finish(self) -> None:
        row = self._row
        if row is None or not self._read:
            return
        self._run("index_document", lambda: self._unread(row["id"]))
        self._counts(row)
        self._run(
            "index_segment",
            lambda: SegmentCheck(
                self.connection, self.embeddings, self.findings, self._comparison
            ).check(row),
        )

    def _held_scopes(self, ledger: int) -> dict[tuple[str, str, str], int]:
        rows = self.connection.execute(
            "SELECT agent_id, run_id, app_id, id FROM index_scope WHERE ledger = ?", (ledger,)
        )
        return {(agent, run, app): number for agent, run, app, number in rows}

    # Documents

    def _documents(self, fold: LedgerFold, ledger: dict[str, Any]) -> None:
        comparison, sums, number = self._comparison, self._sums, ledger["id"]
        model, encode = self.embeddings.find(self.connection), EncodedBatch()
        expected = {fact.key: fact for fact in fold.indexed()}
        embedded: set[int] = set()
        since = 0
        for page in self._pages(number, fold):
            texts: dict[int, str] = {}
            paired: list[tuple[Any, Fact, Document]] = []
            for row in page:
                key = (row[3], row[4])
                fact = expected.pop(key, None)
                self._add(sums, row)
                if fact is None:
                    comparison.surplus(DOCUMENT, key)
                    continue
                context = context_for(fact, fold)
                paired.append((row, fact, document_of(fact, context=context, vector=None)))
            terms = encode(
                text for _, _, document in paired for text in (document.text, document.context)
            )
            for row, fact, document in paired:
                *found, held_model, digest = row
                key = (found[3], found[4])
                ids = fact.scope
                scope = self._scopes.get((ids.agent_id or "", ids.run_id or "", ids.app_id or ""))
                embedding = found[_EMBEDDING]
                wanted = row_of(
                    document,
                    terms.__getitem__,
                    number=found[0],
                    ledger=number,
                    touched=found[2],
                    scope=scope,
                    embedding=embedding,
                )
                comparison.row(DOCUMENT, key, wanted, tuple(found))
                self._count(sums, fact, scope)
                if embedding is not None:
                    right = (model, digest_of(fact.text))
                    comparison.row(EMBEDDING, f"id {embedding}", right, (held_model, digest))
                    if right == (held_model, digest) and embedding not in embedded:
                        texts[embedding] = fact.text
            self._vectors(comparison, texts)
            embedded.update(texts)
            since += len(page)
            if since >= FORGET:
                encode, since = EncodedBatch(), 0
        for key in expected:
            self._lost(comparison, key)

    def _pages(self, ledger: int, fold: LedgerFold) -> Iterator[list[Any]]:
        bounds = (first_of(ledger), last_of(ledger))
        if not isinstance(fold, PartFold):
            rows = self.connection.execute(_DOCUMENTS, bounds)
            while page := rows.fetchmany(PAGE):
                yield page
            return
        keys = iter(fold.state.facts)
        while some := list(islice(keys, PAGE)):
            wanted = msgspec.json.encode(some).decode()
            yield self.connection.execute(_DOCUMENTS_OF, (wanted, *bounds)).fetchall()

    def _unread(self, ledger: int) -> None:
        """Documents that no part has looked up, and vectors that no document uses."""
        bounds = (first_of(ledger), last_of(ledger))
        ((count,),) = self.connection.execute(
            "SELECT count(*) FROM index_document WHERE id BETWEEN ? AND ?", bounds
        )
        if count != self._sums.documents:
            self._comparison.value(DOCUMENT, self.ledger, "id", self._sums.documents, count)
        self.findings.checked["documents"] += self._sums.documents
        self._unused(self._comparison, ledger, self.embeddings.find(self.connection))

    @staticmethod
    def _add(sums: _Sums, found: Sequence[Any]) -> None:
        sums.documents += 1
        sums.last = max(sums.last, found[0] & LOW_BITS)
        sums.touched = max(sums.touched, found[2])

    @staticmethod
    def _count(sums: _Sums, fact: Fact, scope: int | None) -> None:
        if fact.speaker is not None:
            sums.speakers[fact.speaker] += 1
        sums.names.update({number_of(name) for name in name_keys(fact.entities)})
        if scope is not None:
            sums.scopes.add(scope)

    def _lost(self, comparison: Comparison, key: FactKey) -> None:
        moved = self.connection.execute(
            "SELECT id FROM index_document WHERE fact_id = ? AND version = ?", key
        ).fetchone()
        if moved is None:
            comparison.missing(DOCUMENT, key)
        else:
            comparison.value(DOCUMENT, key, "id", "a number of its ledger", moved[0])

    def _vectors(self, comparison: Comparison, texts: dict[int, str]) -> None:
        if self.embed is None or not texts:
            return
        vectors = self.embed(list(texts.values()))
        first, last = min(texts), max(texts)
        stored = {
            number: vector
            for number, vector in self.connection.execute(
                "SELECT id, vector FROM index_embedding WHERE id BETWEEN ? AND ?", (first, last)
            )
            if number in texts
        }
        for number, vector in zip(texts, vectors, strict=True):
            wanted = array("f", vector).tobytes()
            if stored.get(number) != wanted:
                comparison.value(EMBEDDING, f"id {number}", "vector", wanted, stored.get(number))
        self.findings.checked["vectors"] += len(texts)

    def _unused(self, comparison: Comparison, ledger: int, model: int | None) -> None:
        """Vectors that no document uses; those of other models are kept for a rebuild."""
        rows = self.connection.execute(
            "SELECT id FROM index_embedding WHERE id BETWEEN ? AND ? AND model IS ? AND NOT EXISTS "
            "(SELECT 1 FROM index_document WHERE embedding = index_embedding.id)",
            (first_of(ledger), last_of(ledger), model),
        )
        for (number,) in rows:
            comparison.surplus(EMBEDDING, f"id {number}")

    # Counts

    def _counts(self, ledger: dict[str, Any]) -> None:
        number, comparison, sums = ledger["id"], self._comparison, self._sums
        comparison.listed(
            SCOPE,
            [f"id {each}" for each in sums.scopes],
            [f"id {each}" for each in self._scopes.values()],
        )
        for table, counts in ((SPEAKER, sums.speakers), (NAME, sums.names)):
            expected = {key: (count,) for key, count in counts.items()}

            def part(table: Table = table, expected: dict[Any, Any] = expected) -> None:
                rows = self.connection.execute(
                    f"SELECT name, documents FROM {table.name} WHERE ledger = ?", (number,)
                )
                comparison.keyed(table, expected, ((name, (held,)) for name, held in rows))

            self._run(table.name, part)
        self._run("index_ledger", partial(self._ledger, comparison, ledger, sums))

    def _ledger(self, comparison: Comparison, ledger: dict[str, Any], sums: _Sums) -> None:
        first, last = first_of(ledger["id"]), last_of(ledger["id"])
        text_length, context_length = self.connection.execute(
            "SELECT coalesce(sum(text_length), 0), coalesce(sum(context_length), 0) "
            "FROM index_document WHERE id BETWEEN ? AND ?",
            (first, last),
        ).fetchone()
        covered, segments = self.connection.execute(
            "SELECT coalesce(sum(living), 0), count(*) FROM index_segment WHERE ledger = ?",
            (ledger["id"],),
        ).fetchone()
        (embedding,) = self.connection.execute(
            "SELECT coalesce(max(id), 0) FROM index_embedding WHERE id BETWEEN ? AND ?",
            (first, last),
        ).fetchone()
        key = comparison.ledger or ""
        for column, expected in (
            ("documents", sums.documents),
            ("text_length", text_length),
            ("context_length", context_length),
            ("segments", segments),
            ("uncovered", sums.documents - covered),
        ):
            if ledger[column] != expected:
                comparison.value(LEDGER, key, column, expected, ledger[column])
        # Numbers are never used twice, so that these may be ahead.
        for column, least in (
            ("revision", sums.touched),
            ("generation", 0),
            ("last_document", sums.last),
            ("last_embedding", embedding & LOW_BITS),
        ):
            value = ledger[column]
            if not isinstance(value, int) or value < least:
                comparison.value(LEDGER, key, column, f"at least {least}", value)


_LEDGER_COLUMNS = (
    *("id", "name", "generation", "revision", "last_document", "last_embedding", "documents"),
    *("uncovered", "segments", "text_length", "context_length"),
)
