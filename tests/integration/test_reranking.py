"""Searching with a second opinion, and without it when it can't be had."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from remembrancer import (
    AdapterUnavailable,
    AsyncMemory,
    InvalidRequest,
    Memory,
    ModelError,
    load_settings,
)
from remembrancer.application.recall.recall import SearchResult
from remembrancer.domain.errors import RemembrancerError
from remembrancer.domain.ports.language_model import Prompt
from remembrancer.testing.scripted_model import ScriptedModel

TEXTS = ["The cat likes tea.", "The dog likes tea.", "The bird likes tea."]
ANN: Any = {"user_id": "ann"}


class Preferring:
    """A reranker that is for whatever has a word in it."""

    model = "preferring"

    def __init__(self, word: str, error: RemembrancerError | None = None) -> None:
        self.word = word
        self.error = error
        self.seen: list[str] = []

    def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        self.seen = list(texts)
        if self.error is not None:
            raise self.error
        return [0.9 if self.word in text else 0.2 for text in texts]


class PreferringSlowly(Preferring):
    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().rerank(question, texts)


def found(reranker: Any, config: dict[str, Any] | None = None, **options: Any) -> SearchResult:
    settings = load_settings(config or {}, environment={})
    with Memory(settings=settings, overrides={"reranker": reranker}) as memory:
        memory.add(TEXTS, infer=False, occurred_at="2024-05-03T12:00:00Z", **ANN)
        return memory.search("Who likes tea?", **ANN, **options)


def texts(result: SearchResult) -> list[str]:
    return [item.fact.text for item in result]


@pytest.mark.parametrize("kind", [Preferring, PreferringSlowly])
@pytest.mark.parametrize("word", ["cat", "dog", "bird"])
def test_a_reranker_has_the_last_word(kind: type[Preferring], word: str) -> None:
    result = found(kind(word))
    assert word in result[0].fact.text
    assert [item.score for item in result] == [0.9, 0.2, 0.2]
    assert result.reranked_by == "preferring"
    assert result.degraded == ()


def test_it_reads_who_said_it_and_when() -> None:
    reranker = Preferring("cat")
    found(reranker)
    assert "user, 3 May 2024 Friday: The cat likes tea." in reranker.seen


def test_what_it_finds_alike_stays_in_the_order_that_it_had() -> None:
    fused = texts(found(None))
    assert texts(found(Preferring("nothing"))) == fused


def test_the_explanation_tells_both_scores() -> None:
    best = found(Preferring("dog"), explain=True)[0]
    assert best.signals is not None
    assert best.signals["rerank"] == best.score == 0.9
    assert 0 < best.signals["fused"] < 1


def test_the_threshold_is_about_the_last_word() -> None:
    assert texts(found(Preferring("dog"), threshold=0.5)) == ["The dog likes tea."]


def test_it_sees_more_candidates_than_are_returned() -> None:
    fused = texts(found(None))
    result = found(Preferring(fused[-1].split()[1]), limit=1)
    assert texts(result) == [fused[-1]]


def test_it_sees_no_more_than_it_is_set_to() -> None:
    reranker = Preferring("cat")
    found(reranker, {"reranker": {"candidates": 2}}, limit=1)
    assert len(reranker.seen) == 2


@pytest.mark.parametrize("error", [AdapterUnavailable("x", "down"), ModelError("nonsense")])
@pytest.mark.parametrize("kind", [Preferring, PreferringSlowly])
def test_one_that_fails_leaves_the_order_and_says_so(
    kind: type[Preferring], error: RemembrancerError
) -> None:
    result = found(kind("dog", error))
    assert texts(result) == texts(found(None))
    assert result.degraded == ("reranker",)
    assert result.reranked_by is None


class Stuck(Preferring):
    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:  # type: ignore[override]
        await asyncio.Event().wait()
        return []


def test_one_that_is_stuck_is_left_at_its_deadline() -> None:
    result = found(Stuck("dog"), {"reranker": {"deadline": 0.05}})
    assert texts(result) == texts(found(None))
    assert result.degraded == ("reranker",)


@pytest.mark.parametrize("answer", [[0.5], [0.5] * 4, [0.5, float("nan"), 0.5]])
def test_one_that_answers_nonsense_leaves_the_order(answer: list[float]) -> None:
    class Wrong(Preferring):
        def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
            return answer

    assert found(Wrong("dog")).degraded == ("reranker",)


def test_one_with_a_wrong_key_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest, match="api_key"):
        found(Preferring("dog", InvalidRequest("reranker.api_key", "wrong")))


def test_a_search_may_do_without_it() -> None:
    reranker = Preferring("dog")
    result = found(reranker, rerank=False)
    assert texts(result) == texts(found(None))
    assert reranker.seen == []


def test_asking_for_one_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"rerank: there is no reranker"):
        found(None, rerank=True)


def test_only_yes_and_no_are_answers() -> None:
    with pytest.raises(InvalidRequest, match="rerank: expected true or false, got int"):
        found(Preferring("dog"), rerank=1)


def test_nothing_found_is_nothing_to_rerank() -> None:
    reranker = Preferring("dog")
    settings = load_settings({}, environment={})
    with Memory(settings=settings, overrides={"reranker": reranker}) as memory:
        assert memory.search("anything", **ANN).reranked_by is None
    assert reranker.seen == []


def graded(prompt: Prompt) -> dict[str, Any]:
    facts = prompt.messages[0].content.split("<fact-")[1:]
    return {
        "grades": [
            {"fact": number, "grade": 10 if "bird" in fact else 1}
            for number, fact in enumerate(facts, 1)
        ]
    }


CONFIG = {
    "language_model": {"provider": "litellm", "model": "openai/any"},
    "extractor": "rules",
    "reconciler": "rules",
    "reranker": "model",
}


def test_the_language_model_can_be_the_reranker() -> None:
    parts = {"language_model": ScriptedModel(otherwise=graded)}
    settings = load_settings(CONFIG, environment={})
    with Memory(settings=settings, overrides=parts) as memory:
        memory.add(TEXTS, infer=False, **ANN)
        result = memory.search("Who likes tea?", **ANN)
    assert (result[0].fact.text, result[0].score) == ("The bird likes tea.", 1.0)
    assert result.reranked_by == "scripted"


def test_the_language_model_can_be_the_reranker_of_many_searches_at_once() -> None:
    parts = {"language_model": ScriptedModel(otherwise=graded)}
    settings = load_settings(CONFIG, environment={})

    async def run() -> list[SearchResult]:
        async with await AsyncMemory.open(settings=settings, overrides=parts) as memory:
            await memory.add(TEXTS, infer=False, **ANN)
            return list(
                await asyncio.gather(*(memory.search("Who likes tea?", **ANN) for _ in range(20)))
            )

    assert {result[0].fact.text for result in asyncio.run(run())} == {"The bird likes tea."}


def test_a_reranker_that_asks_a_model_needs_one() -> None:
    with pytest.raises(InvalidRequest, match=r"reranker\.provider: model asks a model"):
        load_settings({"reranker": "model"}, environment={})


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"candidates": 0}, "reranker: 'candidates' must be >= 1"),
        ({"deadline": 0}, "reranker: 'deadline' must be > 0"),
        ({"deadline": "soon"}, r"reranker\.deadline: expected a number"),
        ({"provider": "fastembed", "candidats": 3}, r"candidats: .* did you mean candidates"),
    ],
)
def test_a_wrong_setting_is_named(section: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        load_settings({"reranker": section}, environment={})
