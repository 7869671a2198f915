"""An end to waiting for an answer that does not come.

``statement_timeout`` is kept by the server, and TCP notices only a peer whose TCP is gone. Where
the server answers and nothing arrives (a proxy or a pooler that hangs, half a connection) libpq
waits for ever. These connections don't; they are psycopg's own in everything else.
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
"""Seconds between two looks at the time, as psycopg's own for interrupts."""


class ReadTimeout(psycopg.OperationalError):
    """Nothing came for too long. Whether the statement was carried out is not known."""


def _impatient(generator: PQGen[T], seconds: float) -> PQGen[T]:
    """What psycopg waits for, until nothing has come or gone for so many seconds."""
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
    """Waits for an answer no longer than ``answer_timeout`` seconds, ``None`` for no bound, and is
    closed where none came.
    """

    answer_timeout: float | None = None

    def wait(self, gen: PQGen[T], interval: float = LOOK, timeout: float | None = None) -> T:
        """See ``psycopg.Connection.wait``. Who gives a timeout of their own gets that one."""
        if timeout is not None or self.answer_timeout is None:
            return super().wait(gen, interval, timeout)
        try:
            bounded = _impatient(gen, self.answer_timeout)
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
            bounded = _impatient(gen, self.answer_timeout)
            return await super().wait(bounded, min(interval, self.answer_timeout))
        except ReadTimeout:
            self.pgconn.finish()
            raise


@contextmanager
def waiting_for(connection: object, seconds: float | None) -> Iterator[None]:
    """Have a connection wait for each answer so long within the block. That of a host's own pool
    waits as its host made it to.
    """
    if not isinstance(connection, SyncConnection | AsyncConnection):
        yield
        return
    connection.answer_timeout, before = seconds, connection.answer_timeout
    try:
        yield
    finally:
        connection.answer_timeout = before
