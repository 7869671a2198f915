"""All that a memory believes now, in a form to compare."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remembrancer import Memory, Scope
from remembrancer.application.inline import run_inline
from remembrancer.domain.graph.graph import Link, Relation
from remembrancer.types import Fact, FactId

STATUSES = ("active", "superseded", "retracted", "expired")


def state(memory: Memory, now: datetime, ids: Any) -> dict[Any, tuple[Any, ...]]:
    """The facts that were not withdrawn, the withdrawn ones that block, and the links that hold or
    held, each with all that it says.
    """
    graph = memory._inner._container.lifted_embedded_graph()
    ledger = Scope(**ids).ledger
    facts = [
        fact
        for status in STATUSES
        for fact in memory.get_all(status=status, limit=1000, **ids)
        if fact.status != "retracted" or fact.blocked
    ]
    links = [
        link for link in run_inline(graph.versions(ledger)) if link.believed and _counts(link, now)
    ]
    alive = {fact.fact_id for fact in facts if not _expired(fact, now)}
    return {
        **{fact.fact_id: _told(fact, now, alive) for fact in facts},
        **{
            link.key: (link.open, link.ends, link.valid, link.interruptions, link.expires_at)
            for link in links
        },
    }


def _expired(fact: Fact, now: datetime) -> bool:
    """Whether it has expired, recorded or not."""
    over = fact.expires_at is not None and fact.expires_at <= now
    return fact.status == "expired" or (fact.status == "active" and over)


def _told(fact: Fact, now: datetime, alive: set[FactId]) -> tuple[Any, ...]:
    return (
        fact.text,
        "expired" if _expired(fact, now) else fact.status.value,
        fact.valid,
        fact.interruptions,
        fact.told,
        fact.superseded_by,
        fact.metadata,
        fact.entities,
        fact.statement,
        fact.expires_at,
        fact.blocked,
        fact.evidence,
        fact.reaffirmed,
        alive.intersection(fact.rivals) if fact.fact_id in alive else set(),
    )


def _counts(link: Link, now: datetime) -> bool:
    """Not a link that has expired, nor an error: a relation that ended when it began."""
    error = isinstance(link, Relation) and link.valid.start == link.valid.end is not None
    return not error and (link.expires_at is None or link.expires_at > now)
