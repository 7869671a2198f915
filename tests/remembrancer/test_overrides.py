"""Replacing parts of a memory: a store as a whole, never one of its parts."""

from __future__ import annotations

import pytest
from attrs import evolve

from remembrancer import InvalidRequest, Memory
from remembrancer.wiring.container import STORE_PARTS
from tests.helpers.stores import store_in_memory


@pytest.mark.parametrize("part", STORE_PARTS)
def test_part_of_a_store_is_not_overridden_alone(part: str) -> None:
    with pytest.raises(InvalidRequest, match="override store as a whole") as refused:
        Memory(overrides={part: getattr(store_in_memory(), part, object())})
    assert refused.value.path == f"overrides.{part}"


def test_unknown_part_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="is not a part"):
        Memory(overrides={"fact_stroe": object()})


def test_store_is_overridden_as_a_whole_and_left_open() -> None:
    closed: list[bool] = []
    store = evolve(store_in_memory(), close=lambda: closed.append(True))
    with Memory(overrides={"store": store}) as memory:
        memory.add("I live in Paris.", user_id="ann")
        found = memory.search("Where does Ann live?", user_id="ann")
        assert [hit.fact.text for hit in found] == ["I live in Paris."]
        assert store.audit_log.last_position() == memory.stats().last_position
    with Memory(overrides={"store": store}) as memory:
        assert [fact.text for fact in memory.get_all(user_id="ann").facts] == ["I live in Paris."]
    # The host that brought the store closes it
    assert closed == []


@pytest.mark.parametrize("method", ["search", "get_all", "history", "delete_all", "stats", "add"])
def test_unknown_argument_is_refused_by_its_name(method: str) -> None:
    arguments = {"search": ["tea"], "add": ["I like tea."], "history": ["0" * 32]}.get(method, [])
    with Memory() as memory, pytest.raises(InvalidRequest, match="is not an argument") as refused:
        getattr(memory, method)(*arguments, user_id="ann", top_k=5)
    assert refused.value.path == "top_k"
