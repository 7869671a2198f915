"""A TCP proxy on loopback that can be down, and that can fall silent without closing anything."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Hands on what comes in both directions, once it is up.

    Args:
        target: host and port of the server.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket, threading.Event]] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        # Bound, so that nobody else is given the port, but not listening.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]

    def up(self) -> None:
        """Listen."""
        self._reserved.close()
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def down(self) -> None:
        """Close everything, and refuse what comes."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for client, server, _ in pairs:
            for each in (client, server):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        for client, server, _ in pairs:
            client.close()
            server.close()

    def silence(self) -> None:
        """Hand on nothing more over the connections that there are. New ones work."""
        with self._lock:
            for _, _, silent in self._pairs:
                silent.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()
        self._reserved.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            silent = threading.Event()
            with self._lock:
                self._pairs.append((client, server, silent))
            for source, sink in ((client, server), (server, client)):
                thread = threading.Thread(
                    target=self._pump, args=(source, sink, silent), daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not silent.is_set():
                    sink.sendall(data)
        if not silent.is_set():
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)
