"""What an adapter needs of a PostgreSQL database that it shares with others: two kinds of session.

It says nothing of pools, threads or loops. There is one copy of the SQL, written ``async def`` over
these protocols; over blocking connections its coroutines never suspend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

Row: TypeAlias = tuple[Any, ...]


class Cursor(Protocol):
    """The outcome of a statement."""

    @property
    def rowcount(self) -> int:
        """The rows that were returned or changed."""
        ...

    async def fetchone(self) -> Row | None:
        """The next row."""
        ...

    async def fetchall(self) -> list[Row]:
        """All rows that are left."""
        ...


class Reader(Protocol):
    """What runs statements. ``%s`` marks a parameter; unqualified names are looked up in the
    schema of the sessions, then in those of the server's extensions.
    """

    async def execute(
        self,
        query: str,
        parameters: Sequence[object] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Cursor:
        """Run one statement.

        Args:
            query: what to run.
            parameters: one for each ``%s``.
            settings: what the server is to be set to meanwhile, or until the transaction ends.
        """
        ...


class Connection(Reader, Protocol):
    """A connection inside a transaction."""

    async def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of parameters; what they return is dropped."""
        ...

    def afterwards(self, statement: str) -> list[Row]:
        """Have one statement without parameters run right after the commit, in a transaction of
        its own and without another round trip (see ``Sessions.call``). Its rows are in the list
        that is returned once the block has ended.
        """
        ...


class Sessions(Protocol):
    """A database that hands out connections.

    Whatever the driver raises inside a block leaves it as a typed error (see ``failures``), and
    every setting holds for the one transaction only, so that pools may be shared with others.
    """

    @property
    def never_suspends(self) -> bool:
        """Whether the connections block, so that a coroutine over them can be run by one
        ``send(None)``.
        """
        ...

    @property
    def schema(self) -> str:
        """The name of the schema, quoted."""
        ...

    def transaction(
        self, *, flushed: bool = True, patient: bool = False
    ) -> AbstractAsyncContextManager[Connection]:
        """A writing transaction at READ COMMITTED: committed at the end of the block, rolled back
        by an error.

        Args:
            flushed: whether it is on disk when the block has ended. Otherwise it is with the next
                flushed transaction of anybody, or after a crash not at all.
            patient: without the bound on how long a statement may take, for migrations and
                rebuilds.
        """
        ...

    def reader(self) -> AbstractAsyncContextManager[Connection]:
        """A read-only transaction; all of its statements see one state of the database."""
        ...

    def glance(self) -> AbstractAsyncContextManager[Reader]:
        """For a single statement that only reads: it costs one round trip where ``reader`` takes
        three. Of several statements each sees a state of its own.
        """
        ...

    async def call(self, statement: str) -> list[Row]:
        """Run one statement without parameters in a writing transaction of its own, in one round
        trip: once the server has it, it ends whatever becomes of this process. It may be run twice
        where a connection breaks, so that the second time must change nothing.
        """
        ...

    async def alone(self, key: int, *statements: str) -> bool:
        """Run statements outside of any transaction, without a bound on how long they may take, for
        those that PostgreSQL runs no other way. Names must be qualified.

        Args:
            key: of an advisory lock, which nobody else may have meanwhile.
            statements: what to run, in order.

        Returns:
            Whether they were run; not, if somebody else has the lock.
        """
        ...
