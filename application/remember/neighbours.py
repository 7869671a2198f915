"""Find the active facts that each candidate must be compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import TypeAlias

from attrs import frozen

from remembrancer.application.embedding import Embedding
from remembrancer.application.reconciliation.active_facts import is_opposed
from remembrancer.application.reconciliation.one_user import (
    of_one_naming,
    only_name,
    slots_of_both,
)
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus
from remembrancer.domain.facts.verdicts import Candidate
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.reconciler import Comparison
from remembrancer.domain.ports.vector_index import IndexQuery, VectorIndex
from remembrancer.domain.scope import LedgerId

NEIGHBOURS = 8
"""Nearest facts per candidate: enough to contain its duplicates and conflicts."""

DIGITS = 4
"""Digits of a similarity that decisions use, and the log keeps."""

Neighbours: TypeAlias = Mapping[FactId, tuple[Fact, float]]
"""Facts by id, each with the similarity of the two texts (cosine in [-1, 1])."""


@frozen(kw_only=True)
class FoundNeighbours:
    """The facts that candidates are compared with: ``same`` with all of them, because they have the
    text or the slot of one, and ``near`` with one each, because their vectors are near.
    """

    same: Neighbours
    near: Sequence[Neighbours]

    @property
    def each(self) -> list[Neighbours]:
        """The neighbours of each candidate, in order."""
        return [{**self.same, **near} for near in self.near]


class FindNeighbours:
    """Searches the store's own facts and index, which never lag.

    Args:
        facts: the facts as of the last append.
        index: the store's own index.
        embedding: vectors of the candidates.
    """

    def __init__(self, *, facts: FactStore, index: VectorIndex, embedding: Embedding) -> None:
        self._facts = facts
        self._index = index
        self._embedding = embedding

    async def __call__(
        self,
        candidates: Sequence[Candidate],
        *,
        ledger: LedgerId,
        now: datetime,
        expired: Set[FactId],
        comparison: Comparison,
        ended: bool = False,
    ) -> FoundNeighbours:
        """The neighbours of candidates.

        Args:
            candidates: the extracted candidates.
            ledger: the ledger to search.
            now: the time of the decision.
            expired: facts that the same append expires.
            comparison: which other facts to find; by meaning, the candidates must be embedded.
            ended: also find the facts in the slots of candidates that have ended.
        """

        def kept(found: Neighbours) -> Neighbours:
            return {
                key: (fact, similarity)
                for key, (fact, similarity) in found.items()
                if key not in expired and (ended or is_open(fact, now) or is_ahead(fact, now))
            }

        return FoundNeighbours(
            same=kept(await self._same(ledger, candidates, comparison.endings, ended=ended)),
            near=[
                kept(await self._near(candidate, now) if comparison.by_meaning else {})
                for candidate in candidates
            ],
        )

    async def _same(
        self,
        ledger: LedgerId,
        candidates: Sequence[Candidate],
        endings: Sequence[str],
        *,
        ended: bool,
    ) -> dict[FactId, tuple[Fact, float]]:
        """The facts with the text or the slot of a candidate, active ones unless ``ended``, and the
        endings that a candidate opposes.
        """
        said = await self._facts.active(ledger, [each.text for each in candidates], [])
        over = await self._facts.endings(ledger, endings) if endings else ()
        slots = [candidate.slot for candidate in candidates if candidate.slot]
        told: Sequence[Fact] = ()
        if slots or over or len(of_one_naming(said, candidates)) < len(said):
            spoken = (candidate.speaker for candidate in candidates)
            name = only_name((*await self._index.speakers(ledger), *spoken))
            over = [fact for fact in over if is_opposed(fact, candidates, name)]
            if not (name or ended):
                said, over = of_one_naming(said, candidates), of_one_naming(over, candidates)
            if slots:
                told = await self._facts.in_slots(ledger, slots_of_both(slots, name))
        return {
            fact.fact_id: (fact, 0.0)
            for fact in (*said, *over, *told)
            if fact.scope.ledger == ledger and (ended or _is_active(fact))
        }

    async def _near(self, candidate: Candidate, now: datetime) -> dict[FactId, tuple[Fact, float]]:
        """The active facts with the vectors nearest to a candidate."""
        vectors = await self._embedding.documents([candidate.text])
        scope = candidate.scope.across_runs
        hits = await self._index.search(
            IndexQuery(
                scope=scope,
                vector=vectors[candidate.text],
                now=now,
                limit=NEIGHBOURS,
            )
        )
        similarity = {hit.key: round(hit.similarity or 0.0, DIGITS) for hit in hits}
        return {
            fact.fact_id: (fact, similarity[fact.key])
            for fact in await self._facts.load(list(similarity))
            if scope.covers(fact.scope) and _is_active(fact)
        }


def is_open(fact: Fact, now: datetime) -> bool:
    """Whether a fact can be reaffirmed or ended: it was told to hold without an end, and no other
    one has ended it by ``now``.
    """
    # Only a statement fills a slot ahead of its time.
    begun = fact.statement is None or fact.valid.start is None or fact.valid.start <= now
    ongoing = fact.valid.end is None or now < fact.valid.end
    return begun and ongoing and fact.claim.end is None


def is_ahead(fact: Fact, now: datetime) -> bool:
    """Whether a fact is a stay or has not begun, as only statements say of slots."""
    stated = fact.statement is not None and fact.slot is not None
    ongoing = fact.valid.end is None or now < fact.valid.end
    return stated and ongoing and not is_open(fact, now)


def _is_active(fact: Fact) -> bool:
    return fact.status is FactStatus.ACTIVE and fact.recorded.end is None
