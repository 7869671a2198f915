"""Model usage in SQL: one row per ledger, purpose and model."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.stores.shared.escaping import Escaping
from remembrancer.adapters.stores.shared.scripts import Batch, Script, Statement
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import Usage, UsageTotal

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

# sum() ignores nulls, and is null if all values are. PostgreSQL returns sums as numeric.
_TOTALS = """
SELECT purpose, model, CAST(sum(calls) AS bigint), CAST(sum(unpriced) AS bigint),
       CAST(sum(input_tokens) AS bigint), CAST(sum(output_tokens) AS bigint), sum(cost),
       sum(latency)
FROM usage WHERE {where} GROUP BY purpose, model ORDER BY purpose, model
"""


def apply(ledger_id: int, chain: Sequence[Recorded], texts: Escaping) -> Script[int]:
    """Apply events of one ledger in the append's transaction.

    Returns:
        The number of model calls among them.
    """
    calls = [
        (
            ledger_id,
            texts.stored(event.purpose),
            texts.stored(event.model),
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
        yield Batch(_ADD, calls)
    return len(calls)


COLUMNS = (
    *("ledger_id", "purpose", "model", "calls", "unpriced", "input_tokens", "output_tokens"),
    *("cost", "latency"),
)


def row_of(
    ledger_id: int, purpose: str, model: str, usage: Usage, texts: Escaping
) -> tuple[object, ...]:
    """The row of ``usage``: its ``COLUMNS``."""
    return (
        ledger_id,
        texts.stored(purpose),
        texts.stored(model),
        usage.calls,
        usage.unpriced,
        usage.input_tokens,
        usage.output_tokens,
        usage.cost,
        usage.latency,
    )


def totals(ledger: LedgerId | None, texts: Escaping) -> Script[list[UsageTotal]]:
    """The usage of one ledger or of all, by purpose and model."""
    if ledger is None:
        found = yield Statement(_TOTALS.format(where="true"))
    else:
        of_one = "ledger_id = (SELECT id FROM ledger WHERE name = %s)"
        found = yield Statement(_TOTALS.format(where=of_one), (ledger,))
    return [
        UsageTotal(
            purpose=texts.restored(purpose),
            model=texts.restored(model),
            usage=Usage(
                calls=calls,
                unpriced=unpriced,
                input_tokens=read,
                output_tokens=written,
                cost=cost,
                latency=latency,
            ),
        )
        for purpose, model, calls, unpriced, read, written, cost, latency in found.rows
    ]
