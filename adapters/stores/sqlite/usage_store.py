"""Model usage on SQLite: one row per ledger, purpose and model.

The rows are updated in the append's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import Usage, UsageTotal

_COLUMNS = {
    "ledger_id": int,
    "purpose": str,
    "model": str,
    "calls": int,
    "unpriced": int,
    "input_tokens": int,
    "output_tokens": int,
    "cost": float,
    "latency": float,
}

_ADD = """
INSERT INTO usage VALUES ((SELECT id FROM ledger WHERE name = ?), ?, ?, 1, ?, ?, ?, ?, ?)
ON CONFLICT (ledger_id, purpose, model) DO UPDATE SET
    calls = calls + 1, unpriced = unpriced + excluded.unpriced,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cost = CASE WHEN excluded.cost IS NULL THEN cost ELSE ifnull(cost, 0) + excluded.cost END,
    latency = latency + excluded.latency
"""

# sum() ignores nulls, and is null if all values are.
_TOTALS = """
SELECT purpose, model, sum(calls), sum(unpriced), sum(input_tokens), sum(output_tokens), sum(cost),
       sum(latency)
FROM usage {where} GROUP BY purpose, model ORDER BY purpose, model
"""
_OF_ONE = "WHERE ledger_id = (SELECT id FROM ledger WHERE name = ?)"


class SqliteUsageStore:
    """``UsageStore`` on a ``Database``; ``SqliteReadModels`` applies events to it."""

    name = "usage"
    fingerprint = "1"

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the table if it is missing."""
        import sqlite_utils

        sqlite_utils.Database(connection).table("usage").create(
            _COLUMNS,
            pk=("ledger_id", "purpose", "model"),
            not_null=set(_COLUMNS) - {"cost"},
            if_not_exists=True,
        )

    def clear(self, connection: sqlite3.Connection) -> None:
        """Delete all rows, before a rebuild."""
        connection.execute("DELETE FROM usage")

    def count_in(self, connection: sqlite3.Connection) -> int:
        """The number of model calls of all ledgers."""
        count: float = connection.execute("SELECT total(calls) FROM usage").fetchone()[0]
        return int(count)

    def apply_in(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> int:
        """Apply events inside the append's transaction.

        Returns:
            The number of model calls among them.
        """
        calls = [
            (
                item.ledger,
                event.purpose,
                event.model,
                int(event.cost is None),
                event.input_tokens,
                event.output_tokens,
                event.cost,
                event.latency,
            )
            for item in chain
            if isinstance(event := item.event, InferenceRecorded) and event.asked
        ]
        connection.executemany(_ADD, calls)
        return len(calls)

    def totals(self, ledger: LedgerId | None) -> Sequence[UsageTotal]:
        """See ``UsageStore.totals``."""
        with self._database.reader() as connection:
            rows = (
                connection.execute(_TOTALS.format(where=""))
                if ledger is None
                else connection.execute(_TOTALS.format(where=_OF_ONE), (ledger,))
            ).fetchall()
        return [
            UsageTotal(
                purpose=purpose,
                model=model,
                usage=Usage(
                    calls=calls,
                    unpriced=unpriced,
                    input_tokens=read,
                    output_tokens=written,
                    cost=cost,
                    latency=latency,
                ),
            )
            for purpose, model, calls, unpriced, read, written, cost, latency in rows
        ]
