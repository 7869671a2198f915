"""Fake Qdrant server on the loopback interface, over the local mode of the client.

It implements the part of the REST protocol that the index uses, so that the tests run the real
client over HTTP. Set ``QDRANT_URL`` to also test a real server.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from qdrant_client import QdrantClient, models

VERSION = "1.17.0"
API_KEY = "a key"

Handler = Callable[["StandIn", str, Mapping[str, Any]], Any]


class Refused(Exception):
    """Makes the server answer with an error status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class StandIn:
    """The fake server without HTTP. ``fail_with``: error status of all further answers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engine = QdrantClient(":memory:")
        self.indexed: set[str] = set()
        self.fail_with: int | None = None

    def answer(self, method: str, path: str, body: Mapping[str, Any], key: str | None) -> Any:
        """Return the result of one request."""
        if self.fail_with is not None:
            raise Refused(self.fail_with)
        if key != API_KEY:
            raise Refused(401)
        with self.lock:
            for verb, pattern, handler in _ROUTES:
                found = re.fullmatch(pattern, path)
                if verb == method and found is not None:
                    name = found[1] if found.groups() else ""
                    if name and handler not in (_create, _exists, _drop) and not self.has(name):
                        raise Refused(404)
                    return handler(self, name, body)
        raise Refused(404)

    def has(self, name: str) -> bool:
        """Return whether a collection exists."""
        return self.engine.collection_exists(name)


def _exists(server: StandIn, name: str, _body: Mapping[str, Any]) -> Any:
    return {"exists": server.has(name)}


def _info(server: StandIn, name: str, _body: Mapping[str, Any]) -> Any:
    return server.engine.get_collection(name)


def _create(server: StandIn, name: str, body: Mapping[str, Any]) -> Any:
    asked = models.CreateCollection.model_validate(body)
    if server.has(name):
        raise Refused(409)
    return server.engine.create_collection(
        name,
        vectors_config=cast(Any, asked.vectors),
        sparse_vectors_config=asked.sparse_vectors,
        metadata=asked.metadata,
    )


def _drop(server: StandIn, name: str, _body: Mapping[str, Any]) -> Any:
    return server.engine.delete_collection(name)


def _index(server: StandIn, _name: str, body: Mapping[str, Any]) -> Any:
    server.indexed.add(models.CreateFieldIndex.model_validate(body).field_name)
    return {"operation_id": 1, "status": "completed"}


def _upsert(server: StandIn, name: str, body: Mapping[str, Any]) -> Any:
    asked = models.PointsList.model_validate(body)
    points = asked.points
    kinds: Any = server.engine.get_collection(name).config.params.vectors
    for point in points:
        vectors: Any = point.vector
        if any(kinds[each].size != len(vectors[each]) for each in kinds if each in vectors):
            # "Vector dimension error"
            raise Refused(400)
    return server.engine.upsert(name, points, update_filter=asked.update_filter)


def _delete(server: StandIn, name: str, body: Mapping[str, Any]) -> Any:
    return server.engine.delete(name, models.PointIdsList.model_validate(body))


def _count(server: StandIn, name: str, body: Mapping[str, Any]) -> Any:
    asked = models.CountRequest.model_validate(body)
    return server.engine.count(name, count_filter=asked.filter, exact=True)


def _facet(server: StandIn, name: str, body: Mapping[str, Any]) -> Any:
    asked = models.FacetRequest.model_validate(body)
    if asked.key not in server.indexed:
        # A real server has facets for indexed fields only.
        raise Refused(400)
    return server.engine.facet(name, asked.key, facet_filter=asked.filter, limit=asked.limit or 10)


def _scroll(server: StandIn, name: str, body: Mapping[str, Any]) -> Any:
    asked = models.ScrollRequest.model_validate(body)
    points, page = server.engine.scroll(
        name,
        scroll_filter=asked.filter,
        limit=asked.limit or 10,
        offset=asked.offset,
        with_payload=cast(Any, asked.with_payload),
        with_vectors=cast(Any, asked.with_vector),
    )
    return {"points": points, "next_page_offset": page}


def _retrieve(server: StandIn, name: str, body: Mapping[str, Any]) -> Any:
    asked = models.PointRequest.model_validate(body)
    return server.engine.retrieve(
        name,
        asked.ids,
        with_payload=cast(Any, asked.with_payload),
        with_vectors=cast(Any, asked.with_vector),
    )


def _query(server: StandIn, name: str, body: Mapping[str, Any]) -> Any:
    asked = models.QueryRequest.model_validate(body)
    return server.engine.query_points(
        name,
        query=cast(
            Any,
            asked.query.nearest if isinstance(asked.query, models.NearestQuery) else asked.query,
        ),
        using=asked.using,
        query_filter=asked.filter,
        limit=asked.limit or 10,
        offset=asked.offset,
        with_payload=cast(Any, asked.with_payload),
    )


def _version(_server: StandIn, _name: str, _body: Mapping[str, Any]) -> Any:
    return None


_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", _version),
    ("GET", "/collections/([^/]+)/exists", _exists),
    ("GET", "/collections/([^/]+)", _info),
    ("PUT", "/collections/([^/]+)", _create),
    ("DELETE", "/collections/([^/]+)", _drop),
    ("PUT", "/collections/([^/]+)/index", _index),
    ("PUT", "/collections/([^/]+)/points", _upsert),
    ("POST", "/collections/([^/]+)/points/delete", _delete),
    ("POST", "/collections/([^/]+)/points/count", _count),
    ("POST", "/collections/([^/]+)/facet", _facet),
    ("POST", "/collections/([^/]+)/points/scroll", _scroll),
    ("POST", "/collections/([^/]+)/points", _retrieve),
    ("POST", "/collections/([^/]+)/points/query", _query),
)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            path = self.path.partition("?")[0]
            try:
                result = server.answer(self.command, path, body, self.headers.get("api-key"))
            except Refused as refused:
                self._say(refused.status, {"status": {"error": "refused"}, "time": 0.0})
                return
            if path == "/":
                self._say(200, {"title": "stand-in", "version": VERSION})
                return
            self._say(200, {"result": _plain(result), "status": "ok", "time": 0.0})

        def _say(self, status: int, answer: Mapping[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Requests


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 is too small for concurrent connections: some would be reset.
    request_queue_size = 128


@contextmanager
def running() -> Iterator[tuple[str, StandIn]]:
    """Run a fake server; yields its URL and the server."""
    server = StandIn()
    http = _Http(("127.0.0.1", 0), _handler(server))
    thread = threading.Thread(
        target=http.serve_forever, args=(0.01,), name="qdrant-stand-in", daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}", server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def real_url() -> str | None:
    """Return the URL of a real server, if configured."""
    return os.environ.get("QDRANT_URL")
