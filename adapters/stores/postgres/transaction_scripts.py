"""SQL scripts that begin and end transactions.

All settings are local to the transaction: no state stays on a connection that a pooler, or a host
that shares its pool, lends to others; and they cost no extra round trip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

from attrs import frozen


def quoted(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def search_path(schema: str) -> str:
    """The search path for a quoted schema. Without ``pg_temp`` in it, PostgreSQL would search
    temporary tables first: a host's own ``fact`` would take our writes. ``public`` is not in it:
    tables of another log may be there. Types and operators of extensions are qualified.
    """
    return f"{schema}, pg_temp"


@frozen(kw_only=True)
class TransactionScripts:
    """Builds the scripts for one database.

    Args:
        schema: the only schema in which names are looked up, quoted.
        statement_timeout: in milliseconds, 0 for no limit.
        answer_timeout: read timeout of client and server in seconds, ``None`` for no limit.
        preset: settings that all connections already have, next to search path and statement
            timeout, so that a single statement needs no script; ``None`` if they have none.
    """

    schema: str
    statement_timeout: int
    answer_timeout: float | None
    preset: Mapping[str, str] | None = None

    @classmethod
    def of(
        cls,
        schema: str,
        statement_timeout: float,
        connect_timeout: float,
        preset: Mapping[str, str] | None = None,
    ) -> Self:
        """Create from the settings ``statement_timeout`` and ``connect_timeout``, in seconds, 0 for
        no limit. The read timeout is their sum: after ``statement_timeout`` the server has
        ``connect_timeout`` seconds left to report the cancelled statement.
        """
        bounded = statement_timeout and connect_timeout
        return cls(
            schema=quoted(schema),
            statement_timeout=math.ceil(statement_timeout * 1000),
            answer_timeout=statement_timeout + connect_timeout if bounded else None,
            preset=preset,
        )

    def writing(self, *, flushed: bool = True, patient: bool = False) -> str:
        """Begin a writing transaction; see ``Sessions.transaction``."""
        # Not a stricter level: after waiting for a lock, a statement must see what its holder
        # committed.
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        lazy = "" if flushed else "; SET LOCAL synchronous_commit = off"
        return f"{begin}; {self._settings(patient=patient)}{lazy}"

    def reading(self) -> str:
        """Begin a transaction whose reads all see one snapshot."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        return f"{begin}; {self._settings()}"

    def glancing(self, settings: Mapping[str, str] | None) -> str | None:
        """The statement to run before a single statement in the same transaction; ``None`` if
        connections already have the settings.
        """
        wanted = dict(settings or {})
        if self.preset is None:
            wanted |= {
                "search_path": self._path,
                "statement_timeout": str(self.statement_timeout),
                "transaction_read_only": "on",
            }
        elif wanted.items() <= self.preset.items():
            return None
        return setting(wanted)

    def around(self, statement: str) -> str:
        """A writing transaction with one statement."""
        return f"{self.writing()}; {statement}; COMMIT"

    def ending(self, afterwards: Sequence[str] = ()) -> str:
        """Commit, then run each statement of ``afterwards`` in its own transaction."""
        return "; ".join(["COMMIT", *map(self.around, afterwards)])

    def _settings(self, *, patient: bool = False) -> str:
        statement = 0 if patient else self.statement_timeout
        # A client that vanished must not keep its locks until TCP detects it, which takes hours.
        idle = 0 if patient else math.ceil((self.answer_timeout or 0) * 1000)
        return (
            f"SET LOCAL search_path = {self._path}; SET LOCAL statement_timeout = {statement}; "
            f"SET LOCAL idle_in_transaction_session_timeout = {idle}"
        )

    @property
    def _path(self) -> str:
        return search_path(self.schema)


def setting(settings: Mapping[str, str]) -> str:
    """The statement that applies settings until the transaction ends."""
    calls = (
        f"set_config({literal(name)}, {literal(value)}, true)" for name, value in settings.items()
    )
    return f"SELECT {', '.join(calls)}"


def literal(value: str) -> str:
    """Quote an SQL string literal."""
    return "'" + value.replace("'", "''") + "'"
