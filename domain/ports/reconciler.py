"""The port to a reconciler: from candidates to proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeGuard

from attrs import frozen

from remembrancer.domain.errors import AdapterUnavailable, ModelError
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.facts.verdicts import Candidate, Proposal


@frozen(kw_only=True)
class Reconciliation:
    """One proposal per candidate, in order, and the inferences behind them.

    With a ``failure`` there are no proposals, and nothing may be decided.
    """

    proposals: tuple[Proposal, ...]
    inferences: tuple[InferenceRecorded, ...] = ()
    failure: ModelError | AdapterUnavailable | None = None


@frozen(kw_only=True)
class Comparison:
    """What a reconciler compares candidates with, besides the facts that have the text or the slot
    of one.

    ``by_meaning``: the facts with the vectors nearest to each candidate. ``endings``: the facts
    that ``FactStore.endings`` finds under these keys.
    """

    by_meaning: bool
    endings: tuple[str, ...] = ()


class Reconciler(Protocol):
    """Contract: a proposal's target is the id of a fact in ``neighbours`` or of an earlier
    candidate of the same call that was proposed to be added. Inferences name no messages.
    """

    async def reconcile(
        self,
        candidates: Sequence[Candidate],
        neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
    ) -> Reconciliation:
        """Propose a decision for each candidate.

        Args:
            candidates: from extraction, in the order in which they were said.
            neighbours: for each candidate the active facts near it, with the similarity of the
                two texts (cosine in [-1, 1]).
        """
        ...


class ComparesWords(Protocol):
    """Optional, for reconcilers that compare words. Without it, candidates are compared by meaning.

    Contract: the result depends on the candidates alone; what ``reconcile`` decides about these
    candidates depends on no fact that the comparison leaves out.
    """

    async def comparison(self, candidates: Sequence[Candidate]) -> Comparison:
        """What the candidates of one call are compared with."""
        ...


def compares_words(reconciler: object) -> TypeGuard[ComparesWords]:
    """Whether a reconciler tells what it compares with."""
    return hasattr(reconciler, "comparison")
