"""The port to the index that recall searches: vectors and keywords, inside one ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import field, frozen

from remembrancer.domain.facts.fact import FactKey, Interval
from remembrancer.domain.filters.ast import Filter
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.scope import LedgerId, Scope

SIGNALS = frozenset({"similarity", "keyword", "context", "entities"})
"""All that an index may tell of a hit; the fields of ``Hit`` of these names."""


@frozen(kw_only=True)
class Document:
    """What is indexed for one version of one fact.

    ``context`` is the lower-weighted field beside the text: the neighbouring messages, the
    speaker, the date. ``visible`` bounds the transaction time at which reads see the version
    (it ends at the next version, at a retraction, or where the fact expires). ``attributes`` are
    what filters see (see ``domain.filters``). ``vector`` is ``None`` until the text is
    embedded; such a document answers keyword searches only.
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


@frozen(kw_only=True)
class IndexQuery:
    """What to look for, inside the ledger of ``scope`` and only in what ``scope`` covers.

    ``text`` asks for keyword signals, ``vector`` for similarity; at least one is given.
    ``now``, ``as_of`` and ``valid_at`` mean what they mean in ``Fact.visible``; an ``as_of`` of
    ``None`` asks for versions whose ``visible`` span has not ended at ``now``.
    ``limit`` bounds the hits of each signal.
    """

    scope: Scope
    text: str | None = None
    vector: Vector | None = None
    where: Filter | None = None
    now: datetime
    as_of: datetime | None = None
    valid_at: datetime | None = None
    limit: int = 100


@frozen(kw_only=True)
class Hit:
    """One document that at least one signal brought up, with every signal known for it.

    ``similarity`` is a cosine in [-1, 1]. ``keyword`` and ``context`` are BM25 scores (non
    negative) of the two text fields, each divided by the best score that the query could reach
    with ordinary term frequencies, so that they compare between queries (1.0: every term of the
    query, well represented). ``entities`` is the share, in [0, 1], of the entities of the query
    that the document names. ``None``: the engine has no such signal for it.
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
    """What recall needs of a ``VectorIndex``; see there."""

    async def search(self, query: IndexQuery) -> list[Hit]:
        """The candidates for a recall."""
        ...

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """The names of all who speak in the documents of a ledger."""
        ...


class VectorIndex(SearchedIndex, Protocol):
    """A searchable copy of the facts, disposable and rebuilt from the log.

    Contract:
        * ``put`` replaces documents of the same key; putting the same document twice is the same
          as once. Vectors have one dimension per index; another one is refused.
        * ``search`` returns the union of the best ``limit`` documents by similarity and the best
          ``limit`` by keyword, best first by the mean of the known signals, ties by key. It
          never returns a document outside the ledger, the scope, the times or the filter, and a
          filter is applied *before* the cut to ``limit``.
        * Reads see every ``put`` and ``remove`` that returned before.
        * ``remove`` of an unknown key does nothing.
        * An external index that can't tell all of ``SIGNALS`` says which by an attribute
          ``signals``, a frozenset of their names. Without ``"keyword"`` it need not answer a query
          without a vector, ``speakers`` or ``count``; recall asks the log's own index for those
          (``application.joined_index``). ``"similarity"`` is what it has to have.

    Raises:
        InvalidRequest: a vector of another dimension or with components that are not finite.
        AdapterUnavailable: the engine did not answer.
    """

    async def put(self, documents: Sequence[Document]) -> None:
        """Add or replace."""
        ...

    async def remove(self, keys: Sequence[FactKey]) -> None:
        """Delete, leaving no trace of the text."""
        ...

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """The vectors that the index holds for texts, by text; what it never saw is left out."""
        ...

    async def count(self, ledger: LedgerId) -> int:
        """Documents held for a ledger, all versions."""
        ...


class Compactable(Protocol):
    """An index that searches large ledgers faster once it has been looked after.

    Contract: searches are right without it. Nothing that writes waits for it.
    """

    async def compact(self, ledger: LedgerId | None = None) -> int:
        """Make what is due for a ledger (``None``: for all), outside of any transaction; returns
        how much was made, 0 where another process is at it. Cheap where nothing is due.

        Raises:
            AdapterUnavailable: the engine did not answer.
        """
        ...
