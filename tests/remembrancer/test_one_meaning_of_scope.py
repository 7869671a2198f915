"""A scope means the same to every call."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from remembrancer import Fact, Memory, NotFound
from remembrancer.domain.scope import SCOPE_IDS, Scope

IDS: list[dict[str, Any]] = [
    {name: value for name, value in zip(SCOPE_IDS, ids, strict=True) if value}
    for ids in product((None, "u"), (None, "a"), (None, "r"), (None, "x"))
    if any(ids[:3])
]


@pytest.fixture(scope="module")
def memory() -> Memory:
    memory = Memory()
    for ids in IDS:
        memory.add("I like tea.", infer=False, **ids)
    return memory


@pytest.fixture(scope="module")
def facts(memory: Memory) -> dict[str, Fact]:
    return {fact.fact_id: fact for ids in IDS for fact in memory.get_all(**ids)}


@pytest.mark.parametrize("ids", IDS, ids=lambda ids: "+".join(ids))
def test_get_and_history_find_what_search_finds(
    memory: Memory, facts: dict[str, Fact], ids: dict[str, Any]
) -> None:
    searched = {hit.id for hit in memory.search("tea", limit=1000, **ids)}
    listed = {fact.fact_id for fact in memory.get_all(**ids)}
    got, told = set(), set()
    for fact_id in facts:
        for call, found in ((memory.get, got), (memory.history, told)):
            try:
                call(fact_id, **ids)
            except NotFound:
                continue
            found.add(fact_id)
    assert searched == listed == got == told


@pytest.mark.parametrize("ids", IDS, ids=lambda ids: "+".join(ids))
def test_update_and_delete_change_only_what_search_finds(
    memory: Memory, facts: dict[str, Fact], ids: dict[str, Any]
) -> None:
    searched = {hit.id for hit in memory.search("tea", limit=1000, **ids)}
    for fact_id, fact in facts.items():
        if fact_id in searched:
            assert memory.update(fact_id, "I like tea.", **ids) is None
            continue
        with pytest.raises(NotFound):
            memory.update(fact_id, "I like coffee.", **ids)
        with pytest.raises(NotFound):
            memory.delete(fact_id, **ids)
        assert memory.get(fact_id, **fact.scope.ids()) == fact
    assert Scope(**ids).ledger in {fact.scope.ledger for fact in facts.values()}
