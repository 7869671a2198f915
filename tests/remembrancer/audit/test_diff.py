"""``memory.audit.diff``: what changed between two moments, in which words, and by whom."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from remembrancer import InvalidRequest, Memory
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.application.audit.diff import CompareMoments, Difference
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.inline import run_inline
from remembrancer.application.recall.as_of import ResolveAsOf
from remembrancer.domain.audit.differences import ChangeKind, words_between
from remembrancer.domain.events import FactReaffirmed, FactRestored
from remembrancer.domain.facts.evolve import fold
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.runtime.sync_bridge import lift_inline
from remembrancer.testing.audit_log import ALICE, NOON, append_of, fact_added
from remembrancer.testing.bitemporal import Clock
from remembrancer.testing.depth import scaled
from remembrancer.testing.fact_store import SCOPE
from tests.helpers.random_changes import carry_out, changes, events_of

ANN: Any = {"user_id": "ann"}


def added(memory: Memory, clock: Clock, text: str, **options: Any) -> str:
    """Add one fact, an hour after the last; returns its id."""
    clock.sleep(3600)
    (verdict,) = memory.add(text, **options, **ANN).verdicts
    return str(verdict.fact_id)


def head(memory: Memory) -> str:
    return f"@{memory.stats(**ANN).events}"


def kinds(difference: Difference) -> dict[str, str]:
    return {each.fact.text: each.change.value for each in difference}


def test_each_change_has_its_name_its_words_and_its_event(memory: Memory, clock: Clock) -> None:
    # Given facts of every fate
    berlin = added(memory, clock, "I live in Berlin.")
    tea = added(memory, clock, "I drink tea.")
    chess = added(memory, clock, "I play chess.")
    jazz = added(memory, clock, "I like jazz.")
    code = added(memory, clock, "My code is 1234.", expires_at=clock.time + timedelta(hours=4))
    before = head(memory)
    # When they change
    memory.update(tea, "I drink green tea.", reason="a detail", actor="support")
    memory.delete(chess)
    added(memory, clock, "I like jazz.")
    clock.sleep(7200)
    added(memory, clock, "I moved to Rome.", actor="chat")
    difference = memory.audit.diff(before, **ANN)
    # Then the difference names each
    assert kinds(difference) == {
        "I drink green tea.": "revised",
        "I play chess.": "retracted",
        "I like jazz.": "reaffirmed",
        "My code is 1234.": "expired",
        "I moved to Rome.": "added",
        "I live in Berlin.": "superseded",
    }
    by_id = {each.fact_id: each for each in difference}
    revised = by_id[FactId(tea)]
    assert revised.words == (("=", "I drink "), ("+", "green "), ("=", "tea."))
    assert "text" in revised.fields
    assert (revised.cause.type, revised.cause.actor) == ("fact.revised", "support")
    assert revised.cause.reason == "a detail"
    assert by_id[FactId(berlin)].cause.actor == "chat"
    assert {chess, jazz, code} <= set(by_id)
    assert (
        difference.totals
        == dict.fromkeys(ChangeKind, 1)
        | {
            ChangeKind.RESTORED: 0,
            ChangeKind.ABSENT: 0,
        }
        or sum(difference.totals.values()) == 6
    )


def test_a_fact_that_came_and_went_in_between_is_told_as_what_it_became(
    memory: Memory, clock: Clock
) -> None:
    added(memory, clock, "I play chess.")
    before = head(memory)
    memory.delete(added(memory, clock, "I drink tea."))
    (change,) = memory.audit.diff(before, **ANN)
    assert (change.change, change.before) == (ChangeKind.RETRACTED, None)
    assert change.words == (("+", "I drink tea."),)


def test_a_restored_fact_is_told_as_restored(memory: Memory, clock: Clock) -> None:
    chess = added(memory, clock, "I play chess.")
    known = head(memory)
    memory.delete(chess)
    deleted = head(memory)
    clock.sleep(3600)
    restored = FactRestored(fact_id=FactId(chess), to_version=1)
    log: Any = memory._inner._container.lifted_log()
    ledger = LedgerId("user:ann")
    run_inline(log.append(append_of([restored], ledger=ledger, at=clock.time)))
    for moment in (known, deleted):
        (change,) = memory.audit.diff(moment, **ANN)
        assert change.change is ChangeKind.RESTORED


def test_moments_are_given_as_times_too_and_now_is_the_end(memory: Memory, clock: Clock) -> None:
    early = clock.time
    added(memory, clock, "I drink tea.")
    clock.sleep(60)
    between = clock.time
    added(memory, clock, "I play chess.")
    assert kinds(memory.audit.diff(early, between, **ANN)) == {"I drink tea.": "added"}
    assert kinds(memory.audit.diff(between, **ANN)) == {"I play chess.": "added"}
    whole = memory.audit.diff(early.isoformat(), **ANN)
    assert [each.fact.text for each in whole] == ["I drink tea.", "I play chess."]
    assert (whole.before.version, f"@{whole.after.version}") == (0, head(memory))
    assert whole.to_dict()["totals"] == {"added": 2}
    assert not memory.audit.diff(head(memory), **ANN)


def test_only_facts_that_the_scope_covers_are_told(memory: Memory, clock: Clock) -> None:
    early = clock.time
    clock.sleep(60)
    memory.add("I drink tea.", user_id="ann", run_id="r")
    memory.add("I play chess.", user_id="ann")
    memory.add("I like jazz.", user_id="bob")
    assert set(kinds(memory.audit.diff(early, user_id="ann"))) == {"I drink tea.", "I play chess."}
    assert set(kinds(memory.audit.diff(early, user_id="ann", run_id="r"))) == {"I drink tea."}
    assert len(memory.audit.diff(early, kind="semantic", **ANN)) == 2
    assert len(memory.audit.diff(early, kind="procedural", **ANN)) == 0


@pytest.mark.parametrize(
    ("moments", "named", "problem"),
    [
        (("@0",), {}, "before: there is no version @0. user:ann has @1"),
        (("@1", "@99"), {}, "after: there is no version @99. user:ann has @1"),
        (("2999-01-01T00:00Z",), {}, "before: 2999-01-01T00:00:00"),
        (("@1",), {"kind": "added"}, "kind: 'added' is not one of semantic, episodic, procedural"),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else "",
)
def test_bad_moments_and_kinds_are_refused(
    moments: tuple[str, ...], named: Any, problem: str, clock: Clock
) -> None:
    with Memory(overrides={"clock": clock}) as memory:
        added(memory, clock, "I drink tea.")
        with pytest.raises(InvalidRequest, match=problem):
            memory.audit.diff(*moments, **named, **ANN)


def test_a_difference_goes_forward(memory: Memory, clock: Clock) -> None:
    added(memory, clock, "I drink tea.")
    early = head(memory)
    added(memory, clock, "I play chess.")
    with pytest.raises(InvalidRequest, match=f"after: {early} .* is earlier than before, "):
        memory.audit.diff(head(memory), early, **ANN)


def test_a_difference_leads_from_one_state_to_the_other_and_back(
    memory: Memory, clock: Clock
) -> None:
    """Acceptance test 8 of the audit."""

    @settings(max_examples=scaled(15), deadline=None)
    @given(changes, changes)
    def leads(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> None:
        user = uuid.uuid4().hex
        between = [clock.time, *carry_out([*first, *second], memory, clock, user)]
        read = events_of(memory, user)
        for early, late in ((0, -1), (len(first), -1), (0, len(first))):
            before, after = between[early], between[late]
            difference = memory.audit.diff(before, after, user_id=user)
            old, new = state_at(read, before), state_at(read, after)
            assert applied(difference, old) == new
            assert applied(difference.inverted, new) == old
            assert difference.inverted.inverted == difference
            assert not memory.audit.diff(after, after, user_id=user)

    leads()


def state_at(read: Sequence[Recorded], moment: datetime) -> dict[FactId, Fact]:
    """The latest versions of all facts at a time, folded from the log."""
    state = fold(item for item in read if item.recorded_at <= moment)
    return {fact.fact_id: fact for fact in state.current()}


def applied(difference: Difference, state: dict[FactId, Fact]) -> dict[FactId, Fact]:
    """A state with the changes of a difference made."""
    after = dict(state)
    for change in difference:
        assert after.get(change.fact_id) == change.before
        if change.after is None:
            del after[change.fact_id]
        else:
            after[change.fact_id] = change.after
    return after


class CountingLog(InMemoryAuditLog):
    """A log that counts the events that are read from it."""

    read_events = 0

    def read_ledger(
        self, ledger: LedgerId, after_version: int = 0, limit: int = 1000
    ) -> Sequence[Recorded]:
        page = super().read_ledger(ledger, after_version, limit)
        self.read_events += len(page)
        return page


def test_a_difference_reads_the_events_in_between_and_few_others() -> None:
    """Acceptance test 9 of the audit, with 32,000 events: the rest is a binary search."""
    facts = InMemoryFactStore()
    log = CountingLog(listener=facts)
    told = [fact_added(f"fact {number}") for number in range(1000)]
    for minute in range(32):
        again = [FactReaffirmed(fact_id=fact.fact_id) for fact in told]
        log.append(append_of(again if minute else told, at=NOON + timedelta(minutes=minute)))
    lift = lift_inline(BackgroundLoop("diff"))
    resolve = ResolveAsOf(log=lift(log), clock=lift(Clock(NOON + timedelta(days=1))))
    compare = CompareMoments(log=lift(log), facts=lift(facts), resolve_as_of=resolve)
    assert log.head(ALICE).version == 32_000
    difference = run_inline(compare(SCOPE, NOON + timedelta(minutes=30)))
    assert difference.totals == {ChangeKind.REAFFIRMED: 1000}
    assert log.read_events <= 1000 + 2 * 16


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "new", (("+", "new"),)),
        ("old", "", (("-", "old"),)),
        ("same", "same", (("=", "same"),)),
        ("a b c", "a x c", (("=", "a "), ("-", "b"), ("+", "x"), ("=", " c"))),
        (
            "私は茶が好き",
            "私は猫が好き",
            (("=", "私は"), ("-", "茶"), ("+", "猫"), ("=", "が好き")),
        ),
        ("x " * 2000, "y", (("-", "x " * 2000), ("+", "y"))),
    ],
)
def test_texts_are_compared_word_by_word(
    before: str, after: str, expected: tuple[tuple[str, str], ...]
) -> None:
    assert words_between(before, after) == expected
