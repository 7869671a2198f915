"""The command ``demo``: answers, layout and files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.helpers.command_line import CommandLine, on_terminal, start

pytestmark = pytest.mark.slow


def test_every_question_is_answered_by_the_right_fact(remembrancer: CommandLine) -> None:
    document = remembrancer("demo", "--json").document

    answers = {item["query"]: item["results"][0]["fact"] for item in document["answers"]}
    assert {query: fact["text"] for query, fact in answers.items()} == {
        "What is Maya's cat called?": "I adopted a cat last Saturday, she is called Pixel.",
        "What is Maya allergic to?": (
            "By the way, I am allergic to peanuts, so please no satay when I visit."
        ),
        "When did Jonas run the marathon?": "I ran the Vienna marathon on Sunday.",
        "Where does Maya work?": "I work at Mareada now, they chart the seabed.",
        "When is the wedding?": "The wedding is on 24 May 2025 in Graz.",
    }


def test_relative_date_is_resolved_to_a_calendar_date(remembrancer: CommandLine) -> None:
    document = remembrancer("demo", "--json").document

    [marathon] = [item for item in document["answers"] if "marathon" in item["query"]]
    assert marathon["results"][0]["fact"]["valid"]["start"] == "2024-04-21T00:00:00+00:00"


def test_superseded_fact_has_valid_and_recorded_intervals(remembrancer: CommandLine) -> None:
    before, ended, after = remembrancer("demo", "--json").document["history"]

    assert before["text"] == ended["text"] == "I have been living in Hamburg since last week."
    assert after["text"] == "I have been living in Lisbon since Saturday."
    assert (before["status"], ended["status"], after["status"]) == (
        "active", "superseded", "active"
    )  # fmt: skip
    assert ended["valid"]["end"] == after["valid"]["start"] == "2024-06-08T00:00:00+00:00"
    assert before["recorded"]["end"] == ended["recorded"]["start"]


def test_valid_at_and_as_of_read_different_pasts(remembrancer: CommandLine) -> None:
    document = remembrancer("demo", "--json").document

    home = {name: document[name]["results"][0]["fact"] for name in ("now", "valid_at", "as_of")}
    assert "Lisbon" in home["now"]["text"]
    assert "Hamburg" in home["valid_at"]["text"]
    assert "Hamburg" in home["as_of"]["text"]
    # Today's knowledge about that day includes the end of the fact.
    assert home["valid_at"]["valid"]["end"] is not None
    assert home["as_of"]["valid"]["end"] is None


def test_wrong_belief_is_explained_taken_back_and_still_told_of_the_past(
    remembrancer: CommandLine,
) -> None:
    correction = remembrancer("demo", "--json").document["correction"]

    said, before, _ = correction["why"]["answer"]
    assert said == "Jonas said so on 20 September 2024: “The wedding was cancelled.”"
    assert before.startswith("Before, I believed “The wedding is on 24 May 2025 in Graz.”")
    assert correction["why"]["versions"][0]["actor"] == "import"
    assert len(correction["undone"]["withdrawn"]) == len(correction["undone"]["restored"]) == 1
    texts = {name: correction[name]["results"][0]["fact"]["text"] for name in ("now", "as_of")}
    assert texts == {
        "now": "The wedding is on 24 May 2025 in Graz.",
        "as_of": "The wedding was cancelled.",
    }


def test_demo_database_passes_verify(remembrancer: CommandLine) -> None:
    assert remembrancer("demo", "--json").document["verification"]["ok"] is True


def test_output_fits_on_a_page_of_80_columns(remembrancer: CommandLine) -> None:
    outcome = remembrancer("demo")

    lines = outcome.out.splitlines()
    assert (outcome.code, outcome.err) == (0, "")
    assert len(lines) < 66
    assert max(map(cell_len, lines)) <= 80
    assert "\x1b" not in outcome.out


def test_output_is_coloured_on_a_terminal(
    remembrancer: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")

    outcome = on_terminal("demo")

    assert outcome.code == 0
    assert "\x1b[" in outcome.out


def test_demo_without_db_leaves_no_files(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    process = start("demo")
    process.communicate()

    assert process.returncode == 0
    assert not database.exists()
    assert list(tmp_path.iterdir()) == []


def test_named_database_is_kept_and_filled_once(remembrancer: CommandLine, tmp_path: Path) -> None:
    path = str(tmp_path / "kept.db")

    first = remembrancer("demo", "--db", path, "--json").document
    second = remembrancer("demo", "--db", path, "--json").document

    assert first["ingested"]["messages"] == 37
    assert second["ingested"]["messages"] == 0
    assert second["history"] == first["history"]
    again, correction = second["correction"], first["correction"]
    assert again["why"] == correction["why"]
    assert again["undone"]["receipt"]["replayed"] is True
    assert again["as_of"]["time"] == correction["as_of"]["time"]
    assert again["now"]["results"][0]["fact"] == correction["now"]["results"][0]["fact"]
    assert remembrancer("list", "--user", "demo", "--db", path).code == 0


CLOCK = re.compile(r"\d\d:\d\d:\d\d\.\d{3}")


def test_picture_on_the_front_page_is_the_one_that_the_demo_draws(
    remembrancer: CommandLine, tmp_path: Path
) -> None:
    """If this fails: ``sh dev demo --svg docs/demo.svg``."""
    drawn = tmp_path / "demo.svg"

    assert remembrancer("demo", "--svg", str(drawn)).code == 0

    kept = Path(__file__).parents[2] / "docs" / "demo.svg"
    pictures = [CLOCK.sub("", path.read_text(encoding="utf-8")) for path in (drawn, kept)]
    assert pictures[0] == pictures[1]
    assert "url(http" not in pictures[0]
    assert "<script" not in pictures[0]
