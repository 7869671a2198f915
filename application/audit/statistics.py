"""Statistics: counts of events and facts, positions of the read models, lag and model usage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from remembrancer.application.projections.lag import Lag, MeasureLag
from remembrancer.domain.events import InferenceRecorded, MessageObserved
from remembrancer.domain.facts.evolve import LedgerState, fold
from remembrancer.domain.facts.fact import FactStatus
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore, Tally
from remembrancer.domain.ports.read_models import ReadModels
from remembrancer.domain.ports.usage_store import UsageStore
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.domain.usage import Usage, UsageTotal

PAGE = 1000
"""Events, or names of ledgers, that are read at a time."""


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


@define
class _Counts:
    """The counts of ledgers as they were, from their events."""

    events: int = 0
    facts: Counter[FactStatus] = field(factory=Counter)
    versions: int = 0
    messages: int = 0
    pending: int = 0
    usage: dict[tuple[str, str], Usage] = field(factory=dict)

    def add(self, page: Sequence[Recorded]) -> None:
        """Count events."""
        self.events += len(page)
        for item in page:
            event = item.event
            if isinstance(event, MessageObserved):
                self.messages += 1
            elif isinstance(event, InferenceRecorded) and event.asked:
                key = (event.purpose, event.model)
                self.usage[key] = self.usage.get(key, Usage()).plus(event)

    def close(self, state: LedgerState) -> None:
        """Count the facts of a ledger, whose events have all been counted."""
        self.facts.update(fact.status for fact in state.current())
        self.versions += sum(map(len, state.facts.values()))
        self.pending += len(state.pending)

    @property
    def tally(self) -> Tally:
        """The counts of facts and messages."""
        return Tally(
            facts=dict(self.facts),
            versions=self.versions,
            messages=self.messages,
            pending=self.pending,
        )

    @property
    def totals(self) -> Sequence[UsageTotal]:
        """The usage, by purpose, then model."""
        return [
            UsageTotal(purpose=purpose, model=model, usage=usage)
            for (purpose, model), usage in sorted(self.usage.items())
        ]


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

    async def __call__(
        self, scope: Scope | None = None, as_of: datetime | None = None
    ) -> Statistics:
        """Collect the statistics of the ledger of ``scope``; ``None``: of the whole log.

        Args:
            scope: the scope.
            as_of: count what was recorded by then; ``None``: everything.
        """
        ledger = scope.ledger if scope else None
        last = await self._log.last_position()
        usage: Sequence[UsageTotal]
        if as_of is None:
            tally, usage = await self._facts.tally(ledger), await self._usage.totals(ledger)
            events = (await self._log.head(ledger)).version if ledger else last
        else:
            counts = await self._counted(ledger, as_of)
            tally, usage, events = counts.tally, counts.totals, counts.events
        return Statistics(
            events=events,
            facts=tally.facts,
            versions=tally.versions,
            messages=tally.messages,
            pending=tally.pending,
            last_position=last,
            positions=await self._read_models.positions(),
            embedder=self._embedder,
            usage=usage,
            lags=await self._measure_lag(),
        )

    async def _counted(self, ledger: LedgerId | None, as_of: datetime) -> _Counts:
        """The read models hold no usage of the past, nor what was pending: the log does."""
        counts = _Counts()
        for name in await self._every_ledger() if ledger is None else [ledger]:
            state, more = LedgerState(), True
            while more:
                page = await self._log.read_ledger(name, state.version, PAGE)
                known = [item for item in page if item.recorded_at <= as_of]
                counts.add(known)
                state = fold(known, state)
                more = len(known) == PAGE
            counts.close(state)
        return counts

    async def _every_ledger(self) -> list[LedgerId]:
        found: list[LedgerId] = []
        while names := await self._log.ledgers(found[-1] if found else None, PAGE):
            found += names
        return found
