"""A TCP proxy on loopback that can be down, and that can cut a connection at its ``COMMIT``."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

COMMIT = b"\x00\x02\xb0\x12\x00\x00"
"""The message as it is on the wire, in a chunk of its own."""


class Proxy:
    """Listens from the start, and hands on what comes in both directions.

    Args:
        target: host and port of the server.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.cuts: list[str] = []
        self._target = target
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._port = 0
        self.start()

    @property
    def address(self) -> str:
        """Its own host and port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, where it listened before."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, args=(self._listener,))]
        self._threads[0].start()

    def stop(self) -> None:
        """Cut everything, and refuse what comes."""
        _shut(self._listener)
        self._threads[0].join()
        for one in self._sockets:
            _shut(one)
        for thread in self._threads[1:]:
            thread.join()
        self._sockets.clear()

    def cut_at_commit(self, *when: str) -> None:
        """Cut the connections that commit next: ``before`` the server hears of it, or ``after``
        it has, so that only its answer is lost.
        """
        self.cuts = list(when)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            muted = threading.Event()
            for source, sink, role in ((client, server, "client"), (server, client, "server")):
                thread = threading.Thread(target=self._pump, args=(source, sink, role, muted))
                self._threads.append(thread)
                thread.start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, role: str, muted: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if role == "server" and muted.is_set():
                    # The answer to the commit: it was made, and nobody hears of it.
                    break
                if role == "client" and COMMIT in data and self.cuts:
                    if self.cuts.pop(0) == "before":
                        break
                    muted.set()
                sink.sendall(data)
        _shut(source)
        _shut(sink)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
