"""What a search makes of conversations: whose words count, and who answered whom."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from remembrancer import Memory, load_settings

MAY = datetime(2024, 5, 3, 9, tzinfo=UTC)


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory() as opened:
        yield opened


def tell(memory: Memory, *turns: tuple[str, str]) -> list[str]:
    """Store turns of a conversation, each as its speaker said it, and return the fact ids."""
    receipt = memory.add(
        [
            {
                "role": "assistant" if speaker == "assistant" else "user",
                **({} if speaker in ("user", "assistant") else {"name": speaker}),
                "content": text,
                "timestamp": MAY + timedelta(minutes=minute),
            }
            for minute, (speaker, text) in enumerate(turns)
        ],
        user_id="ann",
        infer=False,
    )
    return [verdict.fact_id or "" for verdict in receipt.verdicts]


def texts(memory: Memory, query: str) -> list[str]:
    return [hit.text for hit in memory.search(query, user_id="ann")]


CHAT = (
    ("user", "I am allergic to peanuts."),
    ("assistant", "Allergic to peanuts? A peanut allergy is a common allergy, so avoid peanuts."),
    ("assistant", "I recommend the peanut allergy handbook by Dr. Lowe."),
)


def test_user_comes_before_an_assistant_that_repeats_the_words(memory: Memory) -> None:
    tell(memory, *CHAT)

    assert texts(memory, "peanut allergy")[0] == "I am allergic to peanuts."


def test_question_to_the_assistant_finds_what_it_said(memory: Memory) -> None:
    tell(memory, *CHAT)

    assert texts(memory, "Which handbook did you recommend?")[0].startswith("I recommend")


def test_assistant_counts_as_much_as_the_user_if_the_setting_says_so() -> None:
    settings = load_settings({"audit_log": "memory", "recall": {"assistant": 1}}, environment={})
    with Memory(settings=settings) as memory:
        tell(memory, *CHAT)

        assert texts(memory, "peanut allergy")[0] != "I am allergic to peanuts."


def test_answer_comes_right_after_its_question(memory: Memory) -> None:
    question, answer = "Where did you camp last summer?", "At Lake Constance, it was lovely."
    tell(memory, ("Mel", question), ("Ann", answer), ("Ann", "We painted the fence all day."))

    assert texts(memory, "camp last summer")[:2] == [question, answer]


def test_neighbours_of_a_deleted_fact_fall(memory: Memory) -> None:
    _, parrot, _ = tell(
        memory,
        ("Ann", "The train was late."),
        ("Ann", "I adopted a parrot called Rico."),
        ("Ann", "Then we had soup."),
    )
    before = {hit.text: hit.score for hit in memory.search("parrot Rico", user_id="ann")}
    assert max(before, key=lambda text: before[text]) == "I adopted a parrot called Rico."

    memory.delete(parrot)

    after = {hit.text: hit.score for hit in memory.search("parrot Rico", user_id="ann")}
    assert after
    assert all(after[text] < before[text] for text in after)


def test_past_is_ranked_by_the_same_signals(memory: Memory) -> None:
    tell(memory, *CHAT)
    then = datetime.now(UTC)
    tell(memory, ("user", "I also dislike peanuts."))

    past = memory.search("peanut allergy", user_id="ann", as_of=then, explain=True)

    assert past[0].text == "I am allergic to peanuts."
    assert any("assistant" in (hit.signals or {}) for hit in past)
