"""Decide how requests are undone: which versions their facts go back to. Pure.

An undo is an event like any other, and names the event that it takes back as its cause. So the
record itself says what was undone: a fact that was restored to version 2 has the lineage of
version 2, whatever came between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from remembrancer.domain.errors import Erased
from remembrancer.domain.events import (
    Event,
    EventId,
    FactExpired,
    FactRestored,
    FactRetracted,
    FactsRivalled,
    RelationEnded,
    RelationReopened,
)
from remembrancer.domain.facts.evolve import fact_id_of
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus
from remembrancer.domain.graph.graph import Relation
from remembrancer.domain.recorded import CorrelationId, Recorded

WITHDRAWN = (FactStatus.RETRACTED, FactStatus.EXPIRED)


@frozen(kw_only=True)
class Blocker:
    """A later request that changed a fact of the one that is to be undone, in this version."""

    correlation_id: CorrelationId
    fact_id: FactId
    version: int


@frozen(kw_only=True)
class Restored:
    """A fact, and the version that it goes back to."""

    fact_id: FactId
    to_version: int


@frozen(kw_only=True)
class Lineage:
    """All versions of a fact, oldest first, the event that made each (by version), and all versions
    of its relations.
    """

    versions: Sequence[Fact]
    made: Mapping[int, Recorded]
    relations: Sequence[Relation] = ()

    @property
    def latest(self) -> Fact:
        """The latest version."""
        return self.versions[-1]

    def at(self, version: int) -> Fact:
        """One version.

        Raises:
            Erased: it was erased, or the event that made it was.
        """
        found = [fact for fact in self.versions if fact.version == version]
        if not found or any(each not in self.made for each in range(1, version + 1)):
            raise Erased(
                f"{self.latest.scope.ledger}: version {version} of fact {self.latest.fact_id} was "
                "erased, so nothing can be undone that goes back to it"
            )
        return found[0]


@frozen(kw_only=True)
class Standing:
    """What is left of some requests in a fact.

    ``own`` are their versions that the latest one is built on, newest first, and ``blockers`` those
    of other requests among them. ``undone_by`` is the event that took them back, if none is left.
    """

    own: tuple[int, ...] = ()
    blockers: tuple[int, ...] = ()
    undone_by: Recorded | None = None

    @property
    def base(self) -> int:
        """The version before them; 0 if they added the fact."""
        return self.own[-1] - 1


def standing(lineage: Lineage, requests: Collection[CorrelationId]) -> Standing:
    """Walk from the latest version of a fact to the first one of the requests."""
    own = {version for version, item in lineage.made.items() if _is_of(item, lineage, requests)}
    if not own:
        return Standing()
    first, version = min(own), lineage.latest.version
    found: list[int] = []
    blockers: list[int] = []
    between: list[int] = []
    undone_by = None
    while version >= first:
        item = lineage.made.get(version)
        below = None if item is None else _taken_back_to(item, lineage)
        if version in own:
            blockers += between
            found.append(version)
            between = []
        elif below is not None:
            undone_by = item
            version = below
            continue
        elif item is None or not _is_neutral(item, lineage):
            between.append(version)
        version -= 1
    if not found:
        return Standing(undone_by=undone_by)
    return Standing(own=tuple(found), blockers=tuple(blockers))


def _is_of(item: Recorded, lineage: Lineage, requests: Collection[CorrelationId]) -> bool:
    return item.correlation_id in requests and not _is_neutral(item, lineage)


def _is_neutral(item: Recorded, lineage: Lineage) -> bool:
    """Whether an event is not about what the fact says: the clock expired it, or it got or lost a
    rival.
    """
    return isinstance(item.event, FactExpired) or (fact_id_of(item.event) != lineage.latest.fact_id)


def _taken_back_to(item: Recorded, lineage: Lineage) -> int | None:
    """The version that an undo went back to; 0 if it withdrew the fact, ``None`` for no undo."""
    if isinstance(item.event, FactRestored):
        return item.event.to_version
    added = lineage.made.get(1)
    undoes = isinstance(item.event, FactRetracted) and item.causation_id is not None
    return 0 if undoes and added is not None and item.causation_id == added.event_id else None


@frozen(kw_only=True)
class Undoing:
    """The decision: events with their causes, in order, and what they do."""

    events: tuple[tuple[Event, EventId | None], ...] = ()
    restored: tuple[Restored, ...] = ()
    withdrawn: tuple[FactId, ...] = ()
    blocked_by: tuple[Blocker, ...] = ()
    undone_by: tuple[CorrelationId, ...] = ()


def blockers_of(
    lineages: Sequence[Lineage], requests: Collection[CorrelationId]
) -> tuple[Blocker, ...]:
    """The later versions that other requests built on those of ``requests``, newest first."""
    found = [
        (lineage.made.get(version), version, lineage)
        for lineage in lineages
        for version in standing(lineage, requests).blockers
    ]
    lost = next((lineage for item, _, lineage in found if item is None), None)
    if lost is not None:
        raise Erased(f"a later version of fact {lost.latest.fact_id} was erased")
    blockers = [
        (
            item.position,
            Blocker(
                correlation_id=item.correlation_id,
                fact_id=lineage.latest.fact_id,
                version=version,
            ),
        )
        for item, version, lineage in found
        if item is not None
    ]
    return tuple(each for _, each in sorted(blockers, key=lambda pair: -pair[0]))


def undo(
    lineages: Sequence[Lineage],
    requests: Collection[CorrelationId],
    *,
    now: datetime,
    others: Mapping[FactId, Fact],
    reason: str = "",
) -> Undoing:
    """Decide how the facts of some requests go back to what they were before.

    Args:
        lineages: of every fact that the requests changed.
        requests: those to undo, together.
        now: the time of the decision; what has expired by then expires again.
        others: the latest versions of the facts that were rivals of these.
        reason: kept in the events.

    Returns:
        Nothing but ``blocked_by`` if other requests built on them.

    Raises:
        Erased: a version to go back to was erased.
    """
    blocked_by = blockers_of(lineages, requests)
    if blocked_by:
        return Undoing(blocked_by=blocked_by)
    standings = [(lineage, standing(lineage, requests)) for lineage in lineages]
    undone_by = [each.undone_by for _, each in standings if each.undone_by is not None]
    left = [pair for pair in standings if pair[1].own]
    # Newest first, as if one request after the other were undone.
    left.sort(key=lambda pair: -pair[0].made[pair[1].own[-1]].position)
    back = [_Back.of(lineage, found, now, reason) for lineage, found in left]
    facts = {**others, **{each.after.fact_id: each.after for each in back}}
    return Undoing(
        events=(
            *(pair for each in back for pair in each.events),
            *((event, None) for event in _rivalled(back, facts, reason)),
        ),
        restored=tuple(
            Restored(fact_id=each.after.fact_id, to_version=each.base) for each in back if each.base
        ),
        withdrawn=tuple(each.after.fact_id for each in back if not each.base),
        undone_by=tuple(dict.fromkeys(item.correlation_id for item in undone_by)),
    )


@frozen(kw_only=True)
class _Back:
    """One fact on its way back: the events, and the fact after them."""

    base: int
    reopened: bool
    events: tuple[tuple[Event, EventId | None], ...]
    after: Fact

    @classmethod
    def of(cls, lineage: Lineage, found: Standing, now: datetime, reason: str) -> _Back:
        """The events that take the versions ``found`` back."""
        current = lineage.latest
        cause = lineage.made[found.own[0]].event_id
        if not found.base:
            events = list(_withdrawal(lineage, reason))
            after = evolve(current, status=FactStatus.RETRACTED)
            return cls(base=0, reopened=False, events=tuple(events), after=after)
        target = lineage.at(found.base)
        made: list[Event] = [restored(target, reason)]
        if target.status not in WITHDRAWN:
            at = lineage.at(found.own[-1]).updated_at
            made += [
                event
                for each in _by_id(lineage.relations)
                for event in _held(each, at, target.occurred_at, reason)
            ]
        if target.status is FactStatus.ACTIVE and target.expires_at and target.expires_at <= now:
            made.append(FactExpired(fact_id=target.fact_id))
        return cls(
            base=found.base,
            reopened=current.status is not FactStatus.ACTIVE,
            events=tuple((event, cause) for event in made),
            after=evolve(target, status=FactStatus.EXPIRED)
            if isinstance(made[-1], FactExpired)
            else target,
        )


def restored(target: Fact, reason: str) -> FactRestored:
    """The event that brings a version back."""
    return FactRestored(
        fact_id=target.fact_id,
        to_version=target.version,
        status=target.status,
        entities=target.entities,
        valid=target.valid,
        interruptions=target.interruptions,
        expires_at=target.expires_at,
        reason=reason,
    )


def _withdrawal(lineage: Lineage, reason: str) -> Iterator[tuple[Event, EventId | None]]:
    """A fact that was added is withdrawn; if it has ended meanwhile, it holds again before."""
    current, added = lineage.latest, lineage.made[1].event_id
    if current.status is FactStatus.RETRACTED:
        return
    if current.status is not FactStatus.ACTIVE:
        yield restored(lineage.at(1), reason), added
    yield FactRetracted(fact_id=current.fact_id, reason=reason), added


def _by_id(relations: Sequence[Relation]) -> list[list[Relation]]:
    found: dict[str, list[Relation]] = {}
    for each in relations:
        found.setdefault(each.relation_id, []).append(each)
    return list(found.values())


def _held(
    history: Sequence[Relation], at: datetime, start: datetime, reason: str
) -> Iterator[Event]:
    """What gives a relation of an active or ended fact its state before ``at`` back.

    Args:
        history: all versions of the relation, oldest first.
        at: when the first event that is undone was recorded.
        start: when a relation without a beginning began.
        reason: kept in the events.
    """
    now = history[-1]
    then = next((each for each in history if _believed_before(each, at)), None)
    if then is None:
        if now.believed and now.valid.start != now.valid.end:
            # It was an error from its beginning on.
            if not now.open:
                yield _reopened(now, now, reason)
            begun = now.valid.start or start
            yield RelationEnded(relation_id=now.relation_id, ended_at=begun, reason=reason)
        return
    if now.believed and _state(then) == _state(now):
        return
    if now.open:
        ended = now.valid.start or start
        yield RelationEnded(relation_id=now.relation_id, ended_at=ended, reason=reason)
    yield _reopened(then, now, reason)
    if then.ended_by is not None and then.valid.end is not None:
        yield RelationEnded(relation_id=then.relation_id, ended_at=then.valid.end, reason=reason)


def _reopened(then: Relation, now: Relation, reason: str) -> RelationReopened:
    return RelationReopened(
        relation_id=then.relation_id,
        object=None if then.object == now.object else then.object,
        valid=then.valid,
        interruptions=then.interruptions,
        expires_at=then.expires_at,
        reason=reason,
    )


def _believed_before(relation: Relation, at: datetime) -> bool:
    """Whether a version was the believed one just before ``at``."""
    start, end = relation.recorded.start, relation.recorded.end
    return start is not None and start < at and (end is None or end >= at)


def _state(relation: Relation) -> tuple[Any, ...]:
    return (
        relation.ended_by is None,
        relation.object,
        relation.valid,
        relation.interruptions,
        relation.expires_at,
    )


def _rivalled(
    back: Sequence[_Back], facts: Mapping[FactId, Fact], reason: str
) -> Iterator[FactsRivalled]:
    """The rivals that facts had before they ended, if both are active again."""
    told: set[frozenset[FactId]] = set()
    for each in back:
        fact = each.after
        if not each.reopened or fact.status is not FactStatus.ACTIVE:
            continue
        for rival in fact.rivals:
            pair = frozenset((fact.fact_id, rival))
            other = facts.get(rival)
            if other is None or other.status is not FactStatus.ACTIVE or pair in told:
                continue
            told.add(pair)
            yield FactsRivalled(one=fact.fact_id, other=rival, slot=fact.slot, reason=reason)
