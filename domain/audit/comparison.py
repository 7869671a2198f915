"""Compare stored rows with the rows that the log leads to, column by column, in both directions."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from remembrancer.domain.audit.faults import (
    LONGEST,
    REBUILD,
    Fault,
    FaultKind,
    Findings,
    shown,
    shown_apart,
)
from remembrancer.domain.scope import LedgerId


@frozen(kw_only=True)
class Table:
    """A table of a read model.

    ``columns`` are those that are compared, in the order of the rows. ``help`` says what to do
    about a row that differs.
    """

    name: str
    projection: str
    columns: Sequence[str] = ()
    help: str = REBUILD


@frozen
class Comparison:
    """Compares the rows of one ledger, or of none.

    Args:
        findings: gets a fault for each row that differs, is missing or is surplus.
        ledger: whose rows they are.
    """

    findings: Findings
    ledger: LedgerId | None = None

    def row(self, table: Table, key: object, expected: Sequence[Any], found: Sequence[Any]) -> None:
        """Compare one row; the first column that differs is named."""
        # Tuples compare in C; only of rows that differ are the columns looked at.
        if expected == found:
            return
        for column, want, have in zip(table.columns, expected, found, strict=True):
            if want != have:
                self.value(table, key, column, want, have)
                return

    def value(
        self, table: Table, key: object, column: str, expected: object, found: object
    ) -> None:
        """Report one value that differs."""
        want, have = shown_apart(expected, found)
        self._fault(FaultKind.ROW_DIFFERS, table, key, column, want, have)

    def missing(self, table: Table, key: object) -> None:
        """Report a row that should be there."""
        self._fault(FaultKind.ROW_MISSING, table, key, None, "a row", "none")

    def surplus(self, table: Table, key: object) -> None:
        """Report a row that should not be there."""
        self._fault(FaultKind.ROW_SURPLUS, table, key, None, "no row", "a row")

    def keyed(
        self,
        table: Table,
        expected: Mapping[Any, Sequence[Any]],
        stored: Iterable[tuple[Hashable, Sequence[Any]]],
    ) -> None:
        """Compare rows by their keys.

        Args:
            table: the table.
            expected: the rows by key.
            stored: pairs of key and row; the second row of a key is surplus.
        """
        seen: set[Hashable] = set()
        for key, found in stored:
            wanted = expected.get(key)
            if wanted is None or key in seen:
                self.surplus(table, key)
            else:
                self.row(table, key, wanted, found)
            seen.add(key)
        for key in expected:
            if key not in seen:
                self.missing(table, key)

    def listed(
        self, table: Table, expected: Collection[Hashable], stored: Collection[Hashable]
    ) -> None:
        """Compare rows that are keys as a whole."""
        wanted, found = set(expected), set(stored)
        for key in sorted(wanted - found, key=repr):
            self.missing(table, key)
        for key in sorted(found - wanted, key=repr):
            self.surplus(table, key)

    def _fault(
        self,
        kind: FaultKind,
        table: Table,
        key: object,
        column: str | None,
        expected: str,
        found: str,
    ) -> None:
        self.findings.fault(
            Fault(
                kind=kind,
                projection=table.projection,
                table=table.name,
                key=key_shown(key),
                column=column,
                ledger=self.ledger,
                expected=expected,
                found=found,
                help=table.help,
            )
        )


def key_shown(key: object) -> str:
    """The key of a row, its parts separated by spaces."""
    parts = key if isinstance(key, tuple) else (key,)
    text = " ".join(
        part[:LONGEST] if isinstance(part, str) and part.isprintable() else shown(part)
        for part in parts
    )
    return text[:LONGEST]
