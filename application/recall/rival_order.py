"""Put the newer of two rivals first.

Rivals are active facts that answer one question otherwise ("I live in Kiel", "I live in Bonn"). A
search that finds one of them returns the others too, at the place of the best one, the newest
first; unless the query names the value of one of them ("Do I live in Kiel?").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import evolve

from remembrancer.application.extraction.rules import slots
from remembrancer.domain.facts.fact import Fact, FactId, FactKey
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.vector_index import Hit
from remembrancer.domain.recall.permission import Read, permits
from remembrancer.domain.recall.ranking import Ranked
from remembrancer.domain.text import names

MOST_LOADED = 8
"""Rivals that a search loads although it did not find them."""


async def newest_rival_first(
    found: Sequence[Ranked],
    facts: Mapping[FactKey, Fact],
    *,
    read: Read,
    query: str,
    store: FactStore,
) -> tuple[list[Ranked], Mapping[FactKey, Fact]]:
    """The hits with the newer rivals before the older ones, and all of their facts.

    Args:
        found: hits, best first.
        facts: their facts.
        read: what the search may return.
        query: the words of the search.
        store: where rivals are that were not found.

    Raises:
        AdapterUnavailable: the facts did not answer.
    """
    if not any(fact.rivals for fact in facts.values()):
        return list(found), facts
    known = {fact.fact_id: fact for fact in facts.values()}
    missing = [
        rival for item in found for rival in facts[item.hit.key].rivals if rival not in known
    ]
    for rival in list(dict.fromkeys(missing))[:MOST_LOADED]:
        known.update(
            (fact.fact_id, fact) for fact in await store.versions(rival) if permits(read, fact)
        )
    ordered = _in_order(found, facts, known, query)
    return ordered, {**facts, **{fact.key: fact for fact in known.values()}}


def _in_order(
    found: Sequence[Ranked],
    facts: Mapping[FactKey, Fact],
    known: Mapping[FactId, Fact],
    query: str,
) -> list[Ranked]:
    by_key = {item.hit.key: item for item in found}
    ordered: dict[FactKey, Ranked] = {}
    for item in found:
        fact = facts[item.hit.key]
        group = [fact, *(known[each] for each in fact.rivals if each in known)]
        if len(group) == 1 or any(_named(each, query) for each in group):
            ordered.setdefault(item.hit.key, item)
            continue
        for each in sorted(group, key=_told_at, reverse=True):
            own = by_key.get(each.key, evolve(item, hit=_hit(each)))
            ordered.setdefault(each.key, evolve(own, score=max(item.score, own.score)))
    return list(ordered.values())


def _told_at(fact: Fact) -> tuple[datetime, datetime, FactId]:
    return (fact.occurred_at, fact.created_at, fact.fact_id)


def _named(fact: Fact, query: str) -> bool:
    """Whether a query names the value that a fact gives."""
    if fact.slot is None:
        return False
    reading = slots.read(fact.text, fact.speaker or fact.slot.partition("/")[0])
    return reading is not None and reading.value is not None and names(query, reading.value)


def _hit(fact: Fact) -> Hit:
    return Hit(key=fact.key, speaker=fact.speaker, occurred_at=fact.occurred_at, valid=fact.valid)
