"""The benchmark on a real model judges facts, and never asks for an answer twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from attrs import define, field

from bench.real_model import START, Case, Result, cases, judged
from bench.recording import Recorder, Spent, serving

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


@define
class _Model:
    """A model that answers with the number of the question."""

    url: str = ""
    asked: list[dict[str, Any]] = field(factory=list)


@contextmanager
def _model() -> Iterator[_Model]:
    model = _Model()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            model.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            # A line separator of Unicode ends no line of the record.
            message = {"content": f"answer\u2028{len(model.asked)}"}
            answer = {
                "choices": [{"message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 2},
            }
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            model.url = f"http://127.0.0.1:{server.server_port}/v1"
            yield model
        finally:
            server.shutdown()
            thread.join()


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
        with serving(recorder) as url:
            assert [_ask(url, text) for text in ("One?", "Two?", "One?")] == [
                "answer 1",
                "answer 2",
                "answer 1",
            ]
        assert len(model.asked) == 2
        assert (recorder.spent.calls, recorder.spent.read, recorder.spent.written) == (3, 21, 6)
    later = Recorder(file=file, server=None)
    with serving(later) as url:
        assert _ask(url, "Two?") == "answer 2"
        with pytest.raises(HTTPError, match="422"):
            _ask(url, "Three?")
    assert later.missing == 1
    assert later.spent.calls == 1


def test_model_that_is_away_is_an_error_and_nothing_is_recorded(tmp_path: Path) -> None:
    with _model() as model:
        away = model.url
    recorder = Recorder(file=tmp_path / "recorded.jsonl", server=away)
    with serving(recorder) as url, pytest.raises(HTTPError, match="503"):
        _ask(url, "One?")
    assert recorder.spent == Spent()
    assert not recorder.file.exists()


def test_run_that_was_killed_within_a_line_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "recorded.jsonl"
    with _model() as model:
        with serving(Recorder(file=file, server=model.url)) as url:
            _ask(url, "One?")
        with file.open("a", encoding="utf-8") as cut:
            cut.write('{"request": "ab')
        with serving(Recorder(file=file, server=model.url)) as url:
            assert _ask(url, "One?") == "answer 1"
            assert _ask(url, "Two?") == "answer 2"
    with serving(Recorder(file=file, server=None)) as url:
        assert _ask(url, "Two?") == "answer 2"
