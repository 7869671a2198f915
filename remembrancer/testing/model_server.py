"""A scripted model server on loopback that speaks the OpenAI protocol.

It tests a real client library end to end: it answers chat completions, embeddings and reranking
requests, fails on demand like real servers, and counts requests. It has no model and does not
stream.

::

    with ModelServer(answer='{"facts": []}') as server:
        server.script(Status(code=429, headers={"Retry-After": "0"}), "second answer")
        model = LitellmLanguageModel(LitellmSettings(model="openai/any", base_url=server.url))
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeAlias

from attrs import field, frozen

from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.domain.errors import InvalidRequest

LARGEST_REQUEST = 1 << 24
"""Bytes."""

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found"}


@frozen(kw_only=True)
class Asked:
    """One request: ``path`` below the root, ``body`` as parsed from JSON, headers in lower case."""

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The content of all messages, all inputs of an embedding request, or the question and
        the documents of a reranking request, line by line.
        """
        if "messages" in self.body:
            return "\n".join(str(message["content"]) for message in self.body["messages"])
        if "documents" in self.body:
            return "\n".join((self.body["query"], *self.body["documents"]))
        return "\n".join(_inputs(self.body))


@frozen(kw_only=True)
class Status:
    """An answer with the given HTTP status and body; the default body is an error of the
    protocol.
    """

    code: int
    body: str | None = None
    headers: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Finish:
    """An answer with a finish reason, such as ``length`` or ``content_filter``; ``refusal`` is the
    text of a refusal.
    """

    text: str | None
    reason: str = "stop"
    refusal: str | None = None


@frozen(kw_only=True)
class Hang:
    """Read the request and never answer, until the client goes away."""


@frozen(kw_only=True)
class CutOff:
    """Close the connection after this many bytes of the answer; 0 closes it before the first."""

    after: int


Reply: TypeAlias = str | Mapping[str, Any] | list[Any] | Status | Finish | Hang | CutOff
"""The answer to one request; a mapping or list is sent as JSON."""


class ModelServer:
    """A server that runs in a daemon thread until the ``with`` block ends.

    Args:
        answer: the answer when the script is empty, or a function from request to answer.
        latency: seconds before each answer.
        meeting: answers wait until this many requests have been there at once.
        dimension: components of the vectors, which come from ``HashingEmbedder``.
        unknown: names of parameters that the server refuses with status 400, such as
            ``response_format``.
        count_tokens: the number of tokens of a text; the number of words by default.

    Attributes:
        asked: every request so far, in order of arrival.
        input_tokens: all tokens of the prompts that were answered.
        output_tokens: all tokens of the answers.
        most_at_once: the largest number of concurrent requests.
    """

    def __init__(
        self,
        answer: Reply | Callable[[Asked], Reply] = "{}",
        *,
        latency: float = 0.0,
        meeting: int = 1,
        dimension: int = 256,
        unknown: tuple[str, ...] = (),
        count_tokens: Callable[[str], int] = lambda text: len(text.split()),
    ) -> None:
        self.asked: list[Asked] = []
        self.input_tokens = 0
        self.output_tokens = 0
        self.most_at_once = 0
        self._answer = answer
        self._latency = latency
        self._meeting = meeting
        self._met = asyncio.Event()
        self._embedder = HashingEmbedder(dimension)
        self._unknown = unknown
        self._count_tokens = count_tokens
        self._script: deque[Reply] = deque()
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._port = 0
        self._thread = threading.Thread(
            target=self._run, name="remembrancer-model-server", daemon=True
        )

    @property
    def url(self) -> str:
        """The address to give as ``base_url``."""
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, *replies: Reply) -> None:
        """Give these answers to the next requests, one each; after them, ``answer`` again."""
        self._script.extend(replies)

    def __enter__(self) -> ModelServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._converse(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # The client disconnected, or sent no HTTP: there is no one to answer.
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Returns whether the connection stays open."""
        asked = await _read_request(reader)
        self.asked.append(asked)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        if self.most_at_once >= self._meeting:
            self._met.set()
        try:
            reply = self._reply_to(asked)
            await self._met.wait()
            await asyncio.sleep(self._latency)
            if isinstance(reply, Hang):
                await reader.read()
                return False
            response = self._response(asked, reply)
            if isinstance(reply, CutOff):
                response = response[: reply.after]
            writer.write(response)
            await writer.drain()
        finally:
            self._at_once -= 1
        return not isinstance(reply, CutOff)

    def _reply_to(self, asked: Asked) -> Reply:
        refused = [name for name in self._unknown if name in asked.body]
        if refused:
            return Status(code=400, body=_error(f"unknown parameter: {refused[0]}"))
        if self._script:
            return self._script.popleft()
        if asked.path.endswith(("/embeddings", "/rerank")) or not callable(self._answer):
            return self._answer if not callable(self._answer) else ""
        return self._answer(asked)

    def _response(self, asked: Asked, reply: Reply) -> bytes:
        if isinstance(reply, Status):
            body = _error(f"scripted status {reply.code}") if reply.body is None else reply.body
            return _http(reply.code, body, reply.headers)
        if asked.path.endswith("/chat/completions"):
            return _http(200, json.dumps(self._completion(asked, reply)))
        if asked.path.endswith("/embeddings"):
            return _http(200, json.dumps(self._vectors(asked)))
        if asked.path.endswith("/rerank"):
            said = self._relevances(asked) if reply == self._answer else reply
            return _http(200, json.dumps(said))
        return _http(404, _error(f"no such path: {asked.path}"))

    def _completion(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        if isinstance(reply, CutOff):
            reply = "an answer that is cut off before its end"
        if not isinstance(reply, Finish):
            reply = Finish(text=reply if isinstance(reply, str) else json.dumps(reply))
        message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
        return {
            "id": f"chatcmpl-{len(self.asked)}",
            "object": "chat.completion",
            "created": 0,
            "model": asked.body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reply.reason}],
            "usage": self._usage(asked.text, reply.text or ""),
        }

    def _vectors(self, asked: Asked) -> dict[str, Any]:
        vectors = self._embedder.embed(_inputs(asked.body), "document")
        encoded = asked.body.get("encoding_format") == "base64"
        return {
            "object": "list",
            "model": asked.body["model"],
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": base64.b64encode(vector.tobytes()).decode()
                    if encoded
                    else list(vector),
                }
                for index, vector in enumerate(vectors)
            ],
            "usage": self._usage(asked.text, ""),
        }

    def _relevances(self, asked: Asked) -> dict[str, Any]:
        question, *vectors = self._embedder.embed(
            [asked.body["query"], *asked.body["documents"]], "document"
        )
        results = [
            {
                "index": index,
                "relevance_score": sum(a * b for a, b in zip(question, vector, strict=True)),
            }
            for index, vector in enumerate(vectors)
        ]
        self._usage(asked.text, "")
        return {
            "id": f"rerank-{len(self.asked)}",
            "results": sorted(results, key=lambda result: -result["relevance_score"]),
            "meta": {"billed_units": {"search_units": 1}},
        }

    def _usage(self, asked: str, answered: str) -> dict[str, int]:
        read, written = self._count_tokens(asked), self._count_tokens(answered)
        self.input_tokens += read
        self.output_tokens += written
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.rstrip().split("\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    length = int(headers.get("content-length", 0))
    if length > LARGEST_REQUEST:
        raise InvalidRequest("content-length", f"expected at most {LARGEST_REQUEST}, got {length}")
    body = await reader.readexactly(length)
    return Asked(path=request.split()[1], body=json.loads(body or b"{}"), headers=headers)


def _inputs(body: Mapping[str, Any]) -> list[str]:
    given = body.get("input", [])
    return [given] if isinstance(given, str) else list(given)


def _error(message: str) -> str:
    return json.dumps({"error": {"message": message, "type": "scripted", "code": None}})


def _http(code: int, body: str, headers: Mapping[str, str] | None = None) -> bytes:
    content = body.encode()
    lines = [
        f"HTTP/1.1 {code} {_REASONS.get(code, 'Scripted')}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content
