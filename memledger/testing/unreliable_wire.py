"""A TCP connection that is cut, slow or half closed when a test says so: a proxy on loopback.

It stands between a real client and a real server, in a thread with a loop of its own, and knows
nothing of what is said.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

CHUNK = 65536
"""Bytes passed on at once."""


class UnreliableWire:
    """Listens on ``127.0.0.1:port`` for as long as the block lasts, and passes on both ways.

    Args:
        host: where the server is.
        port: its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._delay = 0.0
        self._silent = False
        self.port = 0
        self.connections = 0

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until ``mend``."""
        self._refusing = True
        self._do(self._reset)

    def drop(self) -> None:
        """Reset every connection once; new ones are welcome."""
        self._do(self._reset)

    def delay(self, seconds: float) -> None:
        """Pass on everything so much later, from now on."""
        self._delay = seconds

    def half_close(self) -> None:
        """Go on passing on what the client says, and swallow every answer, until ``mend``."""
        self._silent = True

    def mend(self) -> None:
        """Be a wire again."""
        self._refusing, self._silent, self._delay = False, False, 0.0

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
            try:
                await asyncio.gather(
                    self._pass_on(reader, there, answers=False),
                    self._pass_on(back, writer, answers=True),
                )
            finally:
                self._open.discard(there)
                there.transport.abort()
        except OSError:
            # The server is away, or either side has been reset: so is the other one.
            pass
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while chunk := await source.read(CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            if answers and self._silent:
                continue
            sink.write(chunk)
            await sink.drain()
        if sink.can_write_eof() and not sink.is_closing():
            sink.write_eof()

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
