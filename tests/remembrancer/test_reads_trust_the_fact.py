"""Reads check the decoded fact: an index that is late, shared, damaged or edited shows nothing that
the read may not see, and takes no place of a fact that it may.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer import Memory, NotFound
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.facts.fact import FactId, FactKey, Interval
from remembrancer.domain.graph.graph import Entity, View
from remembrancer.domain.graph.walk import Reached
from remembrancer.domain.ports.vector_index import Hit, IndexQuery
from remembrancer.domain.scope import Scope
from remembrancer.wiring.settings import load_settings
from tests.helpers.stores import store_in_memory

ALICE: dict[str, Any] = {"user_id": "alice"}
BOB: dict[str, Any] = {"user_id": "bob"}
SECRET = "The password of Alice is hunter2."


class LyingIndex(InMemoryVectorIndex):
    """An index that returns ``planted`` keys before all others, whatever the query."""

    def __init__(self) -> None:
        super().__init__()
        self.planted: list[FactKey] = []
        self.limits: list[int] = []

    def search(self, query: IndexQuery) -> list[Hit]:
        """Search."""
        self.limits.append(query.limit)
        planted = [
            Hit(
                key=key,
                similarity=1.0,
                keyword=1.0,
                context=1.0,
                entities=1.0,
                occurred_at=query.now,
            )
            for key in self.planted
        ]
        return [*planted, *super().search(query)][: query.limit]


@pytest.fixture
def index() -> LyingIndex:
    return LyingIndex()


@pytest.fixture
def memory(index: LyingIndex) -> Iterator[Memory]:
    with Memory(overrides={"vector_index": index}) as memory:
        yield memory


def add(memory: Memory, text: str, *, metadata: Any = None, **scope: Any) -> FactKey:
    memory.add(text, infer=False, metadata=metadata, **scope)
    newest = memory.get_all(limit=1, **scope)[0]
    return newest.key


def found(memory: Memory, **named: Any) -> tuple[list[str], tuple[str, ...]]:
    result = memory.search("password", **named)
    return [hit.text for hit in result], result.degraded


def test_key_of_another_owner_is_dropped_and_reported(memory: Memory, index: LyingIndex) -> None:
    index.planted = [add(memory, SECRET, **ALICE)]
    add(memory, "Bob likes passwords.", **BOB)
    assert found(memory, **BOB) == (["Bob likes passwords."], ("vector_index",))


@pytest.mark.parametrize("other", ["run_id", "agent_id", "app_id"])
def test_key_outside_of_the_scope_is_dropped(memory: Memory, index: LyingIndex, other: str) -> None:
    index.planted = [add(memory, SECRET, **ALICE, **{other: "elsewhere"})]
    add(memory, "The password is here.", **ALICE, **{other: "here"})
    assert found(memory, **ALICE, **{other: "here"}) == (
        ["The password is here."],
        ("vector_index",),
    )


def test_key_of_a_fact_that_does_not_exist_is_dropped(memory: Memory, index: LyingIndex) -> None:
    add(memory, "Bob likes passwords.", **BOB)
    index.planted = [(FactId("0" * 32), 1)]
    assert found(memory, **BOB) == (["Bob likes passwords."], ("vector_index",))


def test_retracted_fact_is_dropped(memory: Memory, index: LyingIndex) -> None:
    index.planted = [add(memory, SECRET, **ALICE)]
    memory.delete(index.planted[0][0])
    assert found(memory, **ALICE) == ([], ("vector_index",))


def test_version_that_was_replaced_is_dropped(memory: Memory, index: LyingIndex) -> None:
    index.planted = [add(memory, SECRET, **ALICE)]
    memory.update(index.planted[0][0], "The password of Alice is changed.")
    assert found(memory, **ALICE) == (["The password of Alice is changed."], ("vector_index",))


def test_fact_outside_of_the_filter_is_dropped(memory: Memory, index: LyingIndex) -> None:
    index.planted = [add(memory, SECRET, metadata={"level": 1}, **ALICE)]
    add(memory, "A password of level 2.", metadata={"level": 2}, **ALICE)
    assert found(memory, filters={"level": 2}, **ALICE) == (
        ["A password of level 2."],
        ("vector_index",),
    )


def test_fact_that_was_not_known_at_the_time_is_dropped(memory: Memory, index: LyingIndex) -> None:
    index.planted = [add(memory, SECRET, **ALICE)]
    assert found(memory, as_of=datetime(2020, 1, 1, tzinfo=UTC), **ALICE) == ([], ("vector_index",))


@pytest.mark.parametrize("foreign", [1, 10, 70, 300])
def test_dropped_hits_are_refilled_up_to_the_limit(
    memory: Memory, index: LyingIndex, foreign: int
) -> None:
    index.planted = [add(memory, f"password {n}", **ALICE) for n in range(foreign)]
    for n in range(12):
        add(memory, f"password of Bob {n}", **BOB)
    texts, degraded = found(memory, limit=10, **BOB)
    assert (len(texts), degraded) == (10, ("vector_index",))
    assert all("Bob" in text for text in texts)


def test_refilling_ends_after_a_bounded_number_of_searches(
    memory: Memory, index: LyingIndex
) -> None:
    secret = add(memory, SECRET, **ALICE)
    add(memory, "password of Bob", **BOB)
    index.planted = [secret, *((FactId(f"{n:032x}"), 1) for n in range(5_000))]
    assert found(memory, **BOB) == ([], ("vector_index",))
    assert index.limits == [50, 200, 800]


def test_correct_index_is_searched_once_and_nothing_is_reported(
    memory: Memory, index: LyingIndex
) -> None:
    add(memory, "password of Bob", **BOB)
    assert found(memory, **BOB) == (["password of Bob"], ())
    assert index.limits == [50]


def test_append_during_a_search_is_not_taken_for_a_wrong_index() -> None:
    class Overtaken(LyingIndex):
        def search(self, query: IndexQuery) -> list[Hit]:
            hits = super().search(query)
            memory.delete_all(**BOB)
            return hits

    with Memory(overrides={"vector_index": (index := Overtaken())}) as memory:
        add(memory, "password of Bob", **BOB)
        index.planted = [add(memory, SECRET, **ALICE)]
        assert found(memory, **BOB)[1] == ()


class LyingGraph(InMemoryKnowledgeGraph):
    """A graph that answers for another owner."""

    def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """Answer."""
        return super().neighbours(evolve(view, scope=Scope(**ALICE)), entities, depth, limit)

    def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """Answer."""
        return super().entities(evolve(view, scope=Scope(**ALICE)), names, limit)


def test_links_of_another_owner_are_left_out() -> None:
    with Memory(overrides={"knowledge_graph": LyingGraph()}) as memory:
        memory.add("My sister is Eve. Eve works at Acme.", **ALICE)
        memory.add("My sister is Eve.", **BOB)
        own = memory.graph("Eve", **ALICE)
        assert own is not None
        assert own.reached
        explored = memory.graph("Eve", **BOB)
        assert explored is not None
        assert (explored.reached, explored.facts) == ((), {})
        paths = {hit.path for hit in memory.search("Where does Eve work?", explain=True, **BOB)}
        assert paths <= {None}


def test_entities_of_another_owner_are_left_out() -> None:
    with Memory(overrides={"knowledge_graph": LyingGraph()}) as memory:
        memory.add("My sister is Eve. Eve works at Acme.", **ALICE)
        memory.add("My sister is Eve.", **BOB)
        own = {entity.name: entity for entity in memory.entities(**BOB)}
        assert "Eve" in own
        assert "Acme" not in own
        # Nor do the counts, a resolved name or an error tell of them
        assert own["Eve"].facts == 1
        with pytest.raises(NotFound) as refused:
            memory.relations("Acme", **BOB)
        assert refused.value.args[0].count("Acme") == 1


# The tables of the log's own store


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Callable[[str], Memory]]:
    """A memory with a fact of each of Alice and Bob, whose tables were edited with statements."""
    config = {"audit_log": {"path": str(tmp_path / "app.db")}}
    opened: list[Memory] = []

    def edit(statement: str) -> Memory:
        memory = Memory(settings=load_settings(config, environment={}))
        opened.append(memory)
        add(memory, SECRET, **ALICE)
        add(memory, "Bob likes passwords.", **BOB)
        with sqlite3.connect(tmp_path / "app.db") as connection:
            connection.executescript(statement)
        connection.close()
        return memory

    yield edit
    for memory in opened:
        memory.close()


OWNED_BY_BOB = (
    "UPDATE fact SET user_id = 'bob', ledger_id = "
    "(SELECT ledger_id FROM fact WHERE user_id = 'bob') WHERE user_id = 'alice'"
)


def test_row_that_was_given_to_another_owner_is_not_listed(
    edited: Callable[[str], Memory],
) -> None:
    page = edited(OWNED_BY_BOB).get_all(**BOB)
    assert [fact.text for fact in page] == ["Bob likes passwords."]
    assert page.degraded == ("fact_store",)


def test_listing_is_refilled_and_continues_behind_rows_that_were_left_out(
    edited: Callable[[str], Memory],
) -> None:
    memory = edited("SELECT 1")
    for n in range(8):
        add(memory, f"foreign {n}", **ALICE)
        add(memory, f"own {n}", **BOB)
    memory.close()
    memory = edited(OWNED_BY_BOB)
    texts: list[str] = []
    cursor = None
    while True:
        page = memory.get_all(limit=2, cursor=cursor, **BOB)
        texts += [fact.text for fact in page]
        if (cursor := page.cursor) is None:
            break
    assert sorted(set(texts)) == ["Bob likes passwords.", *(f"own {n}" for n in range(8))]


def test_document_that_was_given_to_another_owner_is_not_found(
    edited: Callable[[str], Memory],
) -> None:
    of_alice = "(SELECT fact_id FROM fact WHERE user_id = 'alice')"
    memory = edited(
        f"DELETE FROM index_document WHERE fact_id = {of_alice};"
        f"UPDATE index_document SET fact_id = {of_alice};"
    )
    assert found(memory, **BOB) == ([], ("vector_index",))


def test_version_is_not_shown_under_the_id_of_another_fact(
    edited: Callable[[str], Memory], tmp_path: Path
) -> None:
    memory = edited(
        "UPDATE fact SET body = (SELECT body FROM fact WHERE user_id = 'alice') "
        "WHERE user_id = 'bob'"
    )
    with sqlite3.connect(tmp_path / "app.db") as connection:
        ((fact_id,),) = connection.execute("SELECT fact_id FROM fact WHERE user_id = 'bob'")
    connection.close()
    for read in (memory.get, memory.history):
        with pytest.raises(NotFound):
            read(fact_id, **BOB)
    assert found(memory, **BOB)[0] == []


# What an index can't know


def test_interrupted_fact_is_left_out_and_the_index_is_not_blamed() -> None:
    gone = Interval(start=datetime(2021, 1, 1, tzinfo=UTC), end=datetime(2022, 1, 1, tzinfo=UTC))
    with Memory() as memory:
        memory.add("I live in Paris.", occurred_at=datetime(2020, 1, 1, tzinfo=UTC), **BOB)
        memory.state("user", "lives in", "Rome", valid_from=gone.start, valid_to=gone.end, **BOB)
        result = memory.search("Where?", valid_at=datetime(2021, 6, 1, tzinfo=UTC), **BOB)
        assert [hit.text for hit in result] == ["User lives in Rome"]
        assert result.degraded == ()


def test_fact_of_another_owner_does_not_answer_for_a_candidate() -> None:
    store = store_in_memory()
    index = LyingIndex()
    with Memory(overrides={"store": evolve(store, vector_index=index)}) as memory:
        index.planted = [add(memory, "I live in Paris.", **ALICE)]
        receipt = memory.add("I live in Paris!", **BOB)
        assert {each.fact_id for each in receipt.verdicts} != {index.planted[0][0]}
        assert [fact.text for fact in memory.get_all(**BOB)] == ["I live in Paris!"]
        assert memory.get(index.planted[0][0]).reaffirmed == 0
