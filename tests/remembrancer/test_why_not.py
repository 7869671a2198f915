"""``memory.audit.why_not``: what did not become a fact can say why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from remembrancer import InvalidRequest, Memory
from remembrancer.application.extraction.model.extractor import ModelExtractor
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.fact import Evidence, FactId
from remembrancer.domain.facts.verdicts import Candidate
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.testing.scripted_model import ScriptedModel

ANN: Any = {"user_id": "ann"}


def drafted(text: str, quote: str, message: int = 1) -> dict[str, Any]:
    """A fact in a model's answer."""
    return {
        "text": text,
        "kind": "semantic",
        "about": "user",
        "attribute": None,
        "evidence": [{"message": message, "quote": quote}],
        "valid_from": None,
        "valid_to": None,
        "entities": [],
        "relations": [],
    }


def asking(*answers: Any) -> Memory:
    model = ScriptedModel(*answers)
    parts = {"extractor": ModelExtractor(model), "reconciler": ModelReconciler(model)}
    return Memory(overrides=parts)


def test_a_candidate_refused_for_a_forged_quote_is_found_with_that_reason() -> None:
    facts = {"facts": [drafted("The user is allergic to nuts.", "I can't eat nuts")]}
    with asking(facts) as memory:
        receipt = memory.add("I had a nut cake yesterday.", **ANN)
        assert receipt.verdicts == ()
        (found, *_) = memory.audit.why_not("Is she allergic to nuts?", **ANN)
        assert found.code == "forged-quote"
        assert found.reason == "the words quoted are not in the message"
        assert found.text == "The user is allergic to nuts."
        assert (found.said, found.speaker) == ("I had a nut cake yesterday.", "user")
        assert found.correlation_id == receipt.correlation_id


class ForgingExtractor:
    """An extractor of somebody else that quotes what nobody said."""

    kept_image_bytes = 0

    async def extract(
        self, messages: Sequence[Message], ids: Any, guidance: Any = None
    ) -> Extraction:
        message = messages[0]
        forged = Evidence(message_id=message.message_id, quote="I can't eat nuts")
        candidate = Candidate(
            fact_id=FactId(ids.new()),
            scope=message.scope,
            text="The user is allergic to nuts.",
            occurred_at=message.occurred_at,
            evidence=(forged,),
        )
        return Extraction(
            candidates=(candidate,),
            skipped=(),
            inferences=(
                InferenceRecorded(
                    purpose="extraction",
                    model="own",
                    prompt_digest="",
                    output="[]",
                    messages=tuple(each.message_id for each in messages),
                ),
            ),
        )


def test_forged_evidence_of_any_extractor_is_found_by_the_words_of_the_message() -> None:
    with Memory(overrides={"extractor": ForgingExtractor()}) as memory:
        memory.add("I had a nut cake yesterday.", **ANN)
        (found,) = memory.audit.why_not("nut cake", **ANN)
        assert found.code == "forged-quote"
        assert found.reason == "the words that it quotes are not in the message"
        assert found.said == "I had a nut cake yesterday."


def test_an_ignored_candidate_has_the_reason_of_the_model() -> None:
    likes = {"facts": [drafted("The user likes jazz.", "I like jazz")]}
    really = {"facts": [drafted("The user likes jazz a lot.", "I do like jazz a lot")]}
    ignored = {"new": 2, "decision": "ignore", "known": [1], "text": None, "reason": "no news"}
    with asking(likes, really, {"decisions": [ignored]}) as memory:
        memory.add("I like jazz.", **ANN)
        memory.add("I do like jazz a lot.", **ANN)
        (found,) = memory.audit.why_not("likes jazz a lot", **ANN)
        assert (found.reason, found.code) == ("no news", None)
        assert found.text == "The user likes jazz a lot."


def test_skipped_statements_and_blocked_facts_are_found() -> None:
    with Memory() as memory:
        memory.add("What does a ticket to Rome cost? I like tea.", **ANN)
        (skipped,) = memory.audit.why_not("the cost of a ticket", **ANN)
        assert (skipped.reason, skipped.code) == ("question", None)
        (tea,) = memory.get_all(**ANN)
        memory.delete(tea.fact_id, block=True)
        memory.add({"content": "I like tea.", "timestamp": "2020-01-01T00:00Z"}, **ANN)
        (blocked,) = memory.audit.why_not("tea", **ANN)
        assert blocked.code == "blocked"
        assert "withdrawn" in blocked.reason


def test_the_likest_come_first_and_what_is_unlike_is_left_out() -> None:
    with Memory() as memory:
        for thing in ("a ticket to Rome", "a flight to Oslo", "a ticket to Oslo"):
            memory.add(f"What does {thing} cost?", **ANN)
        found = memory.audit.why_not("ticket to Oslo", limit=2, **ANN)
        assert [each.text for each in found] == [
            "What does a ticket to Oslo cost?",
            "What does a flight to Oslo cost?",
        ]
        assert memory.audit.why_not("my dog", **ANN) == []
        assert memory.audit.why_not("ticket", user_id="bob") == []
        with pytest.raises(InvalidRequest):
            memory.audit.why_not("", **ANN)
        with pytest.raises(InvalidRequest):
            memory.audit.why_not("ticket")


def test_messages_of_another_scope_are_not_shown() -> None:
    with Memory() as memory:
        memory.add("What does a ticket to Rome cost?", run_id="one", **ANN)
        assert memory.audit.why_not("ticket", run_id="two", **ANN) == []
        assert len(memory.audit.why_not("ticket", run_id="one", **ANN)) == 1
