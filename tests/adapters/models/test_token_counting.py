"""Counts of tokens: exact where an encoding is at hand, from above elsewhere, never downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from remembrancer.adapters.models import token_counting
from remembrancer.adapters.models.token_counting import EstimatedTokens, LocalTokens

ROOT = Path(__file__).parents[3]
TEXTS = [
    *(page.read_text("utf-8") for page in sorted((ROOT / "docs").rglob("*.md"))),
    *(
        message["content"]
        for line in (ROOT / "tests/remembrancer/red_team.jsonl").read_text("utf-8").splitlines()
        for message in json.loads(line)["messages"]
        if isinstance(message["content"], str)
    ),
    "Ich wohne seit Jahren in Köln und arbeite bei der Stadtverwaltung.",
    "Me mudé a Málaga hace tres años porque mi hermana vive allí.",
    "J'habite à Lyon depuis l'été dernier, près de la gare.",
    "我住在北京，我的妹妹在一家书店工作。",
    "先月東京に引っ越しました。猫を二匹飼っています。",
    "Я живу в Казани и работаю врачом.",
    "🙂🙃 ❤️‍🔥 party 🎉",
]


@pytest.fixture
def fresh() -> Iterator[None]:
    token_counting._local_counter.cache_clear()
    yield
    token_counting._local_counter.cache_clear()


def test_the_encoding_that_litellm_ships_counts_as_tiktoken_does() -> None:
    counter = LocalTokens()

    assert counter.name == "cl100k_base"
    # Known token ids of cl100k_base: "Hello", ",", " world", "!".
    assert counter.count(["Hello, world!", "", "<|endoftext|>", "\ud800"]) == [4, 0, 7, 1]


@pytest.mark.usefixtures("fresh")
def test_without_an_encoding_on_this_machine_tokens_are_estimated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(token_counting, "_folders", lambda: iter([tmp_path]))

    assert LocalTokens().name == "estimate"


@pytest.mark.usefixtures("fresh")
def test_a_damaged_encoding_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").write_bytes(b"YQ== 0\n")
    monkeypatch.setattr(token_counting, "_folders", lambda: iter([tmp_path]))

    assert LocalTokens().name == "estimate"


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_the_estimate_is_not_below_the_count_of_ordinary_text(text: str) -> None:
    [estimate], [exact] = EstimatedTokens().count([text]), LocalTokens().count([text])

    assert exact <= estimate


def test_the_estimate_of_english_is_less_than_twice_the_count() -> None:
    prose = (ROOT / "docs/explanation/how-it-works.md").read_text("utf-8")

    [estimate], [exact] = EstimatedTokens().count([prose]), LocalTokens().count([prose])

    assert estimate < 2 * exact
