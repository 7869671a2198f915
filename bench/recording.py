"""Recorded answers of a real model, served by ``ModelServer`` to the subjects of a benchmark.

A request that was recorded is answered from the record; any other is passed on to the real server,
and its answer is kept at once, so that a run which was interrupted goes on where it stopped.
Without a real server, other requests fail.

::

    recorder = Recorder(file=file, server=None)
    with ModelServer(answer=recorder.answer) as server:
        ...
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from attrs import define, field, frozen

from remembrancer.testing.model_server import Asked, Finish, Status

SENT = ("messages", "response_format", "max_tokens", "max_completion_tokens", "temperature")
"""The parts of a request that affect the answer. The same model answers all of them."""


@frozen(kw_only=True)
class Spent:
    """What a subject asked for: calls, tokens read (cached ones included) and written, seconds of
    the real model.
    """

    calls: int = 0
    read: int = 0
    written: int = 0
    seconds: float = 0.0

    def plus(self, answer: Mapping[str, Any]) -> Spent:
        """This and one more answer."""
        return Spent(
            calls=self.calls + 1,
            read=self.read + answer["read"],
            written=self.written + answer["written"],
            seconds=self.seconds + answer["seconds"],
        )


@define
class Recorder:
    """The recorded answers, by the digest of their request.

    Args:
        file: one JSON document a line; made if it does not exist.
        server: address of the real model, with ``/v1``; ``None``: only recorded answers.
        timeout: of the real model, in seconds.
    """

    file: Path
    server: str | None
    timeout: float = 3600.0
    spent: Spent = field(factory=Spent)
    missing: int = 0
    _answers: dict[str, dict[str, Any]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not self.file.exists():
            return
        *lines, cut = self.file.read_bytes().split(b"\n")
        if cut:
            # A run was killed within this line.
            with self.file.open("r+b") as file:
                file.truncate(self.file.stat().st_size - len(cut))
        for line in lines:
            answer = json.loads(line)
            self._answers[answer["request"]] = answer

    def answer(self, asked: Asked) -> Finish | Status:
        """The answer to a request. Status 503: the real model did not answer; 422, which clients
        do not retry: it is not recorded, and there is no server.
        """
        digest = _digest(asked.body)
        try:
            found = self._answers.get(digest) or self._asked(digest, asked.body)
        except (URLError, TimeoutError, ConnectionError) as error:
            return _refusal(503, f"the real model: {error}")
        if found is None:
            self.missing += 1
            return _refusal(422, "not recorded; name a server")
        self.spent = self.spent.plus(found)
        return Finish(text=found["content"], reason=found["finish_reason"])

    def _asked(self, digest: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
        if self.server is None:
            return None
        sent = Request(
            f"{self.server}/chat/completions",
            json.dumps({**_relevant(request), "model": "local"}).encode(),
            {"Content-Type": "application/json"},
        )
        begun = time.monotonic()
        with urlopen(sent, timeout=self.timeout) as response:
            answered = json.load(response)
        choice, usage = answered["choices"][0], answered["usage"]
        answer = {
            "request": digest,
            "content": choice["message"]["content"],
            "finish_reason": choice["finish_reason"],
            "read": usage["prompt_tokens"],
            "written": usage["completion_tokens"],
            "seconds": round(time.monotonic() - begun, 4),
        }
        self._answers[digest] = answer
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")
        return answer


def _relevant(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: request[name] for name in SENT if name in request}


def _digest(request: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_relevant(request), sort_keys=True).encode()).hexdigest()


def _refusal(code: int, message: str) -> Status:
    return Status(code=code, body=json.dumps({"error": {"message": message}}))
