"""``memory.audit.timeline``: the events of a scope and the facts that they made or changed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings

from remembrancer import InvalidRequest, Memory, load_settings
from remembrancer.application.audit.ledger_window import open_ended
from remembrancer.application.audit.timeline import MOST_ROWS, TimelineFact
from remembrancer.testing.bitemporal import Clock
from remembrancer.testing.depth import scaled
from tests.helpers.random_changes import carry_out, changes

ANN: Any = {"user_id": "ann"}


def added(memory: Memory, clock: Clock, text: str, **options: Any) -> str:
    """Add one fact, an hour after the last; returns its id."""
    clock.sleep(3600)
    (verdict,) = memory.add(text, **{**ANN, **options}).verdicts
    return str(verdict.fact_id)


def head(memory: Memory) -> str:
    return f"@{memory.stats(**ANN).events}"


def texts(facts: tuple[TimelineFact, ...]) -> list[str]:
    return [each.latest.text for each in facts]


def test_each_version_of_a_fact_has_the_event_that_made_it(memory: Memory, clock: Clock) -> None:
    tea = added(memory, clock, "I drink tea.")
    added(memory, clock, "I live in Berlin.")
    memory.update(tea, "I drink green tea.", actor="support")
    timeline = memory.audit.timeline(**ANN)
    assert texts(timeline.facts) == ["I drink green tea.", "I live in Berlin."]
    made = [event and event.type for event in timeline.facts[0].events]
    assert made == ["fact.added", "fact.revised"]
    assert f"@{timeline.events[-1].version}" == head(memory)
    assert (timeline.events[-1].actor, timeline.complete) == ("support", True)
    document = timeline.to_dict()
    fact, event = document["facts"][0], document["events"][0]
    assert fact["fact_id"] == tea
    assert [version["text"] for version in fact["versions"]] == [
        "I drink tea.",
        "I drink green tea.",
    ]
    assert {"version", "recorded", "status", "event_id", "valid"} <= set(fact["versions"][0])
    keys = {"version", "position", "recorded_at", "type", "actor", "correlation_id"}
    assert set(event) == keys
    assert document["grouped"] is False


def test_a_window_has_the_facts_that_changed_in_it(memory: Memory, clock: Clock) -> None:
    tea = added(memory, clock, "I drink tea.")
    added(memory, clock, "I live in Berlin.")
    start = head(memory)
    memory.update(tea, "I drink green tea.")
    end = head(memory)
    added(memory, clock, "I play chess.")
    timeline = memory.audit.timeline(start=start, end=end, **ANN)
    assert texts(timeline.facts) == ["I drink green tea."]
    # And versions from before have no event in it
    assert [event is None for event in timeline.facts[0].events] == [True, False]
    assert [f"@{event.version}" for event in timeline.events] == [end]
    assert texts(memory.audit.timeline(start=end, **ANN).facts) == ["I play chess."]


def test_the_latest_events_are_kept_and_appends_are_read_whole(
    memory: Memory, clock: Clock
) -> None:
    for text in ("I drink tea.", "I live in Berlin.", "I play chess."):
        added(memory, clock, text)
    timeline = memory.audit.timeline(limit=1, **ANN)
    assert texts(timeline.facts) == ["I play chess."]
    assert not timeline.complete
    assert len({event.recorded_at for event in timeline.events}) == 1
    assert memory.audit.timeline(limit=1000, **ANN).complete


def test_a_narrower_scope_sees_its_own_requests_alone(memory: Memory, clock: Clock) -> None:
    added(memory, clock, "I drink tea.", run_id="r", actor="chat")
    added(memory, clock, "I play chess.", actor="other")
    timeline = memory.audit.timeline(run_id="r", **ANN)
    assert texts(timeline.facts) == ["I drink tea."]
    assert {event.actor for event in timeline.events} == {"chat"}
    assert len(memory.audit.timeline(**ANN).facts) == 2
    nothing = memory.audit.timeline(user_id="bob")
    assert (nothing.facts, nothing.events) == ((), ())


def test_bad_moments_are_refused(clock: Clock) -> None:
    with Memory(overrides={"clock": clock}) as memory:
        added(memory, clock, "I drink tea.")
        early = head(memory)
        added(memory, clock, "I play chess.")
        for wrong, path in (
            ({"start": "@99"}, "start"),
            ({"end": "2999-01-01T00:00Z"}, "end"),
            ({"start": head(memory), "end": early}, "end"),
            ({"limit": 0}, "limit"),
        ):
            with pytest.raises(InvalidRequest) as refused:
                memory.audit.timeline(**wrong, **ANN)  # type: ignore[arg-type]
            assert refused.value.path == path


def test_versions_are_those_of_the_history_by_then(memory: Memory, clock: Clock) -> None:
    @settings(max_examples=scaled(10), deadline=None)
    @given(changes, changes)
    def agree(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> None:
        user = uuid.uuid4().hex
        between = carry_out([*first, *second], memory, clock, user)
        for start, end in ((None, between[-1]), (between[0], between[-1]), (None, between[0])):
            timeline = memory.audit.timeline(start=start, end=end, user_id=user)
            for each in timeline.facts:
                history = memory.history(each.latest.fact_id, as_of=end, user_id=user)
                assert each.versions == (*history[:-1], open_ended(history[-1]))
                for fact, event in zip(each.versions, each.events, strict=True):
                    assert event is None or event.recorded_at == fact.updated_at

    agree()


def test_more_facts_than_rows_are_grouped_by_slot_entity_and_speaker() -> None:
    config = load_settings({"audit_log": {"provider": "memory"}}, environment={})
    with Memory(settings=config) as memory:
        said = [
            {"content": f"note {number}", "name": f"Speaker {number % 3}"}
            for number in range(MOST_ROWS + 1)
        ]
        memory.add(said, infer=False, **ANN)
        timeline = memory.audit.timeline(**ANN)
        assert timeline.grouped
        assert {name for name, _ in timeline.rows} == {f"Speaker {number}" for number in range(3)}
        assert sum(len(facts) for _, facts in timeline.rows) == MOST_ROWS + 1
        few = evolve(timeline, facts=timeline.facts[:MOST_ROWS])
        assert not few.grouped
        assert len(few.rows) == MOST_ROWS
