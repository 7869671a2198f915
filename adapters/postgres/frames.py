"""What stands around every statement: the beginnings of transactions, as SQL.

All settings are local to the transaction. Nothing is left on a connection that a pooler, or a host
that shares its pool, will give to somebody else; and it costs no round trip of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen


def quoted(name: str) -> str:
    """A name as SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


@frozen(kw_only=True)
class Frame:
    """Args:
    schema: where names are looked up, quoted.
    statement_timeout: in milliseconds, 0 for none.
    """

    schema: str
    statement_timeout: int

    def writing(self, *, flushed: bool = True, patient: bool = False) -> str:
        """The beginning of a writing transaction; see ``Sessions.transaction``."""
        # Not at a stricter level: what waited for a lock must see what its holder committed.
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        lazy = "" if flushed else "; SET LOCAL synchronous_commit = off"
        return f"{begin}; {self._settings(0 if patient else self.statement_timeout)}{lazy}"

    def reading(self) -> str:
        """The beginning of a transaction in which all reads see one state."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        return f"{begin}; {self._settings(self.statement_timeout)}"

    def around(self, statement: str) -> str:
        """A writing transaction of one statement."""
        return f"{self.writing()}; {statement}; COMMIT"

    def ending(self, afterwards: Sequence[str] = ()) -> str:
        """The end of a transaction, and what is to be done then."""
        return "; ".join(["COMMIT", *map(self.around, afterwards)])

    def _settings(self, timeout: int) -> str:
        # Extensions (vectors, trigrams) stand in public unless somebody moved them.
        path = f"SET LOCAL search_path = {self.schema}, public"
        return f"{path}; SET LOCAL statement_timeout = {timeout}"
