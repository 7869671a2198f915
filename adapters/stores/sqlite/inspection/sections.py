"""Run one part of a check after the other; damage that one meets does not keep the others from it.

A value that is not UTF-8 makes SQLite refuse the whole row. The part is then run again with texts
that keep such bytes, so that the comparison names the row and the column.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from attrs import frozen

from remembrancer.adapters.damage import DAMAGE, damaged
from remembrancer.adapters.stores.sqlite.failures import is_undecoded, translated
from remembrancer.domain.audit.faults import RESTORE, Fault, FaultKind, Findings
from remembrancer.domain.errors import IntegrityError
from remembrancer.domain.scope import LedgerId


@frozen
class Sections:
    """Runs parts of a check on one connection.

    Args:
        connection: to read from.
        path: of the file, for errors.
        findings: gets a fault for each part that can't be read.
        ledger: whose rows are checked, if they are of one ledger.
    """

    connection: sqlite3.Connection
    path: str
    findings: Findings
    ledger: LedgerId | None = None

    def run(self, table: str, projection: str, part: Callable[[], object]) -> bool:
        """Run one part; returns whether it came to its end.

        Args:
            table: the table that it reads, for the fault.
            projection: that of the table.
            part: reads and compares.

        Raises:
            AdapterUnavailable: the file is locked or can't be read; this is no fault of the data.
        """
        error = self._error(part)
        if is_undecoded(error):
            self.connection.text_factory = _kept
            try:
                error = self._error(part)
            finally:
                self.connection.text_factory = str
        if error is None:
            return True
        if isinstance(error, sqlite3.Error):
            error = translated(error, self.path)
        elif isinstance(error, DAMAGE) and not isinstance(error, IntegrityError):
            error = damaged(f"table {table}", error)
        if not isinstance(error, IntegrityError):
            raise error
        self.findings.fault(
            Fault(
                kind=FaultKind.UNREADABLE,
                projection=projection,
                table=table,
                ledger=self.ledger,
                found=str(error)[:300],
                help=RESTORE,
            )
        )
        return False

    @staticmethod
    def _error(part: Callable[[], object]) -> Exception | None:
        try:
            part()
        except _DAMAGED as error:
            return error
        return None


_DAMAGED: tuple[type[Exception], ...] = (sqlite3.Error, IntegrityError, *DAMAGE)


def _kept(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
