"""Prefilter: the documents that a query may return, by ledger, scope, times and filter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from attrs import frozen

from remembrancer.adapters.vector_index.remote.clamped_times import held_end, is_exact
from remembrancer.adapters.vector_index.remote.conditions import Condition, Within, all_of, marked
from remembrancer.adapters.vector_index.remote.rows import Row
from remembrancer.adapters.vector_index.remote.tokens import ledger_token, token
from remembrancer.adapters.vector_index.remote.translation import MARKS, translate
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.ports.vector_index import IndexQuery
from remembrancer.domain.scope import LedgerId


@frozen(kw_only=True)
class Eligibility:
    """The eligible documents of a query.

    Args:
        query: the query.
        condition: matches at least all eligible documents.
        exact: whether ``condition`` matches eligible documents only.
    """

    query: IndexQuery
    condition: Condition
    exact: bool

    def admits(self, row: Row) -> bool:
        """Return whether a row that matched the condition is eligible."""
        if self.exact:
            return True
        query = self.query
        return (
            _holds(row.visible, query.as_of, query.now)
            and _holds(row.valid, query.valid_at, query.as_of or query.now)
            and (query.where is None or matches(query.where, row.attributes))
        )


def eligibility(query: IndexQuery) -> Eligibility:
    """Return the prefilter of ``query``."""
    where = None if query.where is None else translate(query.where)
    moments = (query.now, query.as_of, query.valid_at)
    return Eligibility(
        query=query,
        condition=all_of(
            [
                in_ledger(query.scope.ledger),
                *_scope(query),
                *_span("visible", query.as_of, query.now),
                *_span("holds", query.valid_at, query.as_of or query.now),
                True if where is None else where.condition,
            ]
        ),
        exact=(where is None or where.exact)
        and all(is_exact(moment) for moment in moments if moment is not None),
    )


def in_ledger(ledger: LedgerId) -> Condition:
    """Return the condition for all documents of a ledger."""
    return marked("ledger", [ledger_token(ledger)])


def _scope(query: IndexQuery) -> Iterator[Condition]:
    owned = query.scope.ledger.partition(":")[0] + "_id"
    for name, value in query.scope.ids().items():
        # The owner is already fixed by the ledger.
        if name != owned:
            yield marked(MARKS, [token("scope", name, value)])


def _span(name: str, at: datetime | None, now: datetime) -> Iterator[Condition]:
    """Yield conditions for intervals that contain ``at``, or, without it, end after ``now``."""
    moment = now if at is None else at
    # Beyond the limits, do not filter on the server; ``admits`` decides.
    if not is_exact(moment):
        return
    if at is not None:
        yield Within(field=f"{name}_from", most=held_end(moment))
    yield Within(field=f"{name}_to", least=held_end(moment) + 1)


def _holds(interval: Interval, at: datetime | None, now: datetime) -> bool:
    if at is not None:
        return interval.contains(at)
    return interval.end is None or now < interval.end
