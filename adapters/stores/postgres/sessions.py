"""Protocols for database access: sessions, connections and cursors.

Independent of pools, threads and event loops. The SQL exists once, as ``async def`` over these
protocols; over blocking connections its coroutines never suspend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

Row: TypeAlias = tuple[Any, ...]


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that were returned or changed."""
        ...

    async def fetchone(self) -> Row | None:
        """Return the next row, ``None`` after the last one."""
        ...

    async def fetchall(self) -> list[Row]:
        """Return all remaining rows; none if the statement is not a query."""
        ...


class Reader(Protocol):
    """Runs statements. ``%s`` marks a parameter; unqualified names are looked up in the schema of
    the sessions alone; see ``search_path``.
    """

    async def execute(
        self,
        query: str,
        parameters: Sequence[object] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Cursor:
        """Run one statement.

        Args:
            query: SQL.
            parameters: one for each ``%s``.
            settings: server settings by name, in effect until the transaction ends.
        """
        ...


class Connection(Reader, Protocol):
    """A connection inside a transaction."""

    async def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of parameters; results are discarded."""
        ...

    def afterwards(self, statement: str) -> list[Row]:
        """Schedule one statement without parameters to run right after the commit, in its own
        transaction and without another round trip (see ``Sessions.call``). The returned list is
        filled with its rows when the block has ended.
        """
        ...


class Sessions(Protocol):
    """A source of connections to one database.

    Driver errors inside a block leave it as typed errors (see ``failures``). All settings are local
    to one transaction, so a pool may be shared with a host application.
    """

    @property
    def never_suspends(self) -> bool:
        """Whether the connections block, so that one ``send(None)`` runs a coroutine over them to
        its end.
        """
        ...

    @property
    def schema(self) -> str:
        """The name of the schema, quoted."""
        ...

    def transaction(
        self, *, flushed: bool = True, patient: bool = False
    ) -> AbstractAsyncContextManager[Connection]:
        """Open a writing transaction at READ COMMITTED: committed at the end of the block, rolled
        back by an error.

        Args:
            flushed: whether the commit waits until it is on disk. If not, the next flushed
                transaction of any session makes it durable; a crash before that loses it.
            patient: disable the statement timeout, for migrations and rebuilds.
        """
        ...

    def reader(self) -> AbstractAsyncContextManager[Connection]:
        """Open a read-only transaction whose statements all see one snapshot."""
        ...

    def glance(self) -> AbstractAsyncContextManager[Reader]:
        """For a single reading statement: one round trip, where ``reader`` takes three. Of several
        statements each sees its own snapshot.
        """
        ...

    async def call(self, statement: str) -> list[Row]:
        """Run one statement without parameters in its own writing transaction, in one round trip:
        once the server has received it, it completes even if this process dies. It may run twice
        if a connection breaks, so it must be idempotent.
        """
        ...

    async def alone(self, key: int, *statements: str) -> bool:
        """Run statements outside of any transaction and without a statement timeout, as
        ``CREATE INDEX CONCURRENTLY`` requires. Names must be qualified.

        Args:
            key: advisory lock that is held meanwhile.
            statements: SQL, run in order.

        Returns:
            ``False`` if another session holds the lock; then nothing was run.
        """
        ...
