"""Compare what a ledger believed at two moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from remembrancer.application.audit.ledger_appends import LedgerAppends
from remembrancer.application.audit.ledger_window import LedgerWindow, open_ended
from remembrancer.application.recall.as_of import ResolveAsOf
from remembrancer.application.recall.results import Results
from remembrancer.domain.audit.differences import Cause, ChangeKind, FactDifference
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import Fact, FactId, FactKind
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId, Scope


@frozen(kw_only=True)
class Moment:
    """A version of a ledger: the last event by a time. Version 0 is before the first event."""

    version: int
    at: datetime

    def __str__(self) -> str:
        return f"@{self.version} ({self.at.isoformat()})"


@frozen(kw_only=True)
class Difference(Results[FactDifference]):
    """The facts that differ between two moments, in the order of their last change.

    It is iterated, counted and indexed like the tuple of its changes; without any it is false.
    """

    before: Moment
    after: Moment
    changes: tuple[FactDifference, ...] = field(factory=tuple)

    @property
    def _items(self) -> tuple[FactDifference, ...]:
        return self.changes

    @property
    def totals(self) -> Mapping[ChangeKind, int]:
        """The number of changes of each kind."""
        counts = Counter(each.change for each in self.changes)
        return {kind: counts[kind] for kind in ChangeKind if counts[kind]}

    @property
    def inverted(self) -> Difference:
        """The way back, from ``after`` to ``before``."""
        changes = tuple(each.inverted for each in reversed(self.changes))
        return Difference(before=self.after, after=self.before, changes=changes)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "from": to_jsonable(self.before),
            "to": to_jsonable(self.after),
            "changes": [each.to_dict() for each in self.changes],
            "totals": to_jsonable(self.totals),
        }


class CompareMoments:
    """Compares two moments of a ledger.

    Args:
        log: the log.
        facts: the facts as of the last append.
        resolve_as_of: resolves the moments.
    """

    def __init__(self, *, log: AuditLog, facts: FactStore, resolve_as_of: ResolveAsOf) -> None:
        self._log = log
        self._facts = facts
        self._resolve_as_of = resolve_as_of

    async def __call__(
        self, scope: Scope, before: object, after: object = None, *, kind: FactKind | None = None
    ) -> Difference:
        """The facts of ``scope`` that differ.

        Args:
            scope: whose facts.
            before: the earlier moment, as ``as_of`` is given.
            after: the later moment; ``None`` for now.
            kind: facts of this kind alone.

        Raises:
            InvalidRequest: a moment is refused, or ``after`` is earlier than ``before``.
        """
        early = await self.moment(before, scope.ledger, "before")
        late = await self.moment(after, scope.ledger, "after")
        if late.version < early.version:
            raise InvalidRequest(
                "after", f"{late} is earlier than before, {early}; swap them, or use .inverted"
            )
        changes = [
            change
            for change in await self._changes(scope.ledger, early.version, late.version)
            if scope.covers(change.fact.scope) and kind in (None, change.fact.kind)
        ]
        return Difference(before=early, after=late, changes=tuple(changes))

    async def moment(self, value: object, ledger: LedgerId, path: str) -> Moment:
        """A moment of a ledger, given as ``as_of`` is; ``None`` is the present.

        Raises:
            InvalidRequest: it is refused.
        """
        when = await self._resolve_as_of(value, ledger, path)
        if when.as_of is None:
            head = await self._log.head(ledger)
            return Moment(version=head.version, at=head.latest(when.now))
        version = await LedgerAppends(self._log, ledger).version_at(when.as_of)
        return Moment(version=version, at=when.as_of)

    async def _changes(self, ledger: LedgerId, since: int, until: int) -> list[FactDifference]:
        window = LedgerWindow(self._log, self._facts, ledger, since, until)
        first: dict[FactId, Fact | None] = {}
        last: dict[FactId, tuple[Fact, Recorded]] = {}
        while page := await window.page():
            for item, changes in page:
                for change in changes:
                    before, after = change.before, change.after
                    first.setdefault(after.fact_id, before and open_ended(before))
                    # Taken out and put in again: the last change counts for the order.
                    last.pop(after.fact_id, None)
                    last[after.fact_id] = (after, item)
        return [
            FactDifference(before=first[fact_id], after=after, cause=Cause.of(item))
            for fact_id, (after, item) in last.items()
        ]
