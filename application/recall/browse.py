"""Reads without ranking: one fact, its history, pages of a listing. Search is in ``recall``."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from remembrancer.application.parsing.arguments import parse_id
from remembrancer.application.recall.as_of import ResolveAsOf
from remembrancer.application.recall.results import Results
from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.errors import InvalidRequest, NotFound
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactQuery, FactStore
from remembrancer.domain.recall.permission import permits
from remembrancer.domain.scope import Scope

ROUNDS = 3
"""Reads of the store for one page, if facts had to be left out."""


@frozen(kw_only=True)
class Page(Results[Fact]):
    """Facts, and the cursor of the next page (``None``: this is the last page).

    A page is iterated, counted and indexed like the tuple of its facts. ``total`` is the number of
    facts in all pages, ``None`` if nobody asked for it. ``degraded`` names
    ``fact_store`` if its table returned facts that this listing may not return: they were left
    out, and the table is damaged (``verify``).
    """

    facts: tuple[Fact, ...]
    cursor: str | None = None
    total: int | None = None
    degraded: tuple[str, ...] = ()

    @property
    def _items(self) -> tuple[Fact, ...]:
        return self.facts

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {
            "facts": [fact.to_dict() for fact in self.facts],
            "cursor": self.cursor,
            "total": self.total,
            "degraded": list(self.degraded),
        }


class Browse:
    """Reads without ranking.

    Args:
        log: the log, for the head of a ledger.
        facts: the facts read model.
        resolve_as_of: resolves ``as_of``.
    """

    def __init__(self, *, log: AuditLog, facts: FactStore, resolve_as_of: ResolveAsOf) -> None:
        self._log = log
        self._facts = facts
        self._resolve_as_of = resolve_as_of

    async def get(
        self,
        fact_id: FactId,
        *,
        scope: Scope | None,
        as_of: object = None,
        valid_at: datetime | None = None,
    ) -> Fact:
        """The latest version of a fact in any status, or its version at ``as_of``.

        Args:
            fact_id: which fact.
            scope: the scope that must cover it, if any.
            as_of: see ``ResolveAsOf``.
            valid_at: the time at which the version must hold; ``None`` for any.

        Raises:
            InvalidRequest: ``as_of`` is refused.
            NotFound: no such fact in that scope, or not recorded yet at that time, or it did not
                hold at ``valid_at``.
        """
        latest = (await self._recorded(fact_id, scope, as_of))[-1]
        if valid_at is not None and not latest.holds_at(valid_at):
            raise NotFound(f"fact {fact_id} does not hold at {valid_at.isoformat()}")
        return latest

    async def history(
        self,
        fact_id: FactId,
        *,
        scope: Scope | None,
        as_of: object = None,
        valid_at: datetime | None = None,
    ) -> Sequence[Fact]:
        """The versions of a fact that were recorded by ``as_of``, oldest first; with ``valid_at``
        those of them that hold then. Arguments and errors as for ``get``.
        """
        versions = await self._recorded(fact_id, scope, as_of)
        return [each for each in versions if valid_at is None or each.holds_at(valid_at)]

    async def _recorded(
        self, fact_id: FactId, scope: Scope | None, as_of: object
    ) -> Sequence[Fact]:
        versions = [
            fact
            for fact in await self._facts.versions(fact_id)
            if fact.fact_id == fact_id and (scope is None or scope.covers(fact.scope))
        ]
        owner = versions[0].scope if versions else scope
        moment = (await self._resolve_as_of(as_of, owner.ledger if owner else None)).as_of
        if not versions:
            raise NotFound(f"no fact {fact_id} that this scope may see")
        known = [each for each in versions if moment is None or each.updated_at <= moment]
        if not known:
            raise NotFound(f"fact {fact_id} was not known at {moment and moment.isoformat()}")
        return known

    async def get_all(
        self, query: FactQuery, cursor: str | None = None, *, total: bool = False
    ) -> Page:
        """One page of a listing, with the ``total`` of all pages if asked for.

        All pages are a snapshot at the time of the first page: later changes neither repeat nor
        skip facts.

        Raises:
            InvalidRequest: the cursor is damaged or belongs to another listing.
        """
        query = _continued(query, cursor) if cursor else await self._begun(query)
        page = await self._page(query)
        return evolve(page, total=await self._facts.count(query)) if total else page

    async def _page(self, query: FactQuery) -> Page:
        facts: list[Fact] = []
        rest, wrong = query, False
        for _ in range(ROUNDS):
            wanted = query.limit - len(facts)
            found = await self._facts.find(evolve(rest, limit=wanted + 1))
            row = found[:wanted]
            permitted = [fact for fact in row if permits(query, fact)]
            facts += permitted
            wrong = wrong or len(permitted) < len(row)
            if len(found) <= wanted:
                return _page(facts, None, wrong=wrong)
            rest = evolve(query, after=_place(query, row[-1]))
            if len(facts) == query.limit:
                break
        return _page(facts, _cursor(rest), wrong=wrong)

    async def _begun(self, query: FactQuery) -> FactQuery:
        if query.as_of is not None:
            return query
        # The time of the ledger's last event, not of this process: every later append is recorded
        # after it, whatever its clock says.
        head = await self._log.head(query.scope.ledger)
        return evolve(query, as_of=head.recorded_at or query.now)


def _page(facts: Sequence[Fact], cursor: str | None, *, wrong: bool) -> Page:
    return Page(facts=tuple(facts), cursor=cursor, degraded=("fact_store",) if wrong else ())


def _place(query: FactQuery, last: Fact) -> tuple[datetime, FactId]:
    moment: datetime = getattr(last, query.order.value.lstrip("-"))
    return moment, last.fact_id


def _cursor(rest: FactQuery) -> str:
    """The cursor of the page that ``rest`` begins."""
    assert rest.as_of is not None
    assert rest.after is not None
    place, fact_id = rest.after
    fields = [
        rest.order.value,
        to_microseconds(rest.as_of),
        to_microseconds(rest.now),
        to_microseconds(place),
        fact_id,
    ]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def _continued(query: FactQuery, cursor: str) -> FactQuery:
    try:
        order, as_of, now, place, fact_id = json.loads(base64.urlsafe_b64decode(cursor))
        after = (from_microseconds(place), FactId(parse_id(fact_id, "cursor")))
        pinned, moment = from_microseconds(as_of), from_microseconds(now)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise InvalidRequest(
            "cursor", "is damaged; start again without one, or pass it as it was given"
        ) from error
    if order != query.order.value:
        raise InvalidRequest("cursor", f"belongs to a listing ordered by {order}")
    return evolve(query, as_of=pinned, now=moment, after=after)
