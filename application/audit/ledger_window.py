"""Fold the events between two versions of a ledger, and no others.

What was before is read from the facts table, for the facts that the events touch: the cost follows
the change, not the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import define, evolve, field

from remembrancer.domain.facts.evolve import FactChange, LedgerState, changes_of, fact_ids_of
from remembrancer.domain.facts.fact import Fact, FactId, Interval
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId

PAGE = 1000


@define
class LedgerWindow:
    """The events of one ledger from the version behind ``since`` to ``until``.

    Args:
        log: the log.
        facts: the facts as of the last append.
        ledger: which ledger.
        since: the last version before the window; an append is in it whole, or not at all.
        until: the last version in the window.

    Attributes:
        state: the facts that were touched so far, with their versions before the window.
    """

    log: AuditLog
    facts: FactStore
    ledger: LedgerId
    since: int
    until: int
    state: LedgerState = field(factory=LedgerState)
    _began: datetime | None = None

    async def page(self) -> list[tuple[Recorded, list[FactChange]]]:
        """The next events with their changes; empty at the end."""
        limit = min(PAGE, self.until - self.since)
        page = await self.log.read_ledger(self.ledger, self.since, limit) if limit > 0 else ()
        if not page:
            return []
        self.since = page[-1].version
        began = self._began = self._began or page[0].recorded_at
        await self._load((name for item in page for name in fact_ids_of(item.event)), began)
        return [(item, self._changes(item)) for item in page]

    def _changes(self, item: Recorded) -> list[FactChange]:
        state = self.state
        changes = changes_of(item.event, item.recorded_at, state.latest, state.at_version)
        state.changed(changes)
        return changes

    async def _load(self, ids: Iterable[FactId], began: datetime) -> None:
        """Load the versions before the window, of facts and of their rivals, which change when a
        fact ends.
        """
        named = list(dict.fromkeys(ids))
        await self._load_each(named, began)
        latest = [fact for fact in map(self.state.latest, named) if fact is not None]
        await self._load_each({rival for fact in latest for rival in fact.rivals}, began)

    async def _load_each(self, ids: Iterable[FactId], began: datetime) -> None:
        for fact_id in ids:
            if fact_id not in self.state.facts:
                versions = await self.facts.versions(fact_id)
                self.state.facts[fact_id] = _as_of(versions, began)


def _as_of(versions: Sequence[Fact], began: datetime) -> tuple[Fact, ...]:
    """The versions before a time, the last one without the end that it got later."""
    known = [fact for fact in versions if fact.updated_at < began]
    return (*known[:-1], *(open_ended(fact) for fact in known[-1:]))


def open_ended(fact: Fact) -> Fact:
    """A version as it was while it was the latest one."""
    return evolve(fact, recorded=Interval(start=fact.recorded.start))
