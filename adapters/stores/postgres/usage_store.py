"""``UsageStore`` on PostgreSQL: one row per ledger, purpose and model, written in the append's
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.stores.postgres.nul import restored, storable
from remembrancer.adapters.stores.postgres.sessions import Connection, Sessions
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import Usage, UsageTotal

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

_ADD = """
INSERT INTO usage AS held VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s)
ON CONFLICT (ledger_id, purpose, model) DO UPDATE SET
    calls = held.calls + 1, unpriced = held.unpriced + excluded.unpriced,
    input_tokens = held.input_tokens + excluded.input_tokens,
    output_tokens = held.output_tokens + excluded.output_tokens,
    cost = CASE WHEN excluded.cost IS NULL THEN held.cost
           ELSE coalesce(held.cost, 0) + excluded.cost END,
    latency = held.latency + excluded.latency
"""

# sum() ignores nulls, and is null if there is nothing else.
_TOTALS = """
SELECT purpose, model, sum(calls)::bigint, sum(unpriced)::bigint, sum(input_tokens)::bigint,
       sum(output_tokens)::bigint, sum(cost), sum(latency)
FROM usage WHERE {where} GROUP BY purpose, model ORDER BY purpose, model
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
        calls = [
            (
                ledger_id,
                storable(event.purpose),
                storable(event.model),
                int(event.cost is None),
                event.input_tokens,
                event.output_tokens,
                event.cost,
                event.latency,
            )
            for item in chain
            if isinstance(event := item.event, InferenceRecorded) and event.asked
        ]
        if calls:
            await connection.executemany(_ADD, calls)

    async def totals(self, ledger: LedgerId | None) -> Sequence[UsageTotal]:
        """See ``UsageStore.totals``."""
        where, parameters = "true", []
        if ledger is not None:
            where, parameters = "ledger_id = (SELECT id FROM ledger WHERE name = %s)", [ledger]
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(_TOTALS.format(where=where), parameters)
            rows = await cursor.fetchall()
        return [
            UsageTotal(
                purpose=restored(purpose),
                model=restored(model),
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
