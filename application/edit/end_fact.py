"""End a fact explicitly: it was true until a given time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from remembrancer.application.edit.edit_fact import EditFact
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.statements.claims import BELIEVED
from remembrancer.application.statements.slot_timeline import ReadTimeline
from remembrancer.domain.errors import InvalidRequest, NotFound
from remembrancer.domain.events import Event, FactSuperseded
from remembrancer.domain.facts.decide import retimings
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus
from remembrancer.domain.facts.timeline import settled_end, superseding_does
from remembrancer.domain.scope import Scope


class EndFact:
    """Ends one fact.

    Args:
        edit_fact: decides on the latest version, and appends.
        read_timeline: the facts in the slot of the fact.
    """

    def __init__(self, *, edit_fact: EditFact, read_timeline: ReadTimeline) -> None:
        self._edit_fact = edit_fact
        self._read_timeline = read_timeline

    async def __call__(
        self, fact_id: FactId, *, at: datetime, scope: Scope | None, reason: str, actor: str
    ) -> Receipt:
        """End the fact at ``at``, in the past or in the future.

        Raises:
            InvalidRequest: the fact had not begun by then, or had ended.
            NotFound: no such fact in that scope, or it was withdrawn or has expired.
        """

        async def end(fact: Fact) -> Sequence[Event]:
            return await self._decided(fact, at, reason)

        receipt = await self._edit_fact(fact_id, end, scope=scope, actor=actor)
        assert receipt is not None, "an end always makes an event"
        return receipt

    async def _decided(self, fact: Fact, at: datetime, reason: str) -> Sequence[Event]:
        _check(fact, at)
        timeline = await self._read_timeline(fact)
        claims = settled_end(timeline.claims, timeline.claims[fact.fact_id], at)
        changes = {change.fact_id: change for change in timeline.after(claims)}
        own = changes.pop(fact.fact_id)
        if own.superseded_by is None and at <= timeline.now:
            own = evolve(own, status=FactStatus.SUPERSEDED)
        versions = timeline.versions()
        if own.superseded_by is None and superseding_does(own, fact, at):
            ended = FactSuperseded(fact_id=fact.fact_id, ended_at=at, reason=reason)
            return [ended, *retimings(list(changes.values()), versions, reason=reason)]
        return retimings([own, *changes.values()], versions, reason=reason)


def _check(fact: Fact, at: datetime) -> None:
    if fact.status not in BELIEVED:
        raise NotFound(f"fact {fact.fact_id} is {fact.status.value}, so it can't end")
    start, end = fact.claim.start, fact.claim.end
    if start is not None and at <= start:
        raise InvalidRequest(
            "at", f"the fact begins at {start.isoformat()}; delete it, or pass a later time"
        )
    if end is not None and end <= at:
        raise InvalidRequest(
            "at", f"the fact ended at {end.isoformat()}; correct moves an end to a later time"
        )
