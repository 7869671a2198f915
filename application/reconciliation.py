"""What the remember use-case asks of a reconciler: from candidates to proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from memledger.domain.fact import Fact, FactId
from memledger.domain.verdicts import Candidate, Proposal


class Reconciler(Protocol):
    """Contract: one proposal per candidate, in order. A proposal's target is the id of a fact in
    ``neighbours`` or of an earlier candidate of the same call that was proposed to be added.
    """

    async def reconcile(
        self,
        candidates: Sequence[Candidate],
        neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
    ) -> list[Proposal]:
        """Decide about candidates.

        Args:
            candidates: what extraction found, in the order in which it was said.
            neighbours: for each candidate the active facts near it, with the similarity of the
                two texts (cosine in [-1, 1]).
        """
        ...
