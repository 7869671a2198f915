"""The command ``diff``: its lines, its JSON, its page and its exit codes."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.helpers.command_line import CommandLine

ANA = ("--user", "ana")
HOSTILE = 'I said "</span><script>alert(1)</script>" \x1b[31m<img onerror=x>'


@pytest.fixture
def told(remembrancer: CommandLine) -> tuple[CommandLine, str]:
    """A fact about tea, which was corrected, and one about a boat, which was deleted."""
    tea, boat = (
        remembrancer("add", text, *ANA, "--no-infer", "--json").document["receipt"]["verdicts"][0]
        for text in ("I drink tea", "I sold the boat")
    )
    events = remembrancer("stats", *ANA, "--json").document["events"]
    remembrancer("update", tea["fact_id"], "I drink green tea", *ANA)
    remembrancer("delete", boat["fact_id"], *ANA)
    return remembrancer, f"@{events}"


def test_words_that_came_and_went_are_marked(told: tuple[CommandLine, str]) -> None:
    remembrancer, before = told
    outcome = remembrancer("diff", before, *ANA)
    assert outcome.code == 0
    revised, retracted, totals = outcome.out.splitlines()
    assert revised.startswith("revised     ")
    assert "  I drink {+green +}tea  (fact.revised by cli, 20" in revised
    assert retracted.startswith("retracted   ")
    assert totals.startswith(f"{before} to @")
    assert totals.endswith(": 1 revised, 1 retracted")


def test_json_has_the_changes_their_causes_and_totals(told: tuple[CommandLine, str]) -> None:
    remembrancer, before = told
    document = remembrancer("diff", before, *ANA, "--json").document
    assert list(document) == ["from", "to", "changes", "totals"]
    assert f"@{document['from']['version']}" == before
    assert document["totals"] == {"revised": 1, "retracted": 1}
    change = document["changes"][0]
    assert list(change) == ["change", "fact_id", "before", "after", "fields", "words", "cause"]
    assert change["words"] == [["=", "I drink "], ["+", "green "], ["=", "tea"]]
    assert (change["before"]["text"], change["after"]["text"]) == (
        "I drink tea",
        "I drink green tea",
    )
    assert {"event_id", "correlation_id", "actor", "reason"} < set(change["cause"])
    counted = remembrancer("diff", before, *ANA, "--json", "--stat").document
    assert list(counted) == ["from", "to", "totals"]


def test_exit_code_tells_whether_anything_differs(told: tuple[CommandLine, str]) -> None:
    remembrancer, before = told
    assert remembrancer("diff", before, *ANA, "--exit-code").code == 1
    same = remembrancer("diff", before, before, *ANA, "--exit-code")
    assert (same.code, same.out) == (0, f"{before} to {before}: nothing changed\n")
    assert remembrancer("diff", before, *ANA, "--stat").out.count("\n") == 1


def test_bad_moments_are_refused_by_name(told: tuple[CommandLine, str]) -> None:
    remembrancer, before = told
    backwards = remembrancer("diff", "@999", before, *ANA, "--json")
    assert (backwards.code, backwards.error["path"]) == (1, "before")
    late = remembrancer("diff", before, "2999-01-01", *ANA, "--json")
    assert (late.code, late.error["path"]) == (1, "after")
    assert remembrancer("diff", "soon", *ANA).code == 2
    assert remembrancer("diff", before, *ANA, "--kind", "added").code == 2
    assert remembrancer("diff", before).code == 2
    nowhere = remembrancer("diff", before, *ANA, "--html", "/no/such/folder/x.html", "--json")
    assert (nowhere.code, nowhere.error["path"]) == (1, "--html")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_shows_hostile_text_as_text(told: tuple[CommandLine, str], tmp_path: Path) -> None:
    remembrancer, before = told
    remembrancer("add", HOSTILE, *ANA, "--no-infer")
    outcome = remembrancer("diff", before, *ANA, "--html", str(tmp_path / "diff.html"))
    assert "\x1b" not in outcome.out
    page = (tmp_path / "diff.html").read_text(encoding="utf-8")
    parsed = _Tags()
    parsed.feed(page)
    assert not {"script", "img"} & set(parsed.seen)
    assert "<script>alert(1)</script>" in parsed.text
    assert "\x1b" not in page
    assert "\\u001b[31m" in page
    assert {"ins", "article"} <= set(parsed.seen)
    assert "script-src 'none'" in page
