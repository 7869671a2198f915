"""Statistics: counts of events and facts, positions of the read models, lag and model usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from remembrancer.application.projections.lag import Lag, MeasureLag
from remembrancer.domain.facts.fact import FactStatus
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.read_models import ReadModels
from remembrancer.domain.ports.usage_store import UsageStore
from remembrancer.domain.scope import Scope
from remembrancer.domain.usage import UsageTotal


@frozen(kw_only=True)
class Statistics:
    """Counts of one ledger or of the whole log.

    ``positions``: checkpoints of the read models in the log's database; ``lags``: lag of the
    external projections; ``usage``: model usage by purpose and model.
    """

    events: int
    facts: Mapping[FactStatus, int]
    versions: int
    messages: int
    pending: int
    last_position: int
    positions: Mapping[str, int]
    embedder: str
    usage: Sequence[UsageTotal]
    lags: tuple[Lag, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        result: dict[str, Any] = to_jsonable(self)
        return result


class CollectStatistics:
    """Collects ``Statistics``.

    Args:
        log: the log.
        facts: the facts read model.
        read_models: the read models, for their positions.
        usage: the usage read model.
        embedder: the name of the embedding model.
        measure_lag: measures the external projections.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        facts: FactStore,
        read_models: ReadModels,
        usage: UsageStore,
        embedder: str,
        measure_lag: MeasureLag,
    ) -> None:
        self._log = log
        self._facts = facts
        self._read_models = read_models
        self._usage = usage
        self._embedder = embedder
        self._measure_lag = measure_lag

    async def __call__(self, scope: Scope | None = None) -> Statistics:
        """Collect the statistics of the ledger of ``scope``; ``None``: of the whole log."""
        ledger = scope.ledger if scope else None
        last = await self._log.last_position()
        tally = await self._facts.tally(ledger)
        return Statistics(
            events=(await self._log.head(ledger)).version if ledger else last,
            facts=tally.facts,
            versions=tally.versions,
            messages=tally.messages,
            pending=tally.pending,
            last_position=last,
            positions=await self._read_models.positions(),
            embedder=self._embedder,
            usage=await self._usage.totals(ledger),
            lags=await self._measure_lag(),
        )
