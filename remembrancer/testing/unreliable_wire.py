"""A TCP connection that is cut, slow or half closed when a test says so: a proxy on loopback.

It stands between a real client and a real server, in a thread with a loop of its own, and knows
nothing of what is said.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Literal, Self, TypeAlias

from attrs import define

When: TypeAlias = Literal["before", "after"]

CHUNK = 65536
"""Bytes passed on at once."""


@define(eq=False)
class _Link:
    """What is to become of one connection."""

    silent: bool = False
    dead_at_answer: bool = False


class UnreliableWire:
    """Listens on ``127.0.0.1:port`` for as long as the block lasts, and passes on both ways.

    Args:
        host: where the server is.
        port: its port.

    Attributes:
        port: where it listens.
        connections: how many there have been.
        cuts: what of ``cut_at`` is still to come.
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
        """Reset every connection once; new ones are welcome."""
        self._do(self._reset)

    def cut_at(self, said: bytes, *when: When) -> None:
        """Reset the next connections whose client says this, one for each of ``when``: ``before``
        the server hears of it, or ``after`` it has answered, so that only the answer is lost.

        Args:
            said: bytes that the client sends at once.
        """
        self.cuts = [(said, one) for one in when]

    def delay(self, seconds: float) -> None:
        """Pass on everything so much later, from now on."""
        self._delay = seconds

    def half_close(self) -> None:
        """Go on passing on what the client says, and swallow every answer, until ``mend``."""
        self._swallowing = True

    def silence(self) -> None:
        """Pass on nothing more over the connections that there are, not even their end, as when a
        firewall has forgotten them; new ones work.
        """
        for link in list(self._links):
            link.silent = True

    def mend(self) -> None:
        """Be a wire again."""
        self._refusing, self._swallowing, self._delay = False, False, 0.0
        self.cuts = []

    def _do(self, action: object) -> None:
        async def run() -> None:
            assert callable(action)
            action()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _reset(self) -> None:
        for writer in list(self._open):
            # At once and with what is still under way lost, as when a cable is pulled.
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
            # The server is away, or either side has been reset or cut off: so is the other one.
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
