"""psycopg connections with a client-side read timeout.

The server enforces ``statement_timeout``, and TCP detects only a peer that is gone. If the
connection is open but no data arrives (a proxy or pooler that hangs, a half-open connection), libpq
waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

T = TypeVar("T")

LOOK = 0.1
"""Seconds between two checks of the timeout, as psycopg's interval for interrupts."""


class ReadTimeout(psycopg.OperationalError):
    """No data came within the timeout. Whether the statement was executed is unknown."""


def _raise_on_silence(generator: PQGen[T], seconds: float) -> PQGen[T]:
    """Wrap psycopg's generator: raise if no data was sent or received for ``seconds``."""
    try:
        state = next(generator)
        last = monotonic()
        while True:
            ready = yield state
            now = monotonic()
            if ready:
                last = now
            elif now - last >= seconds:
                raise ReadTimeout(f"no answer from the server for {seconds:g} s")
            state = generator.send(ready)
    except StopIteration as finished:
        result: T = finished.value
        return result


class SyncConnection(psycopg.Connection[Any]):
    """Connection that is closed if no data arrives within ``answer_timeout`` seconds; ``None``
    disables the timeout.
    """

    answer_timeout: float | None = None

    def wait(self, gen: PQGen[T], interval: float = LOOK, timeout: float | None = None) -> T:
        """See ``psycopg.Connection.wait``. An explicit ``timeout`` replaces ``answer_timeout``."""
        if timeout is not None or self.answer_timeout is None:
            return super().wait(gen, interval, timeout)
        try:
            bounded = _raise_on_silence(gen, self.answer_timeout)
            return super().wait(bounded, min(interval, self.answer_timeout))
        except ReadTimeout:
            self.pgconn.finish()
            raise


class AsyncConnection(psycopg.AsyncConnection[Any]):
    """See ``SyncConnection``."""

    answer_timeout: float | None = None

    async def wait(self, gen: PQGen[T], interval: float = LOOK, timeout: float | None = None) -> T:
        """See ``psycopg.AsyncConnection.wait``."""
        if timeout is not None or self.answer_timeout is None:
            return await super().wait(gen, interval, timeout)
        try:
            bounded = _raise_on_silence(gen, self.answer_timeout)
            return await super().wait(bounded, min(interval, self.answer_timeout))
        except ReadTimeout:
            self.pgconn.finish()
            raise


@contextmanager
def waiting_for(connection: object, seconds: float | None) -> Iterator[None]:
    """Set the read timeout of a connection within the block, in seconds. Connections of a host's
    pool are of another class and left unchanged.
    """
    if not isinstance(connection, SyncConnection | AsyncConnection):
        yield
        return
    connection.answer_timeout, before = seconds, connection.answer_timeout
    try:
        yield
    finally:
        connection.answer_timeout = before
