"""Events of several ledgers, divided for read models that apply one ledger at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId


def by_ledger(
    connection: sqlite3.Connection, chain: Sequence[Recorded]
) -> Iterator[tuple[int, list[Recorded]]]:
    """The id of each ledger with its events, in order."""
    parts: dict[LedgerId, list[Recorded]] = {}
    for item in chain:
        parts.setdefault(item.ledger, []).append(item)
    for ledger, part in parts.items():
        row = connection.execute("SELECT id FROM ledger WHERE name = ?", (ledger,)).fetchone()
        yield row[0], part
