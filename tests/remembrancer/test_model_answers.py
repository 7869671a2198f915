"""What a memory keeps of the answers of a weak model: cut off, over-eager, or too sure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from remembrancer import Memory, ModelError
from remembrancer.application.extraction.model.extractor import ModelExtractor
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.domain.events import CandidatesSettled, Outcome
from remembrancer.domain.recorded import Position
from remembrancer.testing.model_server import Finish, ModelServer
from remembrancer.testing.scripted_model import ScriptedModel
from remembrancer.types import Decision
from remembrancer.wiring.settings import load_settings

SAID = {
    "role": "user",
    "content": "I like jazz. I sing in a choir.",
    "timestamp": datetime(2024, 5, 3, 12, tzinfo=UTC),
}


def draft(text: str, quote: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "about": "user", "evidence": [{"message": 1, "quote": quote}], **more}


BOTH = {
    "facts": [
        draft("The user likes jazz.", "I like jazz"),
        draft("The user sings in a choir.", "I sing in a choir"),
    ]
}
CUT = json.dumps(BOTH)[:-60]


def remembering(*answers: Any) -> Memory:
    model = ScriptedModel(*answers)
    parts = {"extractor": ModelExtractor(model), "reconciler": ModelReconciler(model)}
    return Memory(settings=load_settings({"audit_log": "memory"}), overrides=parts)


def texts(memory: Memory) -> set[str]:
    return {fact.text for fact in memory.get_all(user_id="ann").facts}


def settled(memory: Memory) -> list[CandidatesSettled]:
    log = memory._inner._container.audit_log().read(Position(0))
    return [item.event for item in log if isinstance(item.event, CandidatesSettled)]


def test_complete_facts_of_a_cut_off_answer_are_kept_and_retry_reads_the_rest() -> None:
    with remembering(CUT, BOTH) as memory:
        with pytest.raises(ModelError, match="cut off"):
            memory.add(SAID, user_id="ann")
        assert texts(memory) == {"The user likes jazz."}
        assert memory.stats().pending == 1

        [receipt] = memory.retry(user_id="ann").receipts

        assert receipt.pending == ()
        assert texts(memory) == {"The user likes jazz.", "The user sings in a choir."}
        assert memory.stats().pending == 0
        assert memory.verify().ok


def test_list_of_decisions_that_is_cut_off_decides_nothing_until_retry() -> None:
    known = {"facts": [draft("The user likes jazz.", "I like jazz", attribute="music")]}
    opera = {"facts": [draft("The user likes opera now.", "I like opera", attribute="music")]}
    decision = {"new": 2, "decision": "supersede", "known": [1], "text": None, "reason": None}
    decisions = json.dumps({"decisions": [decision]})
    with remembering(known, opera, decisions[:-30], opera, decisions) as memory:
        memory.add(SAID, user_id="ann")
        with pytest.raises(ModelError, match="decisions was cut off"):
            memory.add("I like opera now.", user_id="ann")
        assert texts(memory) == {"The user likes jazz."}

        memory.retry(user_id="ann")

        assert texts(memory) == {"The user likes opera now."}


def test_end_that_a_model_made_up_is_dropped_and_recorded() -> None:
    allergy = draft(
        "The user is allergic to peanuts.", "I'm allergic to peanuts", valid_to="2024-05-03"
    )
    said = {**SAID, "content": "I'm allergic to peanuts."}
    with remembering({"facts": [allergy]}) as memory:
        memory.add(said, user_id="ann")

        assert texts(memory) == {"The user is allergic to peanuts."}
        [event] = settled(memory)
        assert event.candidates[0].dropped == ("valid_to",)


def test_fact_without_a_true_quote_is_marked_in_the_record() -> None:
    allergy = draft("The user is allergic to peanuts.", "I moved from Oslo to Berlin last month")
    with remembering({"facts": [allergy]}) as memory:
        memory.add("I'm allergic to peanuts.", user_id="ann")

        [fact] = memory.get_all(user_id="ann").facts
        assert [item.quote for item in fact.evidence] == [None]
        [event] = settled(memory)
        assert event.candidates[0].dropped == ("quote",)


def test_ignored_candidate_is_in_the_receipt_with_the_fact_that_says_it() -> None:
    known = {"facts": [draft("The user likes cool jazz.", "I like cool jazz", attribute="music")]}
    again = {"facts": [draft("The user likes jazz.", "I like jazz", attribute="music")]}
    decision = {"new": 2, "decision": "ignore", "known": [1], "text": None, "reason": "is known"}
    with remembering(known, again, {"decisions": [decision]}) as memory:
        [first] = memory.add("I like cool jazz.", user_id="ann").verdicts

        [verdict] = memory.add("I like jazz.", user_id="ann").verdicts

        assert verdict.decision is Decision.IGNORE
        assert (verdict.text, verdict.target) == ("I like jazz", first.fact_id)
        assert verdict.reason == "a known fact says it already"
        assert texts(memory) == {"The user likes cool jazz."}


def test_what_was_given_up_stays_when_a_model_retracts_the_habit() -> None:
    coffee = {"facts": [draft("The user drinks coffee.", "I drink coffee", attribute="drink")]}
    stopped = draft("The user stopped drinking coffee.", "I stopped drinking coffee")
    decision = {"new": 2, "decision": "retract", "known": [1], "text": None, "reason": "stopped"}
    with remembering(
        coffee, {"facts": [{**stopped, "attribute": "drink"}]}, {"decisions": [decision]}
    ) as memory:
        memory.add("I drink coffee.", user_id="ann")
        memory.add("I stopped drinking coffee.", user_id="ann")

        assert texts(memory) == {"The user stopped drinking coffee."}
        assert len(memory.get_all(user_id="ann", status="superseded").facts) == 1


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def test_finish_reason_of_a_server_says_that_an_answer_was_cut_off(server: ModelServer) -> None:
    server.script(Finish(text=CUT, reason="length"), Finish(text=json.dumps(BOTH), reason="stop"))
    model = {
        "provider": "litellm",
        "model": "openai/gpt-4o-mini",
        "base_url": server.url,
        "retries": 0,
    }
    with Memory(settings=load_settings({"language_model": model})) as memory:
        with pytest.raises(ModelError, match="cut off"):
            memory.add(SAID, user_id="ann")
        assert memory.retry(user_id="ann").failures == ()
        assert texts(memory) == {"The user likes jazz.", "The user sings in a choir."}
        [outcome] = {
            item.event.outcome
            for item in memory._inner._container.audit_log().read(Position(0))
            if item.event.type_name == "inference.recorded"
        }
        assert outcome is Outcome.USED
