"""The writing connection of a database: its transactions, and group commit.

A signal handler may raise an exception after any call in the main thread. So locks are held by
``with`` on the lock itself, which nothing can come between; the first call of an exception handler
is the one that undoes, and SQLite, not a variable, says whether a commit happened.
"""

from __future__ import annotations

import gc
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Generic, TypeVar

from attrs import define

from remembrancer.adapters.stores.sqlite.failures import is_read_only, translating
from remembrancer.domain.errors import AdapterUnavailable, RemembrancerError

T = TypeVar("T")

MAX_GROUP = 256
"""Units of work that share one commit, at most: more would hold the lock for long, and past some
dozens the commit is no longer what costs.
"""


@define(eq=False)
class _Attempt:
    """One transaction for a group of jobs."""

    running: bool = True
    committing: bool = False
    ended: bool = False
    error: RemembrancerError | None = None


@define(eq=False)
class _Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    units: int = 1
    left: bool = False
    """Whether its caller has returned. It must not be committed then."""
    attempt: _Attempt | None = None
    result: T | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.attempt is not None and self.attempt.ended

    @property
    def failure(self) -> Exception | None:
        return self.error or (None if self.attempt is None else self.attempt.error)


class Writer:
    """Lends one connection to one thread at a time, and commits for many.

    Args:
        connection: in autocommit mode.
        path: of the database, for errors.
        check: raises if the database can't be written to any more; called before each transaction
            and before each commit.
        reconnect: replaces a connection that can't write by another one.

    Attributes:
        turn: held by the thread that uses the connection.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        check: Callable[[], None],
        reconnect: Callable[[sqlite3.Connection], sqlite3.Connection],
    ) -> None:
        self.connection = connection
        self.turn = threading.RLock()
        self._path = path
        self._check = check
        self._reconnect = reconnect
        self._read_only = False
        self._inside = False
        self._queue: list[_Job[Any]] = []
        self._queueing = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """See ``Database.transaction``."""
        with self.turn, self._translating():
            self._require_outside()
            self._prepare()
            self._inside = True
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield self.connection
                # Once more: a commit into a deleted file must not be acknowledged.
                self._check()
                self.connection.execute("COMMIT")
            except BaseException:
                self.connection.rollback()
                raise
            finally:
                self._inside = False

    def write(self, work: Callable[[sqlite3.Connection], T], units: int) -> T:
        """See ``Database.write``. The first thread to get the turn commits for all that wait, so
        that n threads pay for one commit, not for n.
        """
        job = _Job(work, units)
        try:
            with self._queueing:
                self._queue.append(job)
            with self.turn:
                self._require_outside()
                while not job.done:
                    self._commit_group()
        finally:
            job.left = True
            self._leave(job)
        if job.failure is not None:
            raise job.failure
        return job.result  # type: ignore[return-value]

    def _leave(self, job: _Job[Any]) -> None:
        if job.attempt is not None and job.attempt.running:
            # Its caller was interrupted while another thread commits it: wait for the outcome.
            with self.turn:
                pass
        with self._queueing:
            if job in self._queue:
                self._queue.remove(job)

    def _commit_group(self) -> None:
        with self._queueing:
            # Jobs stay queued until they have an outcome: if this thread is interrupted, the
            # threads that wait for them commit them.
            self._queue = [job for job in self._queue if not (job.done or job.left)]
            group = _group(self._queue)
        attempt = _Attempt()
        for job in group:
            job.attempt = attempt
        try:
            self._attempt(attempt, group)
        except RemembrancerError as error:
            if len(group) == 1:
                raise
            attempt.error = error
            attempt.ended = True
            attempt.running = False

    def _attempt(self, attempt: _Attempt, group: list[_Job[Any]]) -> None:
        with self._translating():
            self._prepare()
            self._inside = True
            collects = False
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                collects = gc.isenabled()
                gc.disable()
                for job in group:
                    if not job.left:
                        self._run(job, alone=len(group) == 1)
                self._check()
                attempt.committing = True
                self.connection.execute("COMMIT")
                attempt.ended = True
            except sqlite3.Error:
                self.connection.rollback()
                raise
            except BaseException:
                # An interrupt after the commit does not undo it.
                attempt.ended = attempt.committing and not self.connection.in_transaction
                self.connection.rollback()
                raise
            finally:
                self._inside = attempt.running = False
                if collects:
                    gc.enable()

    def _run(self, job: _Job[Any], *, alone: bool) -> None:
        # An earlier attempt may have been interrupted.
        job.error = None
        if alone:
            job.result = job.work(self.connection)
            return
        self.connection.execute("SAVEPOINT job")
        try:
            with self._translating():
                job.result = job.work(self.connection)
        except Exception as error:
            if not self.connection.in_transaction:
                # SQLite gave up the works of all (a full disk): none of them may be committed.
                raise
            self.connection.execute("ROLLBACK TO job")
            job.error = error
        self.connection.execute("RELEASE job")

    def _require_outside(self) -> None:
        """Refuse a write inside a transaction of the same thread, such as one of an embedder that
        writes to the memory that it serves.
        """
        if self._inside:
            raise AdapterUnavailable(
                "sqlite", "this thread is inside another transaction; write after it has ended"
            )

    def _prepare(self) -> None:
        self._check()
        # Ends what an interrupt has left open.
        self.connection.rollback()
        if self._read_only:
            self.connection = self._reconnect(self.connection)
            self._read_only = False

    @contextmanager
    def _translating(self) -> Iterator[None]:
        with translating(self._path):
            try:
                yield
            except sqlite3.Error as error:
                # SQLite opens a file for reading alone if it can't be opened for writing, be it for
                # want of a file handle at that moment, and the connection stays like that.
                self._read_only |= is_read_only(error)
                raise


def _group(queue: Sequence[_Job[Any]]) -> list[_Job[Any]]:
    """The first jobs of the queue that share a commit: as many as ``MAX_GROUP`` allows, or one."""
    total = list(accumulate(job.units for job in queue))
    return list(queue[: max(1, bisect_right(total, MAX_GROUP))])
