"""A stand-in for a Weaviate server on loopback, for the real client.

It implements the REST and gRPC calls that the index uses, with the protobuf messages of the client,
and copies the observed behaviour of Weaviate 1.39.0. It keeps everything in memory, searches
exactly and has one replica. The same tests pass on a real server.

::

    with WeaviateServer() as server:
        settings = WeaviateSettings(port=server.port, grpc_port=server.grpc_port)
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from types import TracebackType
from typing import Any

from weaviate.proto.v1 import weaviate_pb2_grpc

from remembrancer.testing.weaviate.service import Service
from remembrancer.testing.weaviate.stored import Refusal, Store

# grpc has no types.
grpc: Any = import_module("grpc")

VERSION = "1.39.0"
"""The version whose behaviour was copied."""

LARGEST_MESSAGE = 104_858_000
"""Bytes of a gRPC request or answer; the server reports this limit to clients."""

_WORKERS = 8


class WeaviateServer:
    """A server that runs until the ``with`` block ends; entering it again keeps the data.

    Args:
        port: the REST port; 0 chooses a free port and keeps it.
        grpc_port: the gRPC port; 0 chooses a free port and keeps it.
        api_key: the key that clients must send; empty for no authentication.
        version: the reported version.
        largest_message: bytes of a gRPC request or answer.

    Attributes:
        asked: the number of calls by name: ``Search``, ``BatchObjects`` and so on.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        grpc_port: int = 0,
        api_key: str = "",
        version: str = VERSION,
        largest_message: int = LARGEST_MESSAGE,
    ) -> None:
        self.port = port
        self.grpc_port = grpc_port
        self.asked: Counter[str] = Counter()
        self.version = version
        self.largest_message = largest_message
        self.api_key = api_key
        self.store = Store()
        self.lock = threading.Lock()
        self._service = Service(self.store, self.lock, lambda: self.api_key, self._counted)

    def require(self, api_key: str) -> None:
        """Require another API key from now on."""
        self.api_key = api_key

    def _counted(self, name: str) -> None:
        self.asked[name] += 1

    def __enter__(self) -> WeaviateServer:
        self._http = _Http(self)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="remembrancer-weaviate")
        self._grpc = grpc.server(
            self._workers,
            options=[
                ("grpc.max_receive_message_length", self.largest_message),
                ("grpc.max_send_message_length", self.largest_message),
                # Otherwise a second server could take the port of the first.
                ("grpc.so_reuseport", 0),
            ],
        )
        add: Any = weaviate_pb2_grpc.add_WeaviateServicer_to_server
        add(self._service, self._grpc)
        self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
        self._grpc.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._grpc.stop(grace=None).wait()
        self._workers.shutdown()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, server: WeaviateServer) -> None:
        self.owner = server
        super().__init__(("127.0.0.1", server.port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """The REST calls that the client uses: metadata and schema."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    # Otherwise the body waits for the acknowledgement of the headers.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""

    @property
    def _owner(self) -> WeaviateServer:
        assert isinstance(self.server, _Http)
        return self.server.owner

    def _serve(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        owner = self._owner
        path = self.path.partition("?")[0].removeprefix("/v1/").strip("/").split("/")
        try:
            self._authorised(path)
            with owner.lock:
                answer = _answer(owner, method, path, body)
        except Refusal as refusal:
            self._say(refusal.status, {"error": [{"message": str(refusal)}]})
        else:
            self._say(200, answer)

    def _authorised(self, path: list[str]) -> None:
        owner = self._owner
        given = self.headers.get("Authorization") or ""
        if owner.api_key and path[0] != ".well-known" and given != f"Bearer {owner.api_key}":
            problem = "invalid api key" if given else "anonymous access not enabled"
            raise Refusal(f"unauthorized: {problem}", 401)

    def _say(self, status: int, answer: Any) -> None:
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _answer(owner: WeaviateServer, method: str, path: list[str], body: Any) -> Any:
    match method, path:
        case "GET", ["meta"]:
            return {
                "version": owner.version,
                "hostname": f"http://127.0.0.1:{owner.port}",
                "grpcMaxMessageSize": owner.largest_message,
                "modules": {},
            }
        case "GET", [".well-known", "ready" | "live"]:
            return None
        case "GET", ["schema", name]:
            return owner.store.get(name).config
        case "POST", ["schema"]:
            return owner.store.create(body).config
        case "DELETE", ["schema", name]:
            owner.store.delete(name)
            return None
        case "POST", ["schema", name, "tenants"]:
            owner.store.get(name).add_tenants([each["name"] for each in body])
            return body
        case _:
            raise Refusal(f"path {'/'.join(path)} was not found", 404)
