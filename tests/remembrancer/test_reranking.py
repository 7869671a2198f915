"""Search with a reranker, and without it if it fails."""

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
    """A reranker that prefers texts with a given word."""

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
def test_reranker_decides_the_order(kind: type[Preferring], word: str) -> None:
    result = found(kind(word))
    assert word in result[0].fact.text
    assert [item.score for item in result] == [0.9, 0.2, 0.2]
    assert result.reranked_by == "preferring"
    assert result.degraded == ()


def test_reranker_input_has_speaker_and_day() -> None:
    reranker = Preferring("cat")
    found(reranker)
    assert "user, 3 May 2024 Friday: The cat likes tea." in reranker.seen


def test_facts_with_equal_relevance_keep_their_order() -> None:
    fused = texts(found(None))
    assert texts(found(Preferring("nothing"))) == fused


def test_explanation_has_both_scores() -> None:
    best = found(Preferring("dog"), explain=True)[0]
    assert best.signals is not None
    assert best.signals["rerank"] == best.score == 0.9
    assert 0 < best.signals["fused"] < 1


def test_threshold_applies_to_the_reranked_score() -> None:
    assert texts(found(Preferring("dog"), threshold=0.5)) == ["The dog likes tea."]


def test_reranker_gets_more_candidates_than_are_returned() -> None:
    fused = texts(found(None))
    result = found(Preferring(fused[-1].split()[1]), limit=1)
    assert texts(result) == [fused[-1]]


def test_number_of_candidates_is_limited_by_the_setting() -> None:
    reranker = Preferring("cat")
    found(reranker, {"reranker": {"candidates": 2}}, limit=1)
    assert len(reranker.seen) == 2


@pytest.mark.parametrize("error", [AdapterUnavailable("x", "down"), ModelError("nonsense")])
@pytest.mark.parametrize("kind", [Preferring, PreferringSlowly])
def test_failing_reranker_keeps_the_order_and_degrades_the_result(
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


def test_hanging_reranker_is_abandoned_at_its_deadline() -> None:
    result = found(Stuck("dog"), {"reranker": {"deadline": 0.05}})
    assert texts(result) == texts(found(None))
    assert result.degraded == ("reranker",)


@pytest.mark.parametrize("answer", [[0.5], [0.5] * 4, [0.5, float("nan"), 0.5]])
def test_invalid_relevances_degrade_the_result(answer: list[float]) -> None:
    class Wrong(Preferring):
        def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
            return answer

    assert found(Wrong("dog")).degraded == ("reranker",)


def test_wrong_api_key_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="api_key"):
        found(Preferring("dog", InvalidRequest("reranker.api_key", "wrong")))


def test_search_can_skip_the_reranker() -> None:
    reranker = Preferring("dog")
    result = found(reranker, rerank=False)
    assert texts(result) == texts(found(None))
    assert reranker.seen == []


def test_rerank_without_a_reranker_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"rerank: there is no reranker"):
        found(None, rerank=True)


def test_rerank_that_is_no_boolean_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="rerank: expected true or false, got int"):
        found(Preferring("dog"), rerank=1)


def test_empty_result_is_not_reranked() -> None:
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


def test_language_model_can_be_the_reranker() -> None:
    parts = {"language_model": ScriptedModel(otherwise=graded)}
    settings = load_settings(CONFIG, environment={})
    with Memory(settings=settings, overrides=parts) as memory:
        memory.add(TEXTS, infer=False, **ANN)
        result = memory.search("Who likes tea?", **ANN)
    assert (result[0].fact.text, result[0].score) == ("The bird likes tea.", 1.0)
    assert result.reranked_by == "scripted"


def test_language_model_can_rerank_concurrent_searches() -> None:
    parts = {"language_model": ScriptedModel(otherwise=graded)}
    settings = load_settings(CONFIG, environment={})

    async def run() -> list[SearchResult]:
        async with await AsyncMemory.open(settings=settings, overrides=parts) as memory:
            await memory.add(TEXTS, infer=False, **ANN)
            return list(
                await asyncio.gather(*(memory.search("Who likes tea?", **ANN) for _ in range(20)))
            )

    assert {result[0].fact.text for result in asyncio.run(run())} == {"The bird likes tea."}


def test_model_reranker_needs_a_language_model() -> None:
    with pytest.raises(InvalidRequest, match=r"reranker\.provider: model needs a language model"):
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
def test_invalid_setting_is_refused_by_name(section: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        load_settings({"reranker": section}, environment={})
