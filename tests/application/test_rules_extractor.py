"""The rules extractor turns every sentence into a candidate or a skipped item."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.application.inline import run_inline
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.facts.fact import Evidence, FactKind, MessageId
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.domain.scope import Scope
from tests.helpers.counting_ids import CountingIds

SAID_AT = datetime(2023, 5, 10, 13, 56, tzinfo=UTC)


def said(
    text: str,
    *,
    role: Role = Role.USER,
    name: str | None = None,
    at: datetime = SAID_AT,
    message_id: str = "m1",
) -> Message:
    return Message(
        message_id=MessageId(message_id),
        scope=Scope(user_id="u", run_id="r"),
        role=role,
        text=text,
        name=name,
        occurred_at=at,
        metadata={"channel": "chat"},
    )


def extracted(*messages: Message) -> Extraction:
    return run_inline(RulesExtractor().extract(messages, CountingIds()))


def test_statement_becomes_a_candidate_and_other_sentences_are_skipped() -> None:
    found = extracted(said("Hey Mel! I live in Paris. How are you?", name="Caroline"))

    [candidate] = found.candidates
    assert candidate.text == "I live in Paris."
    assert candidate.evidence == (Evidence(message_id=MessageId("m1"), quote="I live in Paris."),)
    assert candidate.speaker == "Caroline"
    assert candidate.slot == "caroline/residence"
    assert candidate.entities == ("Caroline", "Paris")
    assert candidate.scope == Scope(user_id="u", run_id="r")
    assert candidate.metadata == {"channel": "chat"}
    assert candidate.occurred_at == SAID_AT
    assert [(item.text, item.reason) for item in found.skipped] == [
        ("Hey Mel!", "small talk"),
        ("How are you?", "question"),
    ]


def test_inference_records_all_messages_and_skipped_sentences() -> None:
    found = extracted(said("Thanks!"), said("Hi!", message_id="m2"))

    assert (found.inferences[0].purpose, found.inferences[0].model) == ("extraction", "rules-2")
    assert found.inferences[0].messages == ("m1", "m2")
    assert json.loads(found.inferences[0].output) == [
        {"message_id": "m1", "text": "Thanks!", "reason": "small talk"},
        {"message_id": "m2", "text": "Hi!", "reason": "small talk"},
    ]


@pytest.mark.parametrize(
    ("role", "reason"), [(Role.SYSTEM, "system message"), (Role.TOOL, "tool message")]
)
def test_system_messages_and_tool_results_are_skipped(role: Role, reason: str) -> None:
    found = extracted(said("You are helpful. I live in Paris.", role=role))

    assert found.candidates == ()
    assert [(item.text, item.reason) for item in found.skipped] == [
        ("You are helpful.", reason),
        ("I live in Paris.", reason),
    ]


def test_speaker_without_a_name_is_called_by_the_role() -> None:
    found = extracted(said("I live in Paris."), said("I can help.", role=Role.ASSISTANT))

    assert [item.speaker for item in found.candidates] == ["user", "assistant"]
    assert found.candidates[0].slot == "user/residence"
    assert found.candidates[0].entities == ("Paris",)


def test_sentence_with_two_slots_becomes_two_facts() -> None:
    found = extracted(said("My name is Anna and I work at Acme."))

    assert [(item.text, item.slot) for item in found.candidates] == [
        ("My name is Anna", "user/name"),
        ("I work at Acme.", "user/employer"),
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I like tea.", FactKind.SEMANTIC),
        ("I've been a vegan since 2019.", FactKind.SEMANTIC),
        ("I moved to Berlin last month.", FactKind.SEMANTIC),
        ("I'm flying to Rome tomorrow.", FactKind.SEMANTIC),
        ("I need a coat.", FactKind.SEMANTIC),
        ("I used to swim.", FactKind.SEMANTIC),
        ("I went to the dentist yesterday.", FactKind.EPISODIC),
        ("We finally bought a house.", FactKind.EPISODIC),
        ("Last weekend was busy at the clinic.", FactKind.EPISODIC),
        ("Always answer in German.", FactKind.PROCEDURAL),
        ("Please don't use emojis.", FactKind.PROCEDURAL),
        ("From now on, reply in short sentences.", FactKind.PROCEDURAL),
        ("I want you to be concise.", FactKind.PROCEDURAL),
        ("Call me Al.", FactKind.PROCEDURAL),
    ],
)
def test_kind_is_derived_from_the_text(text: str, kind: FactKind) -> None:
    [candidate] = extracted(said(text)).candidates

    assert candidate.kind is kind


def test_instruction_from_an_assistant_is_not_procedural() -> None:
    [candidate] = extracted(said("Always answer in German.", role=Role.ASSISTANT)).candidates

    assert candidate.kind is FactKind.SEMANTIC


def test_valid_time_starts_on_the_stated_day_in_the_time_zone_of_the_message() -> None:
    zone = timezone(timedelta(hours=2))
    at = datetime(2023, 5, 10, 0, 30, tzinfo=zone)

    found = extracted(said("I like tea. I fell yesterday. I'm moving next June.", at=at))

    assert [item.valid.start for item in found.candidates] == [
        at,
        datetime(2023, 5, 9, tzinfo=zone),
        datetime(2023, 6, 1, tzinfo=zone),
    ]
    assert all(item.valid.end is None for item in found.candidates)


@pytest.mark.parametrize(
    "text",
    [
        "我住在北京。我喜欢茶！",
        "أعيش في باريس. أحب الشاي.",
        "```py\nprint('hi. there')\n```",
        "- milk and honey\n- eggs, brown\n1. bread",
        '> "I live in Rome," he said.',
        "😀😀 I got 🐶🐶 dogs 😀",
        "A\u200bB \u202ereversed\u202c text",
    ],
)
def test_candidates_in_any_script_are_substrings_of_the_message(text: str) -> None:
    found = extracted(said(text))

    assert found.candidates
    assert all(item.text in text for item in found.candidates)


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "word ",
            "x",
            "!",
            "! 😊",
            "so very ",
            "thanks for the ",
            "is my favourite ",
            "I live in ",
        ),
        *("have been ", "a week ago ", "in 2019 ", "from a to ", "((((", "'", "Abc ", "1", "，"),
        *("I, ", "a... b ", "everyone ", "hey ho ", " "),
        *("email ", "fix this ", "said ", 'said: "', "«", "„a", "A-", "A ", "Bob: ", "[1:23", "# "),
        *("translate it ", "in my dream ", "please ", "twenty-", "five or ", "a half ", "三百"),
    ],
)
def test_long_line_is_split_into_bounded_pieces(unit: str) -> None:
    text = unit * (200_000 // len(unit))

    found = extracted(said(text, name="Caroline"))

    # Bounded pieces in bounded time each: linear in the length of the text.
    assert len(found.candidates) + len(found.skipped) <= 300
