"""``UsageStore`` on PostgreSQL: one row per ledger, purpose and model, written in the append's
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.stores.postgres.nul import NUL_ESCAPED
from remembrancer.adapters.stores.postgres.run_script import run_script
from remembrancer.adapters.stores.postgres.sessions import Connection, Sessions
from remembrancer.adapters.stores.shared import usage_scripts
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import UsageTotal

_TABLE = """
CREATE TABLE IF NOT EXISTS usage (
    ledger_id bigint, purpose text COLLATE "C", model text COLLATE "C",
    calls bigint NOT NULL,
    unpriced bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost double precision,
    latency double precision NOT NULL,
    PRIMARY KEY (ledger_id, purpose, model)
)
"""


class PostgresUsageStore:
    """``UsageStore`` on sessions; the audit log's adapter applies events to it."""

    name = "usage"
    fingerprint = "1"
    tables = ("usage",)

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.never_suspends = sessions.never_suspends

    async def create(self, connection: Connection) -> None:
        """Create the table if it is missing."""
        await connection.execute(_TABLE)

    async def clear(self, connection: Connection) -> None:
        """Delete all rows before a rebuild. Readers see them until the commit."""
        await connection.execute("DELETE FROM usage")

    async def apply_in(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        """Apply events of one ledger in the append's transaction."""
        await run_script(connection, usage_scripts.apply(ledger_id, chain, NUL_ESCAPED))

    async def totals(self, ledger: LedgerId | None) -> Sequence[UsageTotal]:
        """See ``UsageStore.totals``."""
        async with self._sessions.glance() as connection:
            return await run_script(connection, usage_scripts.totals(ledger, NUL_ESCAPED))
