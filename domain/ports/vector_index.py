"""The port to the search index: vectors and keywords, inside one ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol, TypeGuard

from attrs import field, frozen

from remembrancer.domain.facts.fact import FactKey, Interval
from remembrancer.domain.filters.ast import Filter
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.recall.analysis import query_terms
from remembrancer.domain.recall.names import names_in
from remembrancer.domain.scope import LedgerId, Scope

SIGNALS = frozenset({"similarity", "keyword", "context", "entities"})
"""All signals that an index can return: the fields of ``Hit`` with these names."""


@frozen(kw_only=True)
class Document:
    """The index entry of one version of a fact.

    ``context`` is a second text field: the neighbouring messages, the speaker, the date.
    ``visible`` is the transaction time at which reads see the version (it ends at the next version,
    at a retraction, or when the fact expires). ``attributes`` are the fields that filters can name
    (``domain.filters``). ``vector`` is ``None`` until the text is embedded; until then the document
    answers keyword searches only. ``revision`` is a position of the log up to which the document is
    up to date; 0 if nobody delivers it late.
    """

    key: FactKey
    scope: Scope
    text: str
    context: str = ""
    speaker: str | None = None
    entities: tuple[str, ...] = ()
    occurred_at: datetime
    visible: Interval
    valid: Interval = Interval()
    attributes: Mapping[str, Any] = field(factory=dict)
    vector: Vector | None = None
    revision: int = field(default=0, eq=False)


@frozen(kw_only=True)
class IndexQuery:
    """A search in the ledger of ``scope``, among the documents that ``scope`` covers.

    ``text`` searches by keyword, ``vector`` by similarity; at least one is given. ``now``,
    ``as_of`` and ``valid_at`` are the same as in ``Fact.visible``; an ``as_of`` of ``None`` selects
    versions whose ``visible`` interval has not ended at ``now``. ``limit`` is the maximum number of
    hits per signal.

    ``terms`` and ``names`` are the analysis of ``text``. It is made once for a query, however many
    indexes and parts of an index use it.
    """

    scope: Scope
    text: str | None = None
    vector: Vector | None = None
    where: Filter | None = None
    now: datetime
    as_of: datetime | None = None
    valid_at: datetime | None = None
    limit: int = 100

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """The distinct terms of ``text``, in order (``domain.recall.analysis``)."""
        return () if self.text is None else tuple(query_terms(self.text))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The possible names of entities in ``text``, as ``domain.text.normalised``: an index
        compares them with the ``name_keys`` of ``Document.entities``.
        """
        return () if self.text is None else tuple(names_in(self.text))


@frozen(kw_only=True)
class Hit:
    """One document that at least one signal found, with all of its signals.

    ``similarity`` is a cosine in [-1, 1]. ``keyword`` and ``context`` are BM25 scores (at least 0)
    of the two text fields, each divided by the best score that the query could reach with ordinary
    term frequencies, so that they are comparable between queries (1.0: every term of the query is
    well represented). ``entities`` is the share, in [0, 1], of the query's entities that the
    document names. ``None``: the engine has no such signal for it.
    """

    key: FactKey
    similarity: float | None = None
    keyword: float | None = None
    context: float | None = None
    entities: float | None = None
    speaker: str | None = None
    occurred_at: datetime
    valid: Interval = Interval()

    @property
    def strength(self) -> float:
        """The mean of the signals that are known, 0 if there is none."""
        signals = (self.similarity, self.keyword, self.context, self.entities)
        known = [signal for signal in signals if signal is not None]
        return sum(known) / len(known) if known else 0.0


class SearchedIndex(Protocol):
    """The part of ``VectorIndex`` that recall uses; see there."""

    async def search(self, query: IndexQuery) -> list[Hit]:
        """The candidates for a recall."""
        ...

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """The names of all speakers in the documents of a ledger."""
        ...


class VectorIndex(SearchedIndex, Protocol):
    """A searchable copy of the facts, disposable and rebuilt from the log.

    Contract:
        * ``put`` is an idempotent upsert by key. All vectors of an index have the same dimension;
          another one is refused.
        * ``search`` returns the union of the best ``limit`` documents by similarity and the best
          ``limit`` by keyword, best first by the mean of the known signals, ties by key. It
          never returns a document outside the ledger, the scope, the times or the filter, and a
          filter is applied *before* the cut to ``limit``.
        * Reads see every ``put`` and ``remove`` that has returned (read-your-writes).
        * ``remove`` of an unknown key does nothing.
        * An index returns all of ``SIGNALS``. An external one may return fewer if it says so
          (``DeclaresSignals``).

    Raises:
        InvalidRequest: a vector of another dimension or with components that are not finite.
        AdapterUnavailable: the engine did not answer.
    """

    async def put(self, documents: Sequence[Document]) -> None:
        """Add or replace documents (upsert by key)."""
        ...

    async def remove(self, keys: Sequence[FactKey]) -> None:
        """Delete documents, leaving no trace of their texts."""
        ...

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """The vectors that the index holds for texts, by text; unknown texts are left out."""
        ...

    async def count(self, ledger: LedgerId) -> int:
        """The number of documents of a ledger, all versions."""
        ...


class DeclaresSignals(Protocol):
    """Optional, for an external index that lacks some of ``SIGNALS``.

    Contract: without ``"keyword"`` the index need not support a query without a vector,
    ``speakers`` or ``count``: recall uses the log's own index for these
    (``application.recall.hybrid_index``).
    """

    @property
    def signals(self) -> frozenset[str]:
        """The signals that the index returns: names of ``SIGNALS``, with ``"similarity"``."""
        ...


def declares_signals(index: object) -> TypeGuard[DeclaresSignals]:
    """Whether an index says which signals it returns."""
    return hasattr(index, "signals")


class TellsMissingVectors(Protocol):
    """Optional, for an index that holds documents before their vectors."""

    async def lacks_vectors(self, ledger: LedgerId) -> bool:
        """Whether a search by similarity in a ledger misses a document, because its vector is
        missing or of another model. Cheap: every search asks.

        Raises:
            AdapterUnavailable: the engine did not answer.
        """
        ...


def tells_missing_vectors(index: object) -> TypeGuard[TellsMissingVectors]:
    """Whether an index can tell that vectors are missing."""
    return hasattr(index, "lacks_vectors")


class Compactable(Protocol):
    """Optional, for an index that searches large ledgers faster after maintenance.

    Contract: searches are correct without it. No write waits for it.
    """

    async def compact(self, ledger: LedgerId | None = None) -> int:
        """Make the segments that are due for a ledger (``None``: for all), outside of any
        transaction; returns their number, 0 if another process is at it. Cheap if none is due.

        Raises:
            AdapterUnavailable: the engine did not answer.
        """
        ...


def is_compactable(index: object) -> TypeGuard[Compactable]:
    """Whether an index has maintenance."""
    return hasattr(index, "compact")
