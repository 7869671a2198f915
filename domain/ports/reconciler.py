"""The port to a reconciler: from candidates to proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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
