"""The benchmark on a real model judges facts, and never asks for an answer twice."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from bench.real_model import START, Case, Result, cases, judged
from bench.recording import Recorder, Spent
from remembrancer.testing.model_server import ModelServer

MOVE = Case(
    name="move",
    said=("I live in Toronto.", "I moved to Montreal."),
    at=START,
    true=("Montreal",),
    over=(("Toronto", "Montreal"),),
)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (["The user lives in Montreal"], Result(lost=0, outdated=0, junk=0)),
        (["The user moved from Toronto to Montreal"], Result(lost=0, outdated=0, junk=0)),
        (["The user lives in Toronto"], Result(lost=1, outdated=1, junk=0)),
        (["Moved to Montreal", "moved to montreal."], Result(lost=0, outdated=0, junk=1)),
        (["Moved to Montreal", "Alice enjoys chess"], Result(lost=0, outdated=0, junk=1)),
        ([], Result(lost=1, outdated=0, junk=0)),
    ],
)
def test_facts_are_lost_outdated_or_junk(facts: list[str], expected: Result) -> None:
    assert judged(MOVE, facts) == expected
    assert judged(MOVE, facts).right == (expected == Result(lost=0, outdated=0, junk=0))


def test_turn_is_lost_unless_a_fact_has_half_of_the_answer() -> None:
    turn = Case(name="turn", said=("I went camping in June.",), at=START, answer="camping in June")
    assert judged(turn, ["Went camping"]).lost == 0
    assert judged(turn, ["Went somewhere"]).lost == 1


def test_what_was_said_is_itself_right_for_every_belief_that_stays() -> None:
    staying = [case for case in cases() if not case.over]
    assert len(cases()) == 24
    assert staying
    for case in staying:
        assert judged(case, case.said).lost == 0, case.name


def _model() -> ModelServer:
    """A model that answers with the number of the question, in 2 tokens for 7."""
    number = count(1)
    return ModelServer(
        # A line separator of Unicode ends no line of the record.
        answer=lambda _: f"answer\u2028{next(number)}",
        count_tokens=lambda text: 2 if text.startswith("answer") else 7,
    )


def _serving(recorder: Recorder) -> ModelServer:
    return ModelServer(answer=recorder.answer)


def _ask(url: str, question: str) -> str:
    request = {"model": "any", "messages": [{"role": "user", "content": question}]}
    sent = Request(f"{url}/chat/completions", json.dumps(request).encode())
    with urlopen(sent, timeout=60) as response:
        content: str = json.load(response)["choices"][0]["message"]["content"]
    return content.replace("\u2028", " ")


def test_answer_is_asked_for_once_and_found_again_by_a_later_run(tmp_path: Path) -> None:
    file = tmp_path / "answers" / "recorded.jsonl"
    with _model() as model:
        recorder = Recorder(file=file, server=model.url)
        with _serving(recorder) as server:
            assert [_ask(server.url, text) for text in ("One?", "Two?", "One?")] == [
                "answer 1",
                "answer 2",
                "answer 1",
            ]
        assert len(model.asked) == 2
        assert (recorder.spent.calls, recorder.spent.read, recorder.spent.written) == (3, 21, 6)
    later = Recorder(file=file, server=None)
    with _serving(later) as server:
        assert _ask(server.url, "Two?") == "answer 2"
        with pytest.raises(HTTPError, match="422"):
            _ask(server.url, "Three?")
    assert later.missing == 1
    assert later.spent.calls == 1


def test_model_that_is_away_is_an_error_and_nothing_is_recorded(tmp_path: Path) -> None:
    with _model() as model:
        away = model.url
    recorder = Recorder(file=tmp_path / "recorded.jsonl", server=away)
    with _serving(recorder) as server, pytest.raises(HTTPError, match="503"):
        _ask(server.url, "One?")
    assert recorder.spent == Spent()
    assert not recorder.file.exists()


def test_run_that_was_killed_within_a_line_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "recorded.jsonl"
    with _model() as model:
        with _serving(Recorder(file=file, server=model.url)) as server:
            _ask(server.url, "One?")
        with file.open("a", encoding="utf-8") as cut:
            cut.write('{"request": "ab')
        with _serving(Recorder(file=file, server=model.url)) as server:
            assert _ask(server.url, "One?") == "answer 1"
            assert _ask(server.url, "Two?") == "answer 2"
    with _serving(Recorder(file=file, server=None)) as server:
        assert _ask(server.url, "Two?") == "answer 2"
