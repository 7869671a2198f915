"""Recall in chats with an assistant: what the user told, among everything that the assistant said.

The conversations are synthetic. ``assistant_chats.jsonl`` was written for this benchmark: twenty
topics, ten to tune on and ten to test, each with four things that a user tells, three texts of an
assistant that use the words of the topic, a piece of advice, and the five questions. A
conversation of 28 turns is made of a topic by templates: the assistant repeats what it was told
and adds two of its texts, as assistants do, so that it says four times as much as the user and
every word of a question. Four questions are about the user, one is about the advice.

It shows whether a setting does what it is meant to, not how people talk: the same author wrote the
texts and the weight that is tuned on them.

    python -m bench.assistant_chats
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

from attrs import frozen

from bench.report import Row, report
from remembrancer import Memory, load_settings

DATA = Path(__file__).with_name("assistant_chats.jsonl")
BEGAN = datetime(2024, 3, 4, 18, tzinfo=UTC)
CUT = 3
"""Few, as a conversation has only 28 turns."""

FACTORS = (1.0, 0.8, 0.55, 0.3)
ECHOES = (
    "Thank you for telling me: {told} That matters.",
    "I see. You say: {told} Let me think about that.",
    "Understood, I will keep in mind what you said: {told}",
    "Good to know. {told} That changes a few things.",
)
ASKED = (
    "What do you think about {topic} in general?",
    "Could you tell me more about {topic}?",
    "Anything else on {topic}?",
)


@frozen(kw_only=True)
class Chat:
    """A conversation: its turns as messages, and questions with the number of their turn.

    ``about_user``: the answer is what the user told.
    """

    topic: str
    half: str
    turns: tuple[tuple[str, str], ...]
    questions: tuple[tuple[str, int, bool], ...]


def chats() -> Iterator[Chat]:
    """All conversations."""
    for line in DATA.read_text("utf-8").splitlines():
        yield _chat(json.loads(line))


def _chat(entry: dict[str, Any]) -> Chat:
    turns: list[tuple[str, str]] = []
    questions: list[tuple[str, int, bool]] = []
    tips = entry["tips"]
    for number, (told, question) in enumerate(entry["told"]):
        questions.append((question, len(turns), True))
        turns.append(("user", told))
        tip = f"{tips[number % 3]} {tips[(number + 1) % 3]}"
        turns.append(("assistant", f"{ECHOES[number].format(told=told)} {tip}"))
        turns.append(("user", ASKED[number % 3].format(topic=entry["topic"])))
        turns.append(("assistant", f"About {entry['topic']}: {tips[(number + 2) % 3]}"))
        # Assistants restate questions before they answer them.
        turns.append(("user", "Thanks. What would you do in my place?"))
        turns.append(("assistant", f"You may ask: {question} It depends. {tips[number % 3]}"))
        if number == 1:
            advice, asked = entry["advice"]
            questions.append((asked, len(turns) + 1, False))
            turns.append(("user", f"What is your advice on {entry['topic']}?"))
            turns.append(("assistant", advice))
    turns += [("user", "That helps a lot."), ("assistant", f"Any time. {tips[0]}")]
    return Chat(
        topic=entry["topic"],
        half=entry["half"],
        turns=tuple(turns),
        questions=tuple(questions),
    )


def recall(factor: float, half: str, *, about_user: bool) -> float:
    """Share of the questions whose turn is among the first ``CUT`` results."""
    found: list[bool] = []
    settings = load_settings(
        {"audit_log": "memory", "recall": {"assistant": factor}}, environment={}
    )
    with Memory(settings=settings) as memory:
        for chat in chats():
            if chat.half == half:
                found += _found(memory, chat, about_user=about_user)
    return mean(found)


def _found(memory: Memory, chat: Chat, *, about_user: bool) -> Iterator[bool]:
    memory.add(
        [
            {
                "role": role,
                "content": text,
                "timestamp": BEGAN + timedelta(minutes=number),
                "metadata": {"turn": number},
            }
            for number, (role, text) in enumerate(chat.turns)
        ],
        user_id=chat.topic,
        infer=False,
    )
    for question, turn, of_user in chat.questions:
        if of_user is about_user:
            hits = memory.search(question, user_id=chat.topic, limit=CUT)
            yield turn in [hit.metadata["turn"] for hit in hits]


def rows() -> Sequence[Row]:
    """Rows of the report."""
    return [
        Row(
            case=f"{half}, about the {'user' if about_user else 'advice'}, factor {factor:g}",
            unit="share",
            ours=recall(factor, half, about_user=about_user),
        )
        for half in ("tune", "test")
        for about_user in (True, False)
        for factor in FACTORS
    ]


def main() -> int:
    """Run the benchmark."""
    met = report(
        "assistant_chats",
        f"Recall@{CUT} in twenty synthetic chats with an assistant",
        rows(),
        settings={"infer": False, "limit": CUT},
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
