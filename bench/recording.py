"""A server with OpenAI's protocol on loopback that records the answers of a real model.

Subjects of a benchmark use it as their model. A request that was recorded is answered from the
record; any other is passed on to the real server, and its answer is kept at once, so that a run
which was interrupted goes on where it stopped. Without a real server, other requests fail.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from attrs import define, field, frozen

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
    _lock: threading.Lock = field(factory=threading.Lock)

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

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to a request, ``None`` if it is not recorded and there is no server."""
        digest = _digest(request)
        # One at a time: the real model has one slot, and a cache of one prefix.
        with self._lock:
            found = self._answers.get(digest) or self._asked(digest, request)
            if found is None:
                self.missing += 1
                return None
            self.spent = self.spent.plus(found)
        return found

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
            "seconds": round(time.monotonic() - begun, 2),
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


def _handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                answer = recorder.answer(request)
            except (URLError, TimeoutError, ConnectionError) as error:
                self._reply(503, {"error": {"message": f"the real model: {error}"}})
                return
            if answer is None:
                # 422 is not retried by clients.
                self._reply(422, {"error": {"message": "not recorded; name a server"}})
                return
            message = {"role": "assistant", "content": answer["content"]}
            choice = {"index": 0, "message": message, "finish_reason": answer["finish_reason"]}
            usage = {
                "prompt_tokens": answer["read"],
                "completion_tokens": answer["written"],
                "total_tokens": answer["read"] + answer["written"],
            }
            self._reply(
                200,
                {
                    "id": answer["request"][:16],
                    "object": "chat.completion",
                    "created": 0,
                    "model": "local",
                    "choices": [choice],
                    "usage": usage,
                },
            )

        def _reply(self, status: int, document: Mapping[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Print nothing."""

    return Handler


@contextmanager
def serving(recorder: Recorder) -> Iterator[str]:
    """Serve a recorder on loopback; yields its address, with ``/v1``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(recorder))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
