"""Languages are data: the examples of every file hold, and a new file needs no code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.application.extraction.rules import languages
from remembrancer.application.extraction.rules.reading import Stance

START = datetime(2024, 10, 7, 9, tzinfo=UTC)
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-language.md"
EXAMPLES = [
    pytest.param(example, id=f"{language.name}-{number}")
    for language in languages.languages()
    for number, example in enumerate(language.examples)
]


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    with Memory() as opened:
        yield opened


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_of_a_language_file_holds(memory: Memory, example: Mapping[str, Any]) -> None:
    user = "".join(example["said"])
    for number, sentence in enumerate(example["said"]):
        memory.add(sentence, user_id=user, occurred_at=START + number * timedelta(days=3))

    assert [fact.text for fact in memory.get_all(user_id=user)] == list(reversed(example["active"]))


@pytest.mark.parametrize("language", languages.languages(), ids=lambda language: language.name)
def test_language_has_examples_of_changes_and_of_sentences_that_change_nothing(
    language: languages.Language,
) -> None:
    kept = [len(example["active"]) == len(example["said"]) for example in language.examples]

    assert True in kept
    assert False in kept


def test_languages_share_slots(memory: Memory) -> None:
    for sentence in ("Vivo en Sevilla.", "Ich bin nach Leipzig gezogen.", "I moved to Lyon."):
        memory.add(sentence, user_id="polyglot")

    assert [fact.text for fact in memory.get_all(user_id="polyglot")] == ["I moved to Lyon."]


def test_file_of_the_how_to_reads_its_examples(tmp_path: Path) -> None:
    [block] = re.findall(r"```toml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "it.toml").write_text(block, encoding="utf-8")

    italian = languages.load(tmp_path / "it.toml")

    moved = italian.slot_in("Mi sono trasferita a Roma.", "user")
    assert moved is not None
    assert (moved.slot, moved.value, moved.stance) == ("user/residence", "roma", Stance.BEGAN)
    assert italian.slot_in("Mi sono trasferita a Rust.", "user") is None
    [over] = italian.ended_by("Non bevo più caffè.")
    assert over.fullmatch(italian.plain("Bevo caffè ogni giorno."))
    assert not over.fullmatch(italian.plain("Bevo caffè al lavoro."))
    assert italian.ended_by("Se non bevo più caffè, dormo.") == []
