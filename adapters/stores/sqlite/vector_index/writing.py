"""Upsert and delete documents: rows, embeddings and counts, inside the caller's transaction.

It updates the segment that a document is in; new segments are built later, by ``compaction``.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.index_scoring.argument_checks import checked_vectors
from remembrancer.adapters.stores.sqlite.vector_index import segments
from remembrancer.adapters.stores.sqlite.vector_index.block import ALWAYS, EVER
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings, forget_unused
from remembrancer.adapters.stores.sqlite.vector_index.ledgers import (
    Ledger,
    load_ledger,
    open_ledger,
    save,
)
from remembrancer.adapters.stores.sqlite.vector_index.segments import TextField
from remembrancer.adapters.stores.sqlite.vector_index.terms import (
    EncodedTerms,
    decode_names,
    decode_terms,
    encode_names,
)
from remembrancer.domain.epoch_micros import optional_microseconds, to_microseconds
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.domain.text import name_keys

_INSERT = f"INSERT INTO index_document VALUES ({', '.join('?' * 22)})"

_HELD = (
    "SELECT id, ledger, embedding, speaker, text_length, context_length, names, content "
    "FROM index_document WHERE fact_id = ? AND version = ?"
)


@frozen
class _Held:
    """The columns of a row that replacing or removing its document needs."""

    id: int
    ledger: int
    embedding: int | None
    speaker: str | None
    text_length: int
    context_length: int
    names: bytes
    content: bytes


def put(
    connection: sqlite3.Connection,
    embeddings: Embeddings,
    documents: Sequence[Document],
    terms: EncodedTerms,
) -> None:
    """See ``VectorIndex.put``; within a batch the last document of a key wins.

    Raises:
        InvalidRequest: a vector has another dimension or is not finite; nothing was written.
    """
    vectors = checked_vectors(documents, embeddings.dimension)
    pairs = {
        document.key: (document, vector)
        for document, vector in zip(documents, vectors, strict=True)
    }
    writing = _Writing(connection, embeddings)
    for document, vector in pairs.values():
        writing.put(document, vector, terms)
    writing.finish()


def remove(connection: sqlite3.Connection, embeddings: Embeddings, keys: Iterable[FactKey]) -> None:
    """See ``VectorIndex.remove``."""
    writing = _Writing(connection, embeddings)
    for key in dict.fromkeys(keys):
        writing.remove(key)
    writing.finish()


class _Writing:
    """The writes of one call. Rows that several documents share are read and written once."""

    def __init__(self, connection: sqlite3.Connection, embeddings: Embeddings) -> None:
        self._connection = connection
        self._embeddings = embeddings
        self._model: int | None = None
        self._ledgers: dict[int, Ledger] = {}
        self._by_name: dict[LedgerId, Ledger] = {}
        self._scopes: dict[Scope, int] = {}
        self._speakers: Counter[tuple[int, str]] = Counter()
        self._names: Counter[tuple[int, int]] = Counter()
        self._dropped: set[int] = set()

    def put(
        self,
        document: Document,
        vector: npt.NDArray[np.float32] | None,
        terms: EncodedTerms,
    ) -> None:
        ledger = self._ledger(document.scope.ledger)
        held = self._held(document.key)
        content = _content(document)
        embedding = None if vector is None else self._embedding(ledger, document.text, vector)
        if held is None:
            number = ledger.new_document()
        elif (held.ledger, held.content, held.embedding) == (ledger.id, content, embedding):
            self._retime(ledger, held.id, document)
            return
        else:
            number = self._replaced(ledger, held)
        self._insert(ledger, number, document, content, embedding, terms)

    def remove(self, key: FactKey) -> None:
        held = self._held(key)
        if held is not None:
            ledger = self._numbered(held.ledger)
            if not self._delete(ledger, held):
                # Snapshots catch up on written rows, not on deleted ones: force a reload.
                ledger.generation += 1

    def finish(self) -> None:
        """Write the counts back, and delete unused embeddings."""
        for ledger in self._ledgers.values():
            save(self._connection, ledger)
        _count(self._connection, "index_speaker", self._speakers)
        _count(self._connection, "index_name", self._names)
        forget_unused(self._connection, self._dropped)

    def _ledger(self, name: LedgerId) -> Ledger:
        if name not in self._by_name:
            self._by_name[name] = self._started(open_ledger(self._connection, name))
        return self._by_name[name]

    def _numbered(self, number: int) -> Ledger:
        if number not in self._ledgers:
            self._started(load_ledger(self._connection, number))
        return self._ledgers[number]

    def _started(self, ledger: Ledger) -> Ledger:
        if ledger.id not in self._ledgers:
            ledger.revision += 1
            self._ledgers[ledger.id] = ledger
        return self._ledgers[ledger.id]

    def _held(self, key: FactKey) -> _Held | None:
        row = self._connection.execute(_HELD, key).fetchone()
        return None if row is None else _Held(*row)

    def _embedding(self, ledger: Ledger, text: str, vector: npt.NDArray[np.float32]) -> int:
        if self._model is None:
            self._model = self._embeddings.open(self._connection)
        return self._embeddings.keep(self._connection, ledger, self._model, text, vector)

    def _scope(self, ledger: Ledger, scope: Scope) -> int:
        if scope not in self._scopes:
            ids = (ledger.id, scope.agent_id or "", scope.run_id or "", scope.app_id or "")
            find = (
                "SELECT id FROM index_scope "
                "WHERE ledger = ? AND agent_id = ? AND run_id = ? AND app_id = ?"
            )
            row = self._connection.execute(find, ids).fetchone()
            if row is None:
                self._connection.execute(
                    "INSERT INTO index_scope (ledger, agent_id, run_id, app_id) "
                    "VALUES (?, ?, ?, ?)",
                    ids,
                )
                row = self._connection.execute(find, ids).fetchone()
            self._scopes[scope] = row[0]
        return self._scopes[scope]

    def _insert(
        self,
        ledger: Ledger,
        number: int,
        document: Document,
        content: bytes,
        embedding: int | None,
        terms: EncodedTerms,
    ) -> None:
        scope = self._scope(ledger, document.scope)
        row = row_of(
            document,
            terms,
            number=number,
            ledger=ledger.id,
            touched=ledger.revision,
            scope=scope,
            embedding=embedding,
            content=content,
        )
        self._connection.execute(_INSERT, row)
        text_length, context_length, names = (row[place] for place in _COUNTED)
        ledger.documents += 1
        ledger.uncovered += 1
        ledger.text_length += text_length
        ledger.context_length += context_length
        self._tally(ledger, document.speaker, names, 1)

    def _tally(self, ledger: Ledger, speaker: str | None, names: bytes, count: int) -> None:
        if speaker is not None:
            self._speakers[ledger.id, speaker] += count
        for name in decode_names([names])[0].tolist():
            self._names[ledger.id, name] += count

    def _retime(self, ledger: Ledger, number: int, document: Document) -> None:
        """Update the times and filter fields of a document whose searched content is unchanged."""
        times = _times(document)
        self._connection.execute(
            "UPDATE index_document SET touched = ?, visible_from = ?, visible_to = ?, "
            "valid_from = ?, valid_to = ?, attributes = ?, metadata = ? WHERE id = ?",
            (ledger.revision, *times, *_filtered(document), number),
        )
        segment = segments.segment_with(self._connection, ledger, number)
        if segment is not None:
            visible_from, visible_to, valid_from, valid_to = times
            segments.retime(
                self._connection,
                ledger,
                segment,
                number,
                (
                    ALWAYS if visible_from is None else visible_from,
                    EVER if visible_to is None else visible_to,
                    ALWAYS if valid_from is None else valid_from,
                    EVER if valid_to is None else valid_to,
                ),
            )

    def _replaced(self, ledger: Ledger, held: _Held) -> int:
        """Delete the old document of a key, and return the number of the new one."""
        home = self._numbered(held.ledger)
        was_in_segment = self._delete(home, held)
        if home is ledger and not was_in_segment:
            return held.id
        if not was_in_segment:
            home.generation += 1
        return ledger.new_document()

    def _delete(self, ledger: Ledger, held: _Held) -> bool:
        """Delete a document; returns whether it was in a segment."""
        segment = segments.segment_with(self._connection, ledger, held.id)
        if segment is None:
            ledger.uncovered -= 1
        else:
            segments.withdraw(self._connection, ledger, segment, held.id, self._terms_of(held.id))
        self._connection.execute("DELETE FROM index_document WHERE id = ?", (held.id,))
        ledger.documents -= 1
        ledger.text_length -= held.text_length
        ledger.context_length -= held.context_length
        self._tally(ledger, held.speaker, held.names, -1)
        if held.embedding is not None:
            self._dropped.add(held.embedding)
        return segment is not None

    def _terms_of(self, number: int) -> dict[TextField, Iterable[int]]:
        encoded = self._connection.execute(
            "SELECT text_terms, context_terms FROM index_document WHERE id = ?", (number,)
        ).fetchone()
        return {
            field: decode_terms([data])[0].tolist()
            for field, data in zip(TextField, encoded, strict=True)
        }


COLUMNS = (
    *("id", "ledger", "touched", "fact_id", "version", "scope"),
    *("visible_from", "visible_to", "valid_from", "valid_to", "occurred_at", "speaker"),
    *("embedding", "text_length", "context_length", "text_terms", "context_terms", "names"),
    *("content", "pending", "attributes", "metadata"),
)
"""The columns of ``row_of``: all of ``index_document``, in their order."""

_COUNTED = [COLUMNS.index(name) for name in ("text_length", "context_length", "names")]


def row_of(
    document: Document,
    terms: Callable[[str], tuple[int, bytes]],
    *,
    number: int,
    ledger: int,
    touched: int,
    scope: int | None,
    embedding: int | None,
    content: bytes | None = None,
) -> tuple[Any, ...]:
    """The row of a document; the numbers are those of the rows that it refers to."""
    text_length, text_terms = terms(document.text)
    context_length, context_terms = terms(document.context)
    fact_id, version = document.key
    return (
        number,
        ledger,
        touched,
        fact_id,
        version,
        scope,
        *_times(document),
        to_microseconds(document.occurred_at),
        document.speaker,
        embedding,
        text_length,
        context_length,
        text_terms,
        context_terms,
        encode_names(name_keys(document.entities)),
        _content(document) if content is None else content,
        document.text if embedding is None else None,
        *_filtered(document),
    )


def _count(
    connection: sqlite3.Connection, table: str, counts: Mapping[tuple[int, Any], int]
) -> None:
    """Add to the number of documents per speaker or name."""
    changes = [(ledger, name, count) for (ledger, name), count in counts.items() if count]
    connection.executemany(
        f"INSERT INTO {table} VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET documents = documents + excluded.documents",
        changes,
    )
    connection.executemany(
        f"DELETE FROM {table} WHERE ledger = ? AND name = ? AND documents = 0",
        [(ledger, name) for ledger, name, count in changes if count < 0],
    )


def _content(document: Document) -> bytes:
    """A digest (16 bytes) of a document's searched content."""
    parts = (
        document.text,
        document.context,
        document.speaker,
        document.entities,
        to_microseconds(document.occurred_at),
        *document.scope.ids().items(),
    )
    # The repr of a tuple of strings and numbers is unambiguous; ascii() escapes lone surrogates.
    return blake2b(ascii(parts).encode(), digest_size=16).digest()


def _times(document: Document) -> tuple[int | None, int | None, int | None, int | None]:
    return (
        optional_microseconds(document.visible.start),
        optional_microseconds(document.visible.end),
        optional_microseconds(document.valid.start),
        optional_microseconds(document.valid.end),
    )


def _filtered(document: Document) -> tuple[str, str]:
    """The built-in fields and the metadata for filters, as JSON; times in microseconds."""
    fields = {
        name: to_microseconds(value) if isinstance(value, datetime) else value
        for name, value in document.attributes.items()
    }
    metadata = fields.pop("metadata", None)
    return json_of(fields), _json(metadata) if metadata else "{}"


def json_of(fields: Mapping[str, Any]) -> str:
    """Texts, lists of texts and whole numbers as JSON; the same as ``_json`` in a tenth of the
    time.
    """
    if _EXACT.issuperset(map(type, fields.values())):
        with suppress(UnicodeEncodeError, OverflowError):
            return msgspec.json.encode(fields).decode()
    # msgspec writes some floats otherwise.
    return _json(fields)


_EXACT = frozenset({str, int, bool, list, type(None)})

# ``json.dumps`` would make an encoder for each value.
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
