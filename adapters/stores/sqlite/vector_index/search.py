"""Search one ledger: find candidates in segments, compute exact signals for these and the tail."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import isqrt

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.index_scoring import bm25
from remembrancer.adapters.index_scoring.argument_checks import check_query, components
from remembrancer.adapters.index_scoring.hit_order import DIGITS
from remembrancer.adapters.stores.sqlite.connections import one_view
from remembrancer.adapters.stores.sqlite.vector_index.block import (
    Block,
    Field,
    Mask,
    Numbers,
    Scores,
    Times,
    load_numbers,
)
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings, cosines, unit
from remembrancer.adapters.stores.sqlite.vector_index.filter_mask import FilterMask
from remembrancer.adapters.stores.sqlite.vector_index.ledgers import Ledger, find_ledger
from remembrancer.adapters.stores.sqlite.vector_index.loaded import LoadedSegment, Shelf
from remembrancer.adapters.stores.sqlite.vector_index.postings import best_by_terms, count_postings
from remembrancer.adapters.stores.sqlite.vector_index.quantization import rotation_for
from remembrancer.adapters.stores.sqlite.vector_index.scanning import Scan
from remembrancer.adapters.stores.sqlite.vector_index.segments import TextField, centre_of
from remembrancer.adapters.stores.sqlite.vector_index.sizes import Sizes
from remembrancer.adapters.stores.sqlite.vector_index.snapshots import Snapshot, Snapshots
from remembrancer.adapters.stores.sqlite.vector_index.terms import number_of
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.vector_index import Hit, IndexQuery
from remembrancer.domain.scope import Scope

ENOUGH = 4
"""Minimum number of documents to rescore exactly, as a multiple of the query's limit."""

SHARE = 0.4
"""Minimum number of documents to rescore exactly, as a multiple of the square root of the ledger's
size, for any limit. For a million documents it is 400, with a recall@10 of 0.99.
"""


@frozen(eq=False)
class _Terms:
    """The terms of a query in one field, with their statistics over the whole ledger."""

    rarities: list[float]
    reach: float
    average: float


@frozen(eq=False)
class _Scored:
    """A block with its signals for a query, of shape (documents,); ``None`` if not asked for."""

    block: Block
    seen: Mask
    similarity: Scores | None
    keyword: Scores | None
    context: Scores | None
    entities: Scores | None


def search(
    connection: sqlite3.Connection,
    query: IndexQuery,
    *,
    embeddings: Embeddings,
    snapshots: Snapshots,
    sizes: Sizes,
) -> list[Hit]:
    """See ``VectorIndex.search``.

    Args:
        connection: in autocommit mode, or inside a transaction.
        query: the query.
        embeddings: the vectors of the current model.
        snapshots: the in-memory cache of ledgers.
        sizes: limits of a search.

    Raises:
        InvalidRequest: the query has neither text nor vector, or its vector has another dimension.
    """
    check_query(query)
    vector = None
    if query.vector is not None:
        vector = unit(components(query.vector, embeddings.dimension, "vector"))
    private = connection.in_transaction
    with one_view(connection):
        ledger = find_ledger(connection, query.scope.ledger)
        if ledger is None or not ledger.documents:
            return []
        scopes = _scopes(connection, ledger, query.scope)
        if scopes is not None and not scopes.size:
            return []
        snapshot = snapshots.current(connection, ledger, private=private)
        return _Search(
            connection, query, embeddings, sizes, ledger, snapshot, vector, scopes
        ).hits()


def _scopes(connection: sqlite3.Connection, ledger: Ledger, scope: Scope) -> Numbers | None:
    """The numbers of the scopes that ``scope`` covers; ``None`` for the whole ledger."""
    # The first id is the owner, the same for all documents of the ledger.
    _, *narrower = [(name, value) for name, value in scope.ids().items()]
    if not narrower:
        return None
    rows = connection.execute(
        "SELECT id FROM index_scope WHERE ledger = ? "
        + "".join(f"AND {name} = ? " for name, _ in narrower),
        (ledger.id, *(value for _, value in narrower)),
    ).fetchall()
    return np.array([row[0] for row in rows], np.int64)


class _Search:
    """One search on one snapshot of the ledger."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        query: IndexQuery,
        embeddings: Embeddings,
        sizes: Sizes,
        ledger: Ledger,
        snapshot: Snapshot,
        vector: npt.NDArray[np.float32] | None,
        scopes: Numbers | None,
    ) -> None:
        self._connection = connection
        self._query = query
        self._embeddings = embeddings
        self._sizes = sizes
        self._ledger = ledger
        self._snapshot = snapshot
        self._vector = vector
        self._scopes = scopes
        self._admit = None if query.where is None else FilterMask(connection, ledger, query.where)
        self._now = to_microseconds(query.now)
        self._as_of = None if query.as_of is None else to_microseconds(query.as_of)
        self._valid_at = None if query.valid_at is None else to_microseconds(query.valid_at)
        self._terms = [number_of(term) for term in query.terms]
        self._names = self._known_names(query.names)

    def _known_names(self, names: Sequence[str]) -> list[int]:
        """Those of some names that occur in a document of the ledger."""
        candidates = [number_of(name) for name in names]
        if not candidates:
            return []
        rows = self._connection.execute(
            "SELECT name FROM index_name WHERE ledger = ? "
            "AND name IN (SELECT value FROM json_each(?))",
            (self._ledger.id, json.dumps(candidates)),
        )
        return [row[0] for row in rows]

    def hits(self) -> list[Hit]:
        tail, segments = self._snapshot.tail, self._snapshot.segments
        entries = [field.entries(self._terms, tail.alive) for field in (tail.text, tail.context)]
        holders = [[places.size for places in field] for field in entries]
        if not segments:
            return self._chosen([self._scored(tail, entries, self._statistics(holders))])
        shelf = Shelf(segments, self._seen_in)
        counts = [
            count_postings(self._connection, shelf, field, self._terms) for field in TextField
        ]
        fields = self._statistics(np.add(holders, counts).tolist())
        found = self._found(shelf, counts, fields)
        again = [field.entries(self._terms, None) for field in (found.text, found.context)]
        return self._chosen(
            [self._scored(tail, entries, fields), self._scored(found, again, fields)]
        )

    def _statistics(self, holders: Sequence[Sequence[int]]) -> list[_Terms]:
        """BM25 statistics of text and context, from the document frequency of each term."""
        documents = self._ledger.documents
        return [
            _Terms(
                [bm25.rarity(documents, count) for count in counts],
                bm25.reach(documents, counts),
                average,
            )
            for counts, average in zip(holders, self._ledger.averages(), strict=True)
        ]

    def _scored(
        self,
        block: Block,
        entries: Sequence[Sequence[npt.NDArray[np.intp]]],
        fields: Sequence[_Terms],
    ) -> _Scored:
        def keyword(field: Field, places: Sequence[npt.NDArray[np.intp]], terms: _Terms) -> Scores:
            scores = field.scores(places, terms.rarities, terms.average)
            return np.round(scores / terms.reach, DIGITS)

        seen = self._seen(block.times, block.scopes)
        if block.alive is not None:
            seen &= block.alive
        return _Scored(
            block=block,
            seen=seen,
            similarity=(
                None if self._vector is None else np.round(block.similarities(self._vector), DIGITS)
            ),
            keyword=keyword(block.text, entries[0], fields[0]) if self._terms else None,
            context=keyword(block.context, entries[1], fields[1]) if self._terms else None,
            entities=np.round(block.shares(self._names), DIGITS) if self._names else None,
        )

    def _seen(self, times: Times, scopes: npt.NDArray[np.integer]) -> Mask:
        seen = times.seen(self._now, self._as_of, self._valid_at)
        if self._scopes is not None:
            seen &= np.isin(scopes, self._scopes)
        return seen

    def _seen_in(self, segment: LoadedSegment) -> Mask:
        return self._seen(segment.times, segment.scopes)

    # Candidates

    def _found(
        self, shelf: Shelf, counts: Sequence[Sequence[int]], fields: Sequence[_Terms]
    ) -> Block:
        """The best documents of the segments by each signal."""
        numbers = [self._nearest(shelf)]
        for field, held, terms in zip(TextField, counts, fields, strict=True):
            numbers.append(self._best_by_terms(shelf, field, held, terms))
        wanted = np.unique(np.concatenate(numbers))
        return load_numbers(self._connection, self._embeddings, wanted)

    def _nearest(self, shelf: Shelf) -> Numbers:
        """The documents most similar to the vector: approximate search by codes, then rescoring."""
        vector, centre = self._vector, centre_of(self._connection, self._ledger)
        # The codes may be of another embedder, after a rebuild by another process.
        if vector is None or centre is None or centre.size != vector.size:
            return np.empty(0, np.int64)
        scan = Scan(shelf, rotation_for(self._embeddings.dimension), vector, centre)
        slots = np.sort(self._near(shelf, scan))
        embeddings = shelf.embeddings(slots)
        found, vectors = self._embeddings.load(self._connection, embeddings)
        if not found.size:
            return np.empty(0, np.int64)
        places = np.searchsorted(found, embeddings).clip(max=found.size - 1)
        similarities = cosines(vectors, vector)[places]
        return shelf.best(slots, similarities, self._query.limit, None)

    def _near(self, shelf: Shelf, scan: Scan) -> npt.NDArray[np.intp]:
        """The slots of the documents with the nearest codes that pass the filter."""
        enough = ENOUGH * self._query.limit
        wanted = rescored = max(enough, int(SHARE * isqrt(len(shelf))))
        while True:
            near = scan.nearest(wanted)
            passed = near[self._passing(shelf, near)]
            if passed.size >= enough or near.size < wanted:
                return passed[:rescored]
            wanted *= 4

    def _passing(self, shelf: Shelf, slots: npt.NDArray[np.intp]) -> Mask:
        if self._admit is None:
            return np.ones(slots.size, np.bool_)
        order = np.argsort(slots)
        passing = np.empty(slots.size, np.bool_)
        passing[order] = self._admit(shelf.numbers(slots[order]))
        return passing

    def _best_by_terms(
        self, shelf: Shelf, field: TextField, counts: Sequence[int], terms: _Terms
    ) -> Numbers:
        """The documents with the best scores in a field, by the rarer terms of the query."""
        budget, limit = self._sizes.postings, self._query.limit
        rarities: dict[int, float] = {}
        for count, place in sorted((count, place) for place, count in enumerate(counts) if count):
            if rarities and count > budget:
                # The skipped terms add little, but can change the order: take more candidates.
                limit *= 2
                break
            budget -= count
            rarities[self._terms[place]] = terms.rarities[place]
        return best_by_terms(
            self._connection, shelf, field, rarities, terms.average, limit, self._admit
        )

    # Hits

    def _chosen(self, scored: Sequence[_Scored]) -> list[Hit]:
        """The union of the best documents by each signal."""
        pool = _Pool(scored)
        best: set[int] = set()
        for values, least in (
            (pool.similarity, -2.0),
            (pool.keyword, 0.0),
            (pool.context, 0.0),
        ):
            if values is not None:
                best.update(pool.best(values, least, self._query.limit, self._admit))
        return pool.hits(best)


class _Pool:
    """The documents of several blocks, with their concatenated signals."""

    def __init__(self, scored: Sequence[_Scored]) -> None:
        self._blocks = [each.block for each in scored]
        self._starts = [0, *accumulate(len(block) for block in self._blocks[:-1])]
        self._seen = np.concatenate([each.seen for each in scored])
        self._numbers = np.concatenate([block.numbers for block in self._blocks])

        def signal(name: str) -> Scores | None:
            arrays = [getattr(each, name) for each in scored]
            return None if arrays[0] is None else np.concatenate(arrays)

        self.similarity = signal("similarity")
        self.keyword = signal("keyword")
        self.context = signal("context")
        self.entities = signal("entities")

    def best(self, values: Scores, least: float, limit: int, admit: FilterMask | None) -> list[int]:
        """The offsets of the documents with the highest values above ``least``; ties by key."""
        places = np.flatnonzero(self._seen & (values > least))
        take = limit
        while True:
            chosen = places
            if places.size > take:
                here = values[places]
                chosen = places[here >= np.partition(here, places.size - take)[-take]]
            passed = chosen if admit is None else chosen[admit(self._numbers[chosen])]
            if passed.size >= limit or chosen.size == places.size:
                break
            take *= 4
        if passed.size <= limit:
            return list(map(int, passed))
        ranked = sorted((-values[place], self._key(place), place) for place in passed.tolist())
        return [place for _, _, place in ranked[:limit]]

    def _key(self, place: int) -> FactKey:
        which = bisect_right(self._starts, place) - 1
        return self._blocks[which].key(place - self._starts[which])

    def hits(self, places: Iterable[int]) -> list[Hit]:
        """The hits for documents, best first by the mean of the known signals, ties by key."""
        chosen = np.sort(np.fromiter(places, np.intp))
        signals = np.full((4, chosen.size), np.nan)
        for row, values in zip(
            signals, (self.similarity, self.keyword, self.context, self.entities), strict=True
        ):
            if values is not None:
                row[:] = values[chosen]
        known = ~np.isnan(signals)
        totals = np.where(known, signals, 0.0).sum(axis=0)
        strengths = (totals / np.maximum(1, known.sum(axis=0))).tolist()
        columns = [[None if value != value else value for value in row] for row in signals.tolist()]
        bounds = np.searchsorted(chosen, [*self._starts, self._seen.size]).tolist()
        hits: list[Hit] = []
        for block, start, low, high in zip(
            self._blocks, self._starts, bounds, bounds[1:], strict=False
        ):
            rows = (chosen[low:high] - start).tolist()
            hits += block.hits(rows, [column[low:high] for column in columns])
        ranked = sorted(
            (-strength, hit.key, hit) for strength, hit in zip(strengths, hits, strict=True)
        )
        return [hit for _, _, hit in ranked]
