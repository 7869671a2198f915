"""Model usage on SQLite: one row per ledger, purpose and model.

The rows are updated in the append's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from remembrancer.adapters.stores.shared import usage_scripts
from remembrancer.adapters.stores.shared.escaping import NO_ESCAPING
from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.adapters.stores.sqlite.ledger_parts import by_ledger
from remembrancer.adapters.stores.sqlite.run_script import run_script
from remembrancer.adapters.stores.sqlite.schema_sql import create
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import UsageTotal

if TYPE_CHECKING:
    import sqlite_utils

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


def _define(schema: sqlite_utils.Database) -> None:
    schema.table("usage").create(
        _COLUMNS,
        pk=("ledger_id", "purpose", "model"),
        not_null=set(_COLUMNS) - {"cost"},
        if_not_exists=True,
    )


class SqliteUsageStore:
    """``UsageStore`` on a ``Database``; ``SqliteReadModels`` applies events to it."""

    name = "usage"
    fingerprint = "1"

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the table if it is missing."""
        create(connection, _define)

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
        calls = [item for item in chain if isinstance(item.event, InferenceRecorded)]
        return sum(
            run_script(connection, usage_scripts.apply(ledger_id, part, NO_ESCAPING))
            for ledger_id, part in by_ledger(connection, calls)
        )

    def totals(self, ledger: LedgerId | None) -> Sequence[UsageTotal]:
        """See ``UsageStore.totals``."""
        with self._database.reader() as connection:
            return run_script(connection, usage_scripts.totals(ledger, NO_ESCAPING))
