"""A TCP proxy on loopback that resets, delays or half-closes connections for a test.

It relays bytes between a real client and a real server, in its own thread and event loop.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Literal, Self, TypeAlias

from attrs import define

When: TypeAlias = Literal["before", "after"]

CHUNK = 65536
"""Bytes per read."""


@define(eq=False)
class _Link:
    """The faults of one connection."""

    silent: bool = False
    dead_at_answer: bool = False


class UnreliableWire:
    """Listens on ``127.0.0.1:port`` while the ``with`` block runs, and relays both ways.

    Args:
        host: the host of the server.
        port: the port of the server.

    Attributes:
        port: the port for clients.
        connections: the number of connections so far.
        cuts: the resets of ``cut_at`` that have not happened yet.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: set[_Link] = set()
        self._refusing = False
        self._delay = 0.0
        self._swallowing = False
        self.port = 0
        self.connections = 0
        self.cuts: list[tuple[bytes, When]] = []

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until ``mend``."""
        self._refusing = True
        self._do(self._reset)

    def drop(self) -> None:
        """Reset every connection once; new ones are accepted."""
        self._do(self._reset)

    def cut_at(self, said: bytes, *when: When) -> None:
        """Reset the next connections whose client sends ``said``.

        Args:
            said: bytes that the client sends in one piece.
            when: one for each connection to reset: ``before`` the server receives the bytes, or
                ``after`` it has answered, so that only the answer is lost.
        """
        self.cuts = [(said, one) for one in when]

    def delay(self, seconds: float) -> None:
        """Delay all data by so many seconds from now on."""
        self._delay = seconds

    def half_close(self) -> None:
        """Relay requests and drop every answer, until ``mend``."""
        self._swallowing = True

    def silence(self) -> None:
        """Relay nothing more on the open connections, not even their end, like a firewall that has
        dropped them. New connections work.
        """
        for link in list(self._links):
            link.silent = True

    def mend(self) -> None:
        """Relay normally again."""
        self._refusing, self._swallowing, self._delay = False, False, 0.0
        self.cuts = []

    def _do(self, action: object) -> None:
        async def run() -> None:
            assert callable(action)
            action()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _reset(self) -> None:
        for writer in list(self._open):
            # Abort at once and lose the data in flight, like a pulled cable.
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if self._refusing:
                return
            back, there = await asyncio.open_connection(*self._target)
            self._open.add(there)
            link = _Link()
            self._links.add(link)
            try:
                await asyncio.gather(
                    self._pass_on(reader, there, link, answers=False),
                    self._pass_on(back, writer, link, answers=True),
                )
            finally:
                self._links.discard(link)
                self._open.discard(there)
                there.transport.abort()
        except OSError:
            # The server is down, or one side was reset: the other side is aborted too.
            pass
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass_on(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        link: _Link,
        *,
        answers: bool,
    ) -> None:
        while chunk := await source.read(CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            if link.silent or (answers and self._swallowing):
                continue
            if answers and link.dead_at_answer:
                raise ConnectionAbortedError
            if not answers:
                self._heard(chunk, link)
            sink.write(chunk)
            await sink.drain()
        if link.silent:
            return
        if sink.can_write_eof() and not sink.is_closing():
            sink.write_eof()

    def _heard(self, chunk: bytes, link: _Link) -> None:
        if not self.cuts or self.cuts[0][0] not in chunk:
            return
        _, when = self.cuts.pop(0)
        if when == "before":
            raise ConnectionAbortedError
        link.dead_at_answer = True

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop
        ).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        async def close() -> None:
            self._server.close()
            self._reset()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
