"""Documents in memory (the tail of a ledger, or candidates), and their exact signals for a query.

A block is immutable; a newer state is a new block.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from remembrancer.adapters.index_scoring import bm25
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import (
    Embeddings,
    Vectors,
    products,
    unit,
)
from remembrancer.adapters.stores.sqlite.vector_index.ledgers import Ledger
from remembrancer.adapters.stores.sqlite.vector_index.terms import decode_names, decode_terms
from remembrancer.domain.epoch_micros import from_microseconds
from remembrancer.domain.facts.fact import FactId, FactKey, Interval
from remembrancer.domain.ports.vector_index import Hit

Numbers = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ALWAYS = -(1 << 63)
EVER = (1 << 63) - 1
"""``ALWAYS`` and ``EVER`` replace the open ends of an interval."""

TIMES = (
    f"ifnull(visible_from, {ALWAYS}), ifnull(visible_to, {EVER}), "
    f"ifnull(valid_from, {ALWAYS}), ifnull(valid_to, {EVER})"
)
"""The columns of ``Times``."""

_COLUMNS = (
    f"id, fact_id, version, scope, {TIMES}, occurred_at, speaker, ifnull(embedding, 0), "
    "text_length, context_length, text_terms, context_terms, names"
)


@frozen(eq=False)
class Times:
    """The visible and valid intervals of documents; arrays of shape (documents,), microseconds."""

    visible_from: Numbers
    visible_to: Numbers
    valid_from: Numbers
    valid_to: Numbers

    @cached_property
    def _until(self) -> Numbers:
        return np.minimum(self.visible_to, self.valid_to)

    def seen(self, now: int, as_of: int | None, valid_at: int | None) -> Mask:
        """A mask of the documents that a query at these times may see (see ``IndexQuery``)."""
        moment = now if as_of is None else as_of
        if as_of is None and valid_at is None:
            return self._until > moment
        mask = self.visible_to > moment
        if as_of is not None:
            mask &= self.visible_from <= as_of
        if valid_at is None:
            mask &= self.valid_to > moment
        else:
            mask &= self.valid_to > valid_at
            mask &= self.valid_from <= valid_at
        return mask


@frozen(eq=False)
class Field:
    """The terms of one text field of all documents.

    Args:
        terms: the number of the term, per entry.
        frequencies: occurrences of the term, per entry.
        owners: the document's offset, per entry.
        lengths: number of terms in the field, per document.
    """

    terms: Numbers
    frequencies: npt.NDArray[np.uint8]
    owners: npt.NDArray[np.int32]
    lengths: Numbers

    def entries(self, terms: Sequence[int], alive: Mask | None) -> list[npt.NDArray[np.intp]]:
        """For each term the offsets of its entries in documents that are alive."""
        found = [np.flatnonzero(self.terms == term) for term in terms]
        if alive is None:
            return found
        return [entries[alive[self.owners[entries]]] for entries in found]

    def scores(
        self,
        entries: Sequence[npt.NDArray[np.intp]],
        rarities: Sequence[float],
        average: float,
    ) -> Scores:
        """The BM25 score of each document.

        Args:
            entries: the result of ``entries``.
            rarities: inverse document frequency, per term.
            average: mean length of the field, in terms.
        """
        scores = np.zeros(self.lengths.size)
        for places, rarity in zip(entries, rarities, strict=True):
            if places.size:
                owners = self.owners[places]
                frequencies = self.frequencies[places].astype(np.float64)
                lengths = self.lengths[owners].astype(np.float64)
                # A document has one entry per term, so each owner is unique here.
                scores[owners] += rarity * bm25.weight(frequencies, lengths, average)
        return scores


@frozen(eq=False)
class Block:
    """Documents by column: each array and list has one element per document, unless noted.

    Args:
        numbers: their numbers in ``index_document``.
        alive: mask of the current ones; ``None`` if all are.
        times: their visible and valid intervals.
        scopes: their numbers in ``index_scope``.
        fact_ids, versions, speakers, occurred: the fields that hits return.
        embedded: mask of those that have a vector.
        vectors: of length 1, shape (documents, dimension); zero if there is none.
        text, context: their terms.
        names: numbers of their entities, one element per entity.
        name_owners: the document's offset, one element per entity.
    """

    numbers: Numbers
    alive: Mask | None
    times: Times
    scopes: Numbers
    fact_ids: list[str]
    versions: list[int]
    speakers: list[str | None]
    occurred: list[int]
    embedded: Mask
    vectors: Vectors
    text: Field
    context: Field
    names: Numbers
    name_owners: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.fact_ids)

    @cached_property
    def size(self) -> int:
        """Approximate bytes in memory."""
        fields = (self.text, self.context)
        arrays = sum(
            field.terms.nbytes + field.frequencies.nbytes + field.owners.nbytes for field in fields
        )
        # Besides the arrays: ten columns of eight bytes, and the objects of a key.
        return arrays + self.vectors.nbytes + 300 * len(self)

    def similarities(self, vector: npt.NDArray[np.float32]) -> Scores:
        """Cosines in [-1, 1] with a vector of length 1; NaN for a document without a vector."""
        similarities = products(self.vectors, vector).astype(np.float64)
        similarities[~self.embedded] = np.nan
        return similarities

    def shares(self, names: Sequence[int]) -> Scores:
        """The share in [0, 1] of ``names`` (at least one) that each document has."""
        known = np.isin(self.names, np.array(names, np.int64))
        counts = np.bincount(self.name_owners[known], minlength=len(self))
        shares: Scores = counts / len(names)
        return shares

    def key(self, row: int) -> FactKey:
        """The key of a document."""
        return (FactId(self.fact_ids[row]), self.versions[row])

    def hits(self, rows: Sequence[int], signals: Sequence[Iterable[float | None]]) -> list[Hit]:
        """The hits for documents.

        Args:
            rows: their offsets.
            signals: similarity, keyword, context and entities, each with one value per row.
        """
        starts, ends = self.times.valid_from[rows].tolist(), self.times.valid_to[rows].tolist()
        return [
            Hit(
                key=self.key(row),
                similarity=similarity,
                keyword=keyword,
                context=context,
                entities=entities,
                speaker=self.speakers[row],
                occurred_at=from_microseconds(self.occurred[row]),
                valid=_interval(start, end),
            )
            for row, start, end, similarity, keyword, context, entities in zip(
                rows, starts, ends, *signals, strict=True
            )
        ]

    def updated(self, changed: Block) -> Block:
        """A block with ``changed`` documents added; they replace those of the same number."""
        if not len(changed):
            return self
        kept = ~np.isin(self.numbers, changed.numbers)
        if self.alive is not None:
            kept &= self.alive
        together = joined([self, changed])
        if kept.all():
            return together
        return evolve(together, alive=np.concatenate([kept, np.ones(len(changed), np.bool_)]))

    def mostly_dead(self) -> bool:
        """Whether less than half of the documents are alive."""
        return self.alive is not None and 2 * int(np.count_nonzero(self.alive)) < len(self)


def joined(blocks: Sequence[Block]) -> Block:
    """Concatenate blocks (at least one). ``alive`` of the result is ``None``."""
    if len(blocks) == 1:
        return blocks[0]
    starts = np.cumsum([0, *(len(block) for block in blocks[:-1])]).astype(np.int32)

    def column(name: str) -> Any:
        return np.concatenate([getattr(block, name) for block in blocks])

    def values(name: str) -> list[Any]:
        return list(chain.from_iterable(getattr(block, name) for block in blocks))

    def owners(arrays: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
        return np.concatenate([array + start for array, start in zip(arrays, starts, strict=True)])

    def field(name: str) -> Field:
        fields: list[Field] = [getattr(block, name) for block in blocks]
        return Field(
            np.concatenate([field.terms for field in fields]),
            np.concatenate([field.frequencies for field in fields]),
            owners([field.owners for field in fields]),
            np.concatenate([field.lengths for field in fields]),
        )

    def time(name: str) -> Numbers:
        return np.concatenate([getattr(block.times, name) for block in blocks])

    return Block(
        numbers=column("numbers"),
        alive=None,
        times=Times(time("visible_from"), time("visible_to"), time("valid_from"), time("valid_to")),
        scopes=column("scopes"),
        fact_ids=values("fact_ids"),
        versions=values("versions"),
        speakers=values("speakers"),
        occurred=values("occurred"),
        embedded=column("embedded"),
        vectors=column("vectors"),
        text=field("text"),
        context=field("context"),
        names=column("names"),
        name_owners=owners([block.name_owners for block in blocks]),
    )


def load_range(
    connection: sqlite3.Connection, embeddings: Embeddings, first: int, last: int
) -> Block:
    """The documents with numbers from ``first`` to ``last``, inclusive."""
    return _load(connection, embeddings, "WHERE id BETWEEN ? AND ?", (first, last))


def load_touched(
    connection: sqlite3.Connection, embeddings: Embeddings, ledger: Ledger, revision: int
) -> Block:
    """The documents of a ledger that changed after a revision and are in no segment."""
    return _load(
        connection,
        embeddings,
        "AS document WHERE ledger = ? AND touched > ? AND NOT EXISTS (SELECT 1 FROM index_segment "
        "WHERE ledger = document.ledger AND first <= document.id AND last >= document.id)",
        (ledger.id, revision),
    )


def load_numbers(connection: sqlite3.Connection, embeddings: Embeddings, numbers: Numbers) -> Block:
    """The documents with these numbers."""
    wanted = json.dumps(np.sort(numbers).tolist())
    return _load(connection, embeddings, "WHERE id IN (SELECT value FROM json_each(?))", (wanted,))


def _load(
    connection: sqlite3.Connection,
    embeddings: Embeddings,
    where: str,
    parameters: tuple[object, ...],
) -> Block:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM index_document {where}", parameters)
    columns = list(zip(*rows.fetchall(), strict=True)) or [()] * 16

    def array(place: int) -> Numbers:
        return np.array(columns[place], np.int64)

    def field(place: int) -> Field:
        return Field(*decode_terms(columns[place]), array(place - 2))

    embedded, vectors = _vectors(connection, embeddings, array(10))
    names, name_owners = decode_names(columns[15])
    return Block(
        numbers=array(0),
        alive=None,
        times=Times(array(4), array(5), array(6), array(7)),
        scopes=array(3),
        fact_ids=list(columns[1]),
        versions=list(columns[2]),
        speakers=list(columns[9]),
        occurred=list(columns[8]),
        embedded=embedded,
        vectors=vectors,
        text=field(13),
        context=field(14),
        names=names,
        name_owners=name_owners,
    )


def _vectors(
    connection: sqlite3.Connection, embeddings: Embeddings, numbers: Numbers
) -> tuple[Mask, Vectors]:
    """A mask of documents with a vector, and the vectors, by embedding numbers."""
    found, vectors = embeddings.load(connection, numbers[numbers != 0])
    if not found.size:
        return np.zeros(numbers.size, np.bool_), np.zeros(
            (numbers.size, embeddings.dimension), np.float32
        )
    places = np.searchsorted(found, numbers).clip(max=found.size - 1)
    embedded = found[places] == numbers
    placed = unit(vectors)[places]
    placed[~embedded] = 0.0
    return embedded, placed


_UNBOUNDED = Interval()


def _interval(start: int, end: int) -> Interval:
    if start == ALWAYS and end == EVER:
        return _UNBOUNDED
    return Interval(
        start=None if start == ALWAYS else from_microseconds(start),
        end=None if end == EVER else from_microseconds(end),
    )
