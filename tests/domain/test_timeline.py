"""What is left of each claim in a slot: compared with the winner at every moment."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval, clipped, joined
from remembrancer.domain.facts.timeline import Claim, Retiming, held, retimed, superseding_does
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import NOON, fact_added
from remembrancer.testing.given import given as history
from remembrancer.testing.given import reconcile

HOUR = timedelta(hours=1)
MOMENTS = [NOON + hour * HOUR for hour in range(9)]
_bounds = st.lists(st.sampled_from(MOMENTS), min_size=2, max_size=2, unique=True).map(sorted)
_intervals = st.one_of(
    _bounds.map(lambda pair: Interval(start=pair[0], end=pair[1])),
    st.sampled_from(MOMENTS).map(lambda start: Interval(start=start)),
    st.just(Interval()),
)
tellings = st.lists(st.tuples(_intervals, st.sampled_from("ab")), min_size=1, max_size=6)


def claims_of(told: list[tuple[Interval, str]]) -> list[Claim]:
    return [
        Claim(fact_id=FactId(str(order)), told=interval, value=value, order=order)
        for order, (interval, value) in enumerate(told)
    ]


def fact_of(claim: Claim) -> Fact:
    return Fact(
        fact_id=claim.fact_id,
        version=1,
        scope=Scope(user_id="ann"),
        text=str(claim.value),
        occurred_at=NOON,
        created_at=NOON,
        valid=claim.told,
        recorded=Interval(start=NOON),
    )


@given(tellings)
def test_the_claim_that_starts_last_holds(told: list[tuple[Interval, str]]) -> None:
    claims = claims_of(told)
    for moment in MOMENTS:
        about = [claim for claim in claims if claim.told.contains(moment)]
        about.sort(key=lambda claim: (claim.told.start or MOMENTS[0] - HOUR, claim.order))
        holding = {
            claim.value
            for claim in claims
            if any(span.contains(moment) for span in held(claim, claims))
        }
        assert holding == {claim.value for claim in about[-1:]}


@given(tellings)
def test_spans_are_in_order_and_within_what_was_told(told: list[tuple[Interval, str]]) -> None:
    claims = claims_of(told)
    for claim in claims:
        spans = held(claim, claims)
        if spans:
            valid, interruptions = joined(spans)
            assert claim.told.start is None or valid.start is not None
            bounds = [moment for gap in interruptions for moment in (gap.start, gap.end)]
            assert None not in bounds
            assert bounds == sorted(bounds)  # type: ignore[type-var]


@given(tellings)
def test_a_claim_that_goes_gives_back_what_it_cut(told: list[tuple[Interval, str]]) -> None:
    claims = {claim.fact_id: claim for claim in claims_of(told)}
    facts = {key: fact_of(claim) for key, claim in claims.items()}
    last = list(claims)[-1]
    fewer = {key: claim for key, claim in claims.items() if key != last}

    def after(changes: object, facts: dict[FactId, Fact]) -> dict[FactId, Fact]:
        changed = dict(facts)
        for change in changes:  # type: ignore[attr-defined]
            valid, interruptions = joined(change.valid)
            changed[change.fact_id] = evolve(
                facts[change.fact_id],
                valid=valid,
                interruptions=interruptions,
                told=change.told,
                status=change.status,
                superseded_by=change.superseded_by,
            )
        return changed

    now = MOMENTS[4]
    first = after(retimed(facts, {}, fewer, now=now), facts)
    cut = after(retimed(first, fewer, claims, now=now), first)
    assert after(retimed(cut, claims, fewer, now=now), cut) == {
        **first,
        last: cut[last],
    }


def test_rivals_cut_nothing_from_each_other() -> None:
    one, other = claims_of([(Interval(start=NOON), "a"), (Interval(start=NOON + HOUR), "b")])
    rivals = [evolve(one, rivals=(other.fact_id,)), evolve(other, rivals=(one.fact_id,))]
    assert [held(claim, rivals) for claim in rivals] == [(one.told,), (other.told,)]


def test_an_end_without_a_value_cuts_every_value_and_with_one_only_that() -> None:
    home, gone = claims_of([(Interval(start=NOON), "a"), (Interval(start=NOON + HOUR), "a")])
    for value, cut in ((None, True), ("a", True), ("b", False)):
        over = evolve(gone, value=value, over=True)
        assert (held(home, [over]) != (home.told,)) == cut


def test_what_a_later_fact_will_end_stays_active_until_then() -> None:
    home, next_one = claims_of([(Interval(start=NOON), "a"), (Interval(start=NOON + HOUR), "b")])
    facts = {claim.fact_id: fact_of(claim) for claim in (home, next_one)}
    before, after = {home.fact_id: home}, {each.fact_id: each for each in (home, next_one)}
    [coming] = [c for c in retimed(facts, before, after, now=NOON) if c.fact_id == home.fact_id]
    assert (coming.status, coming.superseded_by) == (FactStatus.ACTIVE, None)
    [past] = [
        each
        for each in retimed(facts, before, after, now=NOON + HOUR)
        if each.fact_id == home.fact_id
    ]
    assert (past.status, past.superseded_by) == (FactStatus.SUPERSEDED, next_one.fact_id)
    assert superseding_does(past, facts[home.fact_id], NOON + HOUR)
    assert not superseding_does(coming, facts[home.fact_id], NOON + HOUR)


def test_an_interval_cut_within_an_interruption_ends_before_it() -> None:
    gaps = (
        Interval(start=MOMENTS[1], end=MOMENTS[2]),
        Interval(start=MOMENTS[4], end=MOMENTS[6]),
    )
    assert clipped(gaps, MOMENTS[1]) == (MOMENTS[1], [])
    assert clipped(gaps, MOMENTS[3]) == (MOMENTS[3], [gaps[0]])
    assert clipped(gaps, MOMENTS[5]) == (MOMENTS[4], [gaps[0]])
    assert clipped(gaps, MOMENTS[6]) == (MOMENTS[4], [gaps[0]])
    assert clipped(gaps, MOMENTS[7]) == (MOMENTS[7], list(gaps))


def test_a_refused_proposal_changes_the_times_of_its_own_candidate_only() -> None:
    added = fact_added("I live in Rome.")
    candidate = Candidate(
        fact_id=FactId("c" * 32),
        scope=added.scope,
        text="You live in Oslo.",
        occurred_at=NOON,
        speaker="assistant",
        agent_only=True,
    )
    cut = Retiming(
        fact_id=added.fact_id,
        valid=(Interval(start=NOON, end=NOON + HOUR),),
        told=None,
        status=FactStatus.ACTIVE,
        superseded_by=None,
    )
    own = evolve(cut, fact_id=candidate.fact_id)
    proposal = Proposal(decision=Decision.SUPERSEDE, target=added.fact_id, retimed=(cut, own))
    decided = history(added).when(reconcile((candidate, proposal))).events
    assert [getattr(event, "fact_id", None) for event in decided] == [candidate.fact_id] * 2
