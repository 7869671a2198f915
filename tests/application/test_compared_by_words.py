"""The rules find by words what they would find by meaning, and more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.ordinary import lives
from remembrancer import Memory
from remembrancer.application.reconciliation.ending_keys import ending_key
from remembrancer.application.reconciliation.negations import assertion_in
from remembrancer.application.reconciliation.rules import RulesReconciler
from remembrancer.domain.facts.verdicts import Candidate
from remembrancer.domain.ports.reconciler import Comparison
from remembrancer.testing.depth import scaled
from remembrancer.wiring.settings import load_settings
from tests.application.test_beliefs import CHANGES, STAYS

START = datetime(2024, 10, 7, 9, tzinfo=UTC)
SENTENCES = [sentence for pair in (*STAYS, *CHANGES) for sentence in pair]
DRINKS = [
    f"I drink green tea {when}."
    for when in (
        *("at work", "at home", "with Nadia", "with Piotr", "in the garden", "in the office"),
        *("on the train", "on holiday", "before bed", "after lunch", "with honey", "with milk"),
    )
]


class ByMeaning(RulesReconciler):
    """Asks for the nearest facts alone."""

    async def comparison(self, candidates: Sequence[Candidate]) -> Comparison:
        return Comparison(by_meaning=True)


def opened(**overrides: Any) -> Memory:
    settings = load_settings({"audit_log": {"provider": "memory"}}, environment={})
    return Memory(settings=settings, overrides=overrides)


def told(
    memory: Memory, sentences: Sequence[str], *names: str | None, user: str = "ann"
) -> list[object]:
    """The verdicts on sentences of one ledger, said on different days by each of the names."""
    texts: dict[str | None, str] = {}
    found: list[object] = []
    for day, sentence in enumerate(sentences):
        name = names[day % len(names)] if names else None
        said = {"role": "user", "content": sentence, **({} if name is None else {"name": name})}
        receipt = memory.add([said], user_id=user, occurred_at=START + timedelta(days=day))
        for verdict in receipt.verdicts:
            texts.setdefault(verdict.fact_id, verdict.text)
            others = (verdict.target, *verdict.also_ended, *verdict.rivals)
            found.append((sentence, verdict.decision, [texts[each] for each in others if each]))
    return found


@pytest.mark.parametrize("names", [(None,), ("Ann", None), (None, "Ann"), ("Ann", "Bob")])
def test_verdicts_are_those_of_a_search_by_meaning(names: tuple[str | None, ...]) -> None:
    with opened() as by_words, opened(reconciler=ByMeaning()) as by_meaning:
        for number, sentences in enumerate((*STAYS, *CHANGES, *lives(scaled(4)))):
            user = f"user-{number}"
            expected = told(by_meaning, sentences, *names, user=user)
            assert told(by_words, sentences, *names, user=user) == expected


def test_near_duplicate_is_found_among_many_nearer_facts() -> None:
    with opened() as memory:
        said = ["I drink green tea with lemon.", *DRINKS, "And I drink green tea with lemon too!"]
        assert told(memory, said)[-1] == (said[-1], "reaffirm", [said[0]])


@pytest.mark.parametrize(
    ("said", "decision"),
    [("I drink green tea again.", "supersede"), ("I drink green tea daily.", "add")],
)
def test_ending_is_found_among_many_nearer_facts(said: str, decision: str) -> None:
    over = "I no longer drink green tea."
    with opened() as memory:
        assert told(memory, [over, *DRINKS, said])[-1] == (said, decision, [over])


def test_nameless_word_is_not_taken_for_one_of_several_names() -> None:
    with opened() as memory:
        told(memory, ["I like tea.", "I work at Google.", "I work at Google."], "Ann", None, "Bob")
        assert [fact.speaker for fact in memory.get_all(user_id="ann")].count("Bob") == 1


words = st.sampled_from(
    "I we Ann Bob's don't do not am I'm quit stopped smoking smoke used to no longer gave up given "
    "up drinking tea not never. and but so You? – No. Yes. ’t isn’t dont It's over because now "
    "every day anymore".split(" ")
)


@given(st.lists(words, max_size=9).map(" ".join))
@example("Do you smoke? – No.")
@example("I don’t smoke.")
@example("bob dont smoke")
def test_every_ending_has_a_key_and_nothing_else_has_one(text: str) -> None:
    assertion = assertion_in(text, "user")
    assert (ending_key(text) is not None) == (assertion is not None and assertion.over)


@pytest.mark.parametrize("text", SENTENCES)
def test_every_ending_among_the_cases_has_a_key(text: str) -> None:
    assertion = assertion_in(text, "user")
    assert (ending_key(text) is not None) == (assertion is not None and assertion.over)
