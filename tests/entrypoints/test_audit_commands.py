"""The commands ``why``, ``why-not`` and ``undo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer import Memory
from remembrancer.entrypoints.cli.why_picture import draw_why, mermaid_of
from remembrancer.types import Why
from tests.helpers.command_line import CommandLine

ANA = ("--user", "ana")
HOSTILE = 'I like "</text><script>alert(1)</script>" \x1b[31mred\u202e.'


@pytest.fixture
def told(remembrancer: CommandLine) -> dict[str, Any]:
    """The receipt of the second of two moves."""
    remembrancer("add", "I live in Berlin.", *ANA, "--at", "2026-05-01")
    outcome = remembrancer("add", "I moved to Rome.", *ANA, "--at", "2026-05-03", "--json")
    receipt: dict[str, Any] = outcome.document["receipt"]
    return receipt


def fact_of(receipt: dict[str, Any]) -> str:
    fact_id: str = receipt["verdicts"][0]["fact_id"]
    return fact_id


def test_the_first_three_lines_answer(remembrancer: CommandLine, told: dict[str, Any]) -> None:
    outcome = remembrancer("why", fact_of(told), *ANA)
    assert outcome.out.splitlines()[:3] == [
        "You said so on 3 May 2026: “I moved to Rome.”",
        "Before, I believed “I live in Berlin.”, because you said so on 1 May 2026. "
        "Why it changed: residence changed.",
        "I still believe it.",
    ]
    assert "version 1  fact.added by cli" in " ".join(outcome.out.split(" "))
    assert "decision: supersede" in outcome.out


def test_why_in_json_has_the_raw_answer_only_with_raw(
    remembrancer: CommandLine, told: dict[str, Any]
) -> None:
    document = remembrancer("why", fact_of(told), "--json").document
    assert set(document) == {
        *("answer", "fact", "versions", "inferences", "replaced", "ended", "gaps", "complete"),
    }
    assert document["complete"] is True
    assert [each["output"] for each in document["inferences"]] == [None]
    raw = remembrancer("why", fact_of(told), "--json", "--raw").document
    assert [each["output"] for each in raw["inferences"]] == ["[]"]
    assert "raw: []" in remembrancer("why", fact_of(told), "--raw").out
    assert "raw:" not in remembrancer("why", fact_of(told)).out


def test_a_version_and_a_moment_are_explained(
    remembrancer: CommandLine, told: dict[str, Any]
) -> None:
    remembrancer("update", fact_of(told), "I live in Rome.")
    first = remembrancer("why", fact_of(told), "--version", "1", "--json").document
    assert first["fact"]["text"] == "I moved to Rome."
    then = remembrancer("why", fact_of(told), "--as-of", "@10", "--json").document
    assert then["fact"]["version"] == 1
    unknown = remembrancer("why", fact_of(told), "--version", "7", "--json")
    assert (unknown.code, unknown.error["type"]) == (1, "NotFound")
    nobody = remembrancer("why", "0" * 32, "--json")
    assert (nobody.code, nobody.error["type"]) == (1, "NotFound")
    assert remembrancer("why", "no-id", "--json").error["path"] == "fact_id"


def test_pictures_are_written_and_a_chart_goes_to_a_pipe(
    remembrancer: CommandLine, told: dict[str, Any], tmp_path: Path
) -> None:
    picture, chart = tmp_path / "why.svg", tmp_path / "why.mmd"
    fact = fact_of(told)
    remembrancer("why", fact, "--svg", str(picture), "--mermaid", str(chart))
    assert "I moved to Rome." in "".join(ElementTree.parse(picture).getroot().itertext())
    piped = remembrancer("why", fact, "--mermaid", "-").out
    assert piped == chart.read_text(encoding="utf-8")
    assert piped.startswith("flowchart LR\n")
    missing = remembrancer("why", fact, "--svg", str(tmp_path / "none" / "why.svg"), "--json")
    assert (missing.code, missing.error["path"]) == (1, "--svg")


def test_hostile_text_is_shown_as_text(remembrancer: CommandLine, tmp_path: Path) -> None:
    receipt = remembrancer("add", HOSTILE, *ANA, "--no-infer", "--json").document["receipt"]
    picture = tmp_path / "why.svg"
    outcome = remembrancer("why", fact_of(receipt), "--svg", str(picture))
    assert "\x1b" not in outcome.out
    assert "\u202e" not in outcome.out
    tags = {each.tag.rpartition("}")[2] for each in ElementTree.parse(picture).getroot().iter()}
    assert tags <= {"svg", "style", "rect", "g", "text", "path"}
    chart = remembrancer("why", fact_of(receipt), "--mermaid", "-").out
    labels = [line for line in chart.splitlines() if "[" in line]
    assert all(line.count('"') == 2 and "<script" not in line for line in labels)


@pytest.fixture(scope="module")
def explained() -> Why:
    with Memory() as memory:
        receipt = memory.add("I live in Berlin.", user_id="ana")
        return memory.audit.why(str(receipt.verdicts[0].fact_id))


@given(text=st.text(min_size=1, max_size=300))
def test_pictures_of_any_text_are_well_formed(explained: Why, text: str) -> None:
    step = evolve(explained.versions[0], text=text, actor=text, reason=text)
    why = evolve(explained, versions=(step, step), gaps=(text,))
    ElementTree.fromstring(draw_why(why))
    for line in mermaid_of(why).splitlines()[1:]:
        assert line.count('"') in (0, 2)


def test_why_not_names_the_reason(remembrancer: CommandLine) -> None:
    remembrancer("add", "What does a ticket to Rome cost?", *ANA)
    outcome = remembrancer("why-not", "a ticket to Rome", *ANA)
    assert "not remembered: question" in outcome.out
    (found,) = remembrancer("why-not", "a ticket to Rome", *ANA, "--json").document["dismissals"]
    assert (found["reason"], found["code"]) == ("question", None)
    assert remembrancer("why-not", "my dog", *ANA).out.startswith("Nothing like it")
    assert remembrancer("why-not", "my dog").code == 2
    assert remembrancer("why-not", "", *ANA).code == 1


def test_undo_says_what_it_did_and_a_dry_run_what_it_would_do(
    remembrancer: CommandLine, told: dict[str, Any]
) -> None:
    request = told["correlation_id"]
    planned = remembrancer("undo", request, "--dry-run", "--json")
    assert planned.code == 0
    assert planned.document["receipt"] is None
    assert planned.document["withdrawn"] == [fact_of(told)]
    assert "would be withdrawn" in remembrancer("undo", request, "--dry-run").out
    done = remembrancer("undo", request, "--yes", "--reason", "a joke", "--json")
    assert set(done.document) == {"undone", "receipt", "restored", "withdrawn", "blocked_by"}
    assert done.document["receipt"]["extractor"] == "caller"
    again = remembrancer("undo", request)
    assert (again.code, "undone before" in again.out) == (0, True)
    listed = remembrancer("list", *ANA, "--json").document["facts"]
    assert [fact["text"] for fact in listed] == ["I live in Berlin."]


def test_undo_below_a_later_change_exits_with_1_and_lists_it(
    remembrancer: CommandLine, told: dict[str, Any]
) -> None:
    request = told["correlation_id"]
    later = remembrancer("update", fact_of(told), "I live in Rome.", "--json").document["receipt"]
    events = remembrancer("stats", "--json").document
    blocked = remembrancer("undo", request, "--yes", "--json")
    assert blocked.code == 1
    assert [each["correlation_id"] for each in blocked.document["blocked_by"]] == [
        later["correlation_id"]
    ]
    assert later["correlation_id"] in remembrancer("undo", request, "--yes").out
    assert remembrancer("stats", "--json").document == events
    assert remembrancer("undo", request, "--cascade", "--yes").code == 0


def test_undo_without_a_terminal_needs_yes_and_bad_requests_are_refused(
    remembrancer: CommandLine, told: dict[str, Any]
) -> None:
    assert remembrancer("undo", told["correlation_id"]).code == 2
    foreign = remembrancer("undo", told["correlation_id"], "--yes", "--user", "bob", "--json")
    assert (foreign.code, foreign.error["type"]) == (1, "NotFound")
    assert remembrancer("undo", "no-id", "--json").error["path"] == "request"
