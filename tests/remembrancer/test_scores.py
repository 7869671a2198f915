"""What scores mean: the same threshold on two corpora, and when a search says "not known"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.assistant_chats import chats
from remembrancer import Memory, load_settings
from remembrancer.domain.recall.abstaining import UNANSWERED

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "entrypoints/cli/demo.jsonl"

ABOUT_MAYA_AND_JONAS = (
    "Where does Maya live?",
    "Where does Maya work?",
    "What is the name of Maya's cat?",
    "Which instrument does Maya play?",
    "What is Maya allergic to?",
    "What is Maya's favourite food?",
    "Which lessons does Maya take?",
    "Where did Maya see whales?",
    "Which marathon did Jonas run?",
    "Where does Jonas live?",
    "When is the wedding of Jonas?",
    "Where does Jonas teach?",
)
OF_THE_OTHER = (
    "What is the name of Jonas's cat?",
    "What is Jonas allergic to?",
    "Which Portuguese lessons does Jonas take?",
    "Which marathon did Maya run?",
    "Where does Maya teach at the evening school?",
    "Where did Jonas see whales?",
)


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    """Both corpora, word for word: the demo's two people, and twenty chats with an assistant."""
    with Memory(settings=load_settings({"audit_log": "memory"}, environment={})) as opened:
        demo = [json.loads(line) for line in DEMO.read_text("utf-8").splitlines()]
        opened.add(demo, user_id="demo", infer=False)
        for chat in chats():
            turns = [{"role": role, "content": text} for role, text in chat.turns]
            opened.add(turns, user_id=chat.topic, infer=False)
        yield opened


def share_found(memory: Memory, asked: list[tuple[str, str]]) -> float:
    """The share of questions, each of a user, with a result at the documented threshold."""
    found = [
        bool(memory.search(question, user_id=user, threshold=UNANSWERED, limit=1))
        for user, question in asked
    ]
    return sum(found) / len(found)


CHATS = tuple(chats())
QUESTIONS = [(chat.topic, question) for chat in CHATS for question, _, _ in chat.questions]


def test_most_answers_of_both_corpora_score_above_the_documented_threshold(
    memory: Memory,
) -> None:
    own = [("demo", question) for question in ABOUT_MAYA_AND_JONAS]

    assert share_found(memory, own) >= 0.9
    assert share_found(memory, QUESTIONS) >= 0.9


def test_few_questions_about_something_else_do(memory: Memory) -> None:
    foreign = [("demo", question) for _, question in QUESTIONS]
    of_another_topic = [
        (CHATS[(number + 7) % len(CHATS)].topic, question)
        for number, chat in enumerate(CHATS)
        for question, _, _ in chat.questions
    ]

    assert share_found(memory, foreign) <= 0.25
    assert share_found(memory, of_another_topic) <= 0.25


def test_what_another_person_said_of_himself_is_not_known_of_the_person_asked_about(
    memory: Memory,
) -> None:
    known = [memory.search(q, user_id="demo", abstain=True) for q in ABOUT_MAYA_AND_JONAS]
    unknown = [memory.search(q, user_id="demo", abstain=True) for q in OF_THE_OTHER]

    assert sum(not result.abstained for result in known) >= 10
    assert sum(result.abstained for result in unknown) >= 4
    assert all(bool(result) is not result.abstained for result in (*known, *unknown))


def test_without_the_option_a_search_returns_the_nearest_facts(memory: Memory) -> None:
    result = memory.search("Which marathon did Maya run?", user_id="demo")

    assert result
    assert not result.abstained


class TestHints:
    @pytest.fixture
    def memory(self) -> Iterator[Memory]:
        with Memory() as opened:
            opened.add("I live in Berlin.", user_id="ann", run_id="7", infer=False)
            yield opened

    @pytest.mark.parametrize(
        ("ids", "hint"),
        [
            ({"run_id": "7"}, "pass user_id, too"),
            ({"agent_id": "bot"}, "pass user_id, too"),
            ({"user_id": "bob"}, "nothing was ever told under this user_id"),
            ({"user_id": "ann", "run_id": "8"}, "no fact has this run_id; user_id alone has some"),
            ({"user_id": "ann", "app_id": "x"}, "no fact has this app_id; user_id alone has some"),
        ],
    )
    def test_ids_that_find_nothing_get_a_hint(
        self, memory: Memory, ids: dict[str, str], hint: str
    ) -> None:
        result = memory.search("Where do I live?", **ids)  # type: ignore[arg-type]

        assert not result
        assert hint in (result.hint or "")
        assert ids.get("run_id", "?") not in (result.hint or "")

    def test_a_search_that_finds_something_has_none(self, memory: Memory) -> None:
        assert memory.search("Berlin", user_id="ann", run_id="7").hint is None

    def test_a_filter_or_a_word_that_finds_nothing_is_no_mistake_of_ids(
        self, memory: Memory
    ) -> None:
        filters = {"speaker": "nobody"}

        assert memory.search("Berlin", user_id="ann", filters=filters).hint is None


class TestSigns:
    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("I love 🍕 on Fridays.", "🍕"),
            ("Red ❤️ it is.", "❤"),
            ("Thumbs up 👍🏽 from me.", "👍"),
            ("İSTANBUL'DA YAŞIYORUM", "istanbul'da"),
            ("Isparta güzel.", "ısparta"),
            ("IĞDIR", "ığdır"),
        ],
    )
    def test_emoji_and_turkish_letters_are_found(self, text: str, query: str) -> None:
        with Memory() as memory:
            memory.add([text, "Something else."], user_id="ann", infer=False)

            found = memory.search(query, user_id="ann", explain=True)

        assert found[0].text == text
        assert (found[0].signals or {})["keyword"] > 0.5
