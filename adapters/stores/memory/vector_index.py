"""A vector index in memory: exact brute-force search, the reference for other indexes in tests.

It compares a query with every document of the ledger, one by one. Nothing is durable.
"""

from __future__ import annotations

import heapq
import threading
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.index_scoring import bm25
from remembrancer.adapters.index_scoring.argument_checks import (
    check_query,
    checked_vectors,
    components,
)
from remembrancer.adapters.index_scoring.hit_order import DIGITS, strongest_first
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.recall.analysis import analyse
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import name_keys
from remembrancer.version import __version__


@frozen(kw_only=True)
class _Entry:
    """A document with its analysed terms and names."""

    document: Document
    vector: npt.NDArray[np.float32] | None
    text: Counter[str]
    context: Counter[str]
    names: frozenset[str]


class InMemoryVectorIndex:
    """``VectorIndex`` and ``ExternalIndex`` in dictionaries. The first vector sets the dimension.
    Thread-safe.
    """

    def __init__(self) -> None:
        # A new instance is empty, so it must not match the checkpoint of an earlier one.
        self.fingerprint = uuid4().hex
        self._lock = threading.Lock()
        self._ledgers: dict[LedgerId, dict[FactKey, _Entry]] = defaultdict(dict)
        self._homes: dict[FactKey, LedgerId] = {}
        self._vectors: dict[str, Vector] = {}
        self._dimension: int | None = None

    def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        with self._lock:
            vectors = checked_vectors(documents, self._dimension)
            for document, vector in zip(documents, vectors, strict=True):
                self._discard(document.key)
                ledger = document.scope.ledger
                self._homes[document.key] = ledger
                self._ledgers[ledger][document.key] = _Entry(
                    document=document,
                    vector=vector,
                    text=Counter(analyse(document.text)),
                    context=Counter(analyse(document.context)),
                    names=name_keys(document.entities),
                )
                if vector is not None:
                    self._dimension = vector.size
                    self._vectors[document.text] = array("f", vector)

    def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        with self._lock:
            texts = {entry.document.text for key in keys if (entry := self._discard(key))}
            texts -= {
                entry.document.text
                for ledger in self._ledgers.values()
                for entry in ledger.values()
                if entry.document.text in texts
            }
            for text in texts:
                self._vectors.pop(text, None)

    def clear(self) -> None:
        """See ``ExternalIndex.clear``."""
        with self._lock:
            self._ledgers.clear()
            self._homes.clear()
            self._vectors.clear()
            self._dimension = None

    def ping(self) -> str:
        """See ``ExternalIndex.ping``."""
        return f"memory {__version__}"

    def close(self) -> None:
        """See ``ExternalIndex.close``."""

    def _discard(self, key: FactKey) -> _Entry | None:
        home = self._homes.pop(key, None)
        return None if home is None else self._ledgers[home].pop(key)

    def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        check_query(query)
        with self._lock:
            dimension = self._dimension
            entries = list(self._ledgers.get(query.scope.ledger, {}).values())
        wanted = None if query.vector is None else components(query.vector, dimension, "vector")
        score = _Scoring(entries, query, wanted)
        hits = [score(entry) for entry in entries if _eligible(entry.document, query)]
        best: dict[FactKey, Hit] = {}
        for signal, least in (
            (lambda hit: hit.similarity, -2.0),
            (lambda hit: hit.keyword, 0.0),
            (lambda hit: hit.context, 0.0),
        ):
            best |= {hit.key: hit for hit in _best(hits, signal, least, query.limit)}
        return strongest_first(best.values())

    def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        with self._lock:
            entries = self._ledgers.get(ledger, {}).values()
            return sorted({e.document.speaker for e in entries if e.document.speaker is not None})

    def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        with self._lock:
            return {text: self._vectors[text] for text in texts if text in self._vectors}

    def lacks_vectors(self, ledger: LedgerId) -> bool:
        """See ``TellsMissingVectors``."""
        with self._lock:
            return any(entry.vector is None for entry in self._ledgers.get(ledger, {}).values())

    def documents(self, ledger: LedgerId) -> dict[FactKey, Document]:
        """The documents of a ledger."""
        with self._lock:
            return {key: each.document for key, each in self._ledgers.get(ledger, {}).items()}

    def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        with self._lock:
            return len(self._ledgers.get(ledger, {}))


def _eligible(document: Document, query: IndexQuery) -> bool:
    """Whether a document matches the scope, the times and the filter of a query."""
    visible, valid, moment = document.visible, document.valid, query.as_of or query.now
    return (
        query.scope.covers(document.scope)
        and (_lasts(visible.end, moment) if query.as_of is None else visible.contains(query.as_of))
        and (
            _lasts(valid.end, moment) if query.valid_at is None else valid.contains(query.valid_at)
        )
        and (query.where is None or matches(query.where, document.attributes))
    )


def _lasts(end: datetime | None, moment: datetime) -> bool:
    return end is None or moment < end


def _best(
    hits: Iterable[Hit], signal: Callable[[Hit], float | None], least: float, limit: int
) -> list[Hit]:
    """The hits with the highest values of a signal above ``least``; ties by key."""
    ranked = [(-value, hit.key, hit) for hit in hits if (value := signal(hit)) is not None]
    return [hit for value, _, hit in heapq.nsmallest(limit, ranked) if -value > least]


class _Scoring:
    """Computes the signals of one query for an entry."""

    def __init__(
        self,
        entries: Collection[_Entry],
        query: IndexQuery,
        vector: npt.NDArray[np.float32] | None,
    ) -> None:
        self._vector = None if vector is None else _unit(vector)
        self._text = _FieldScoring([entry.text for entry in entries], query.terms)
        self._context = _FieldScoring([entry.context for entry in entries], query.terms)
        known = set[str]().union(*(entry.names for entry in entries))
        self._names = known.intersection(query.names)

    def __call__(self, entry: _Entry) -> Hit:
        document = entry.document
        return Hit(
            key=document.key,
            similarity=self._similarity(entry),
            keyword=self._text(entry.text),
            context=self._context(entry.context),
            entities=(
                round(len(self._names & entry.names) / len(self._names), DIGITS)
                if self._names
                else None
            ),
            speaker=document.speaker,
            occurred_at=document.occurred_at,
            valid=document.valid,
        )

    def _similarity(self, entry: _Entry) -> float | None:
        if self._vector is None or entry.vector is None:
            return None
        return round(float(np.dot(_unit(entry.vector), self._vector)), DIGITS)


class _FieldScoring:
    """BM25 scores of one text field."""

    def __init__(self, counts: Sequence[Counter[str]], terms: Sequence[str]) -> None:
        documents = len(counts)
        holders = {term: sum(term in count for count in counts) for term in terms}
        self._rarities = {term: bm25.rarity(documents, holders[term]) for term in terms}
        self._reach = bm25.reach(documents, holders.values()) if documents else 0.0
        self._average = sum(count.total() for count in counts) / max(1, documents)

    def __call__(self, counts: Counter[str]) -> float | None:
        if not self._rarities:
            return None
        length = float(counts.total())
        score = sum(
            rarity
            * bm25.weight(float(min(counts[term], bm25.MAX_FREQUENCY)), length, self._average)
            for term, rarity in self._rarities.items()
            if term in counts
        )
        return round(score / self._reach, DIGITS)


def _unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The vector scaled to length 1, or the zero vector unchanged; in double precision, so that
    the squares of large components do not overflow.
    """
    wide = vector.astype(np.float64)
    length = float(np.linalg.norm(wide))
    return wide / length if length else wide
