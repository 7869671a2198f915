"""The content of the context field of a fact."""

from __future__ import annotations

from datetime import UTC, datetime

from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.recall.index_context import HEAD, LONGEST_MESSAGE, context_of
from remembrancer.domain.scope import Scope

MAY = datetime(2023, 5, 8, 13, 56, tzinfo=UTC)


def said(text: str) -> Message:
    return Message(
        message_id=MessageId(text[:8]),
        scope=Scope(user_id="mel"),
        role=Role.USER,
        text=text,
        occurred_at=MAY,
    )


def test_context_has_two_messages_on_either_side_the_speaker_and_the_day() -> None:
    context = context_of(
        [said("far before"), said("before"), said("just before")],
        said("own"),
        [said("just after"), said("after"), said("far after")],
        speaker="Caroline",
        occurred_at=MAY,
    )

    assert context.split("\n") == [
        "before",
        "just before",
        "own",
        "just after",
        "after",
        "Caroline",
        "8 May 2023 Monday",
    ]


def test_context_without_messages_and_speaker_is_the_day() -> None:
    assert context_of([], None, [], speaker=None, occurred_at=MAY) == "8 May 2023 Monday"


def test_long_neighbour_is_truncated() -> None:
    context = context_of([said("x" * 10_000)], said("own"), [], speaker=None, occurred_at=MAY)

    assert context.split("\n")[0] == "x" * LONGEST_MESSAGE


def test_fact_of_a_document_keeps_its_head_alone() -> None:
    document = said("x" * (LONGEST_MESSAGE + 1))
    context = context_of([said("before")], document, [said("after")], speaker=None, occurred_at=MAY)

    assert context.split("\n") == ["x" * HEAD, "8 May 2023 Monday"]


def test_message_of_the_greatest_length_is_no_document() -> None:
    own = said("x" * LONGEST_MESSAGE)
    context = context_of([said("before")], own, [], speaker=None, occurred_at=MAY)

    assert context.split("\n")[:2] == ["before", own.text]
