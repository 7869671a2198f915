"""What stands around every statement: the beginnings of transactions, as SQL.

All settings are local to the transaction. Nothing is left on a connection that a pooler, or a host
that shares its pool, will give to somebody else; and it costs no round trip of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

from attrs import frozen


def quoted(name: str) -> str:
    """A name as SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


@frozen(kw_only=True)
class TransactionScripts:
    """Args:
    schema: where names are looked up, quoted.
    statement_timeout: in milliseconds, 0 for none.
    answer_timeout: seconds that either side waits for the other to say something, ``None`` for no
        bound.
    preset: what all sessions are set to, besides the two above, so that a single statement need
        not be told; ``None`` if sessions are set to nothing.
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
        """What the settings of that name, in seconds, 0 for no bound, come to. A statement that
        the server gives up has that said within ``connect_timeout``, or the server is not there.
        """
        bounded = statement_timeout and connect_timeout
        return cls(
            schema=quoted(schema),
            statement_timeout=math.ceil(statement_timeout * 1000),
            answer_timeout=statement_timeout + connect_timeout if bounded else None,
            preset=preset,
        )

    def writing(self, *, flushed: bool = True, patient: bool = False) -> str:
        """The beginning of a writing transaction; see ``Sessions.transaction``."""
        # Not at a stricter level: what waited for a lock must see what its holder committed.
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        lazy = "" if flushed else "; SET LOCAL synchronous_commit = off"
        return f"{begin}; {self._settings(patient=patient)}{lazy}"

    def reading(self) -> str:
        """The beginning of a transaction in which all reads see one state."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        return f"{begin}; {self._settings()}"

    def glancing(self, settings: Mapping[str, str] | None) -> str | None:
        """What has to be run right before a single statement, in the same transaction; ``None``
        if sessions are set to all that already.
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
        """A writing transaction of one statement."""
        return f"{self.writing()}; {statement}; COMMIT"

    def ending(self, afterwards: Sequence[str] = ()) -> str:
        """The end of a transaction, and what is to be done then."""
        return "; ".join(["COMMIT", *map(self.around, afterwards)])

    def _settings(self, *, patient: bool = False) -> str:
        statement = 0 if patient else self.statement_timeout
        # A client that is lost without a word must not keep its locks until TCP notices: hours.
        idle = 0 if patient else math.ceil((self.answer_timeout or 0) * 1000)
        return (
            f"SET LOCAL search_path = {self._path}; SET LOCAL statement_timeout = {statement}; "
            f"SET LOCAL idle_in_transaction_session_timeout = {idle}"
        )

    @property
    def _path(self) -> str:
        # Extensions (vectors, trigrams) stand in public unless somebody moved them.
        return f"{self.schema}, public"


def setting(settings: Mapping[str, str]) -> str:
    """The statement that sets something until the transaction ends."""
    calls = (
        f"set_config({literal(name)}, {literal(value)}, true)" for name, value in settings.items()
    )
    return f"SELECT {', '.join(calls)}"


def literal(value: str) -> str:
    """A text as SQL, whatever is in it."""
    return "'" + value.replace("'", "''") + "'"
