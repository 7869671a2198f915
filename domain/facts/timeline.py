"""The timeline of a slot: which of its facts holds when, computed from what was told.

A fact claims an interval. At any moment the claim with the latest start prevails, among equal
starts the one that was told last; what it cuts from another fact comes back if it ends or is
withdrawn. Rivals cut nothing from each other, nor do facts that say the same. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from attrs import evolve, frozen

from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval, clipped, joined

_FIRST = datetime.min.replace(tzinfo=UTC)


@frozen(kw_only=True)
class Claim:
    """What a fact claims: that ``value`` holds in ``told``.

    ``over``: it claims that the value no longer holds (``None``: that no value does). ``order``
    is larger for what was told later. ``rivals`` are facts that nobody decided between.
    """

    fact_id: FactId
    told: Interval
    value: str | None
    over: bool = False
    order: int
    rivals: tuple[FactId, ...] = ()

    @property
    def _rank(self) -> tuple[datetime, int]:
        return (self.told.start or _FIRST, self.order)

    def outranks(self, other: Claim) -> bool:
        """Whether both are told to hold at some time, and this claim comes first then."""
        return (
            self._rank > other._rank
            and other.fact_id not in self.rivals
            and _common(self.told, other.told) is not None
        )

    def cuts(self, other: Claim) -> bool:
        """Whether this claim prevails over ``other`` wherever both are told to hold."""
        return self._competes(other) and self.outranks(other)

    def _competes(self, other: Claim) -> bool:
        if self.over == other.over:
            return not self.over and self.value != other.value
        over = self if self.over else other
        return over.value is None or self.value == other.value


@frozen(kw_only=True)
class Retiming:
    """The times of a fact after a change in its slot; see ``FactCorrected``."""

    fact_id: FactId
    valid: tuple[Interval, ...]
    told: Interval | None
    status: FactStatus
    superseded_by: FactId | None


def held(claim: Claim, others: Iterable[Claim]) -> tuple[Interval, ...]:
    """The spans in which a claim holds, in order; none if others prevail over all of it."""
    spans = [claim.told]
    for other in others:
        if other.cuts(claim):
            spans = [part for span in spans for part in _without(span, other.told)]
    return tuple(spans)


def retimed(
    facts: Mapping[FactId, Fact],
    before: Mapping[FactId, Claim],
    after: Mapping[FactId, Claim],
    *,
    now: datetime,
) -> list[Retiming]:
    """The facts of a slot whose times change, because claims in it change.

    A fact that another one follows by ``now`` is superseded by it; one that another one will follow
    stays active until then. Facts that no changed claim cuts are left alone.

    Args:
        facts: the latest versions of the facts of the slot.
        before: the claims so far.
        after: the claims from now on.
        now: the time of the decision.
    """
    fresh = {key: claim for key, claim in after.items() if before.get(key) != claim}
    changed = [*fresh.values(), *(old for key, old in before.items() if after.get(key) != old)]
    found: list[Retiming] = []
    for key, claim in after.items():
        if key in fresh or any(one.cuts(claim) for one in changed):
            retiming = _retiming(facts[key], claim, list(after.values()), now)
            if retiming != _times_of(facts[key]):
                found.append(retiming)
    return found


def _retiming(fact: Fact, claim: Claim, others: Sequence[Claim], now: datetime) -> Retiming:
    spans = held(claim, others)
    told = None if spans == (claim.told,) else claim.told
    by = _follower(claim, spans, others)
    if not spans:
        # In the past whatever its start is, so that no read takes it for a fact to come.
        never = min(claim.told.start or fact.created_at, fact.created_at)
        spans = (Interval(start=never, end=never),)
    end = spans[-1].end
    if by is not None and end is not None and end <= now:
        return Retiming(
            fact_id=fact.fact_id,
            valid=spans,
            told=told,
            status=FactStatus.SUPERSEDED,
            superseded_by=by.fact_id,
        )
    ended = fact.status is FactStatus.SUPERSEDED and fact.superseded_by is None and end is not None
    return Retiming(
        fact_id=fact.fact_id,
        valid=spans,
        told=told,
        status=FactStatus.SUPERSEDED if ended else FactStatus.ACTIVE,
        superseded_by=None,
    )


def _follower(claim: Claim, spans: Sequence[Interval], others: Sequence[Claim]) -> Claim | None:
    """The claim that ends the last span, ``None`` if the claim itself ends there."""
    end = spans[-1].end if spans else claim.told.start
    if spans and end == claim.told.end:
        return None
    cutting = [other for other in others if other.cuts(claim)]
    starting = [other for other in cutting if other.told.start == end] or cutting
    return max(starting, key=lambda other: other.order, default=None)


def _times_of(fact: Fact) -> Retiming:
    return Retiming(
        fact_id=fact.fact_id,
        valid=fact.intervals,
        told=fact.told,
        status=fact.status,
        superseded_by=fact.superseded_by,
    )


def superseding_does(retiming: Retiming, fact: Fact, start: datetime) -> bool:
    """Whether ``FactSuperseded`` with the end ``start`` gives an active fact these times."""
    if fact.status is not FactStatus.ACTIVE or retiming.status is not FactStatus.SUPERSEDED:
        return False
    valid, interruptions = joined(retiming.valid)
    begun = fact.valid.start is None or fact.valid.start < start
    told = None if retiming.superseded_by is None else fact.claim
    return (
        begun
        and (valid.start, retiming.told) == (fact.valid.start, told)
        and (valid.end, list(interruptions)) == clipped(fact.interruptions, start)
    )


def settled_end(claims: Mapping[FactId, Claim], ended: Claim, at: datetime) -> dict[FactId, Claim]:
    """The claims after one of them ended at ``at``. What a fact without an end succeeded does not
    come back when the fact ends; what a stay interrupted resumes.
    """
    after = dict(claims)
    if ended.told.end is None:
        for key, claim in claims.items():
            if ended.outranks(claim) and (claim.told.end is None or claim.told.end > at):
                after[key] = evolve(claim, told=Interval(start=claim.told.start, end=at))
    after[ended.fact_id] = evolve(ended, told=Interval(start=ended.told.start, end=at))
    return after


def _common(one: Interval, other: Interval) -> Interval | None:
    starts = [each.start for each in (one, other) if each.start is not None]
    ends = [each.end for each in (one, other) if each.end is not None]
    common = Interval(start=max(starts, default=None), end=min(ends, default=None))
    empty = common.start is not None and common.end is not None and common.start >= common.end
    return None if empty else common


def _without(span: Interval, cut: Interval) -> list[Interval]:
    """The parts of ``span`` outside of ``cut``, in order."""
    common = _common(span, cut)
    if common is None:
        return [span]
    parts = []
    if common.start is not None and common.start != span.start:
        parts.append(Interval(start=span.start, end=common.start))
    if common.end is not None and common.end != span.end:
        parts.append(Interval(start=common.end, end=span.end))
    return parts
