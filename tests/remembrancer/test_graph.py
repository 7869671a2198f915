"""The graph in a memory: the life of relations, and recall by graph."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remembrancer import AsyncMemory, Memory
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.facts.verdicts import Decision, Proposal
from remembrancer.domain.graph.graph import SAME_AS
from remembrancer.domain.ports.reconciler import Reconciliation
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import append_of
from remembrancer.testing.knowledge_graph import relation
from remembrancer.wiring.settings import load_settings
from tests.helpers.telling import extractor, fact

MAY = datetime(2024, 5, 3, 12, tzinfo=UTC)
JUNE = datetime(2024, 6, 3, 12, tzinfo=UTC)
ANN = Scope(user_id="ann")


class Revising:
    """A reconciler that revises the first neighbour with every candidate."""

    def __init__(self) -> None:
        self._target: Any = None

    async def reconcile(self, candidates: Any, neighbours: Any) -> Reconciliation:
        proposals: list[Proposal] = []
        for candidate, near in zip(candidates, neighbours, strict=True):
            if not near:
                proposals.append(Proposal(decision=Decision.ADD))
                continue
            proposals.append(
                Proposal(decision=Decision.REVISE, target=next(iter(near)), text=candidate.text)
            )
        return Reconciliation(proposals=tuple(proposals))


def opened(path: Path | None, *facts: dict[str, Any], **overrides: Any) -> Memory:
    log = {"provider": "memory"} if path is None else {"path": str(path)}
    return Memory(
        settings=load_settings({"audit_log": log}, environment={}),
        overrides={"extractor": extractor(*facts), **overrides},
    )


@pytest.fixture(params=["file", "lists"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "graph.db" if request.param == "file" else None


def related(memory: Memory, entity: str, **options: Any) -> list[str]:
    return [
        f"{one.subject} {one.predicate} {one.object}"
        for one in memory.relations(entity, user_id="ann", **options)
    ]


def say(memory: Memory, *facts: dict[str, Any], **named: Any) -> Any:
    given = {"user_id": "ann", "occurred_at": MAY, **named}
    return [memory.add({"content": one["text"], "name": "Ann"}, **given) for one in facts]


LIVES = fact("Ann lives in Oslo with Tom.", ("Ann", "lives in", "Oslo"), ("Ann", "knows", "Tom"))
MOVED = fact("Ann lives in Bergen.", ("Ann", "lives in", "Bergen"), ("Ann", "knows", "Tom"))


class TestRevising:
    def test_relation_contradicted_by_a_revision_ends_and_stays_in_its_time(
        self, where: Path | None
    ) -> None:
        with opened(where, LIVES, MOVED, reconciler=Revising()) as memory:
            say(memory, LIVES)
            say(memory, MOVED, occurred_at=JUNE)

            assert related(memory, "Ann") == ["Ann lives in Bergen", "Ann knows Tom"]
            assert "Ann lives in Oslo" in related(memory, "Ann", valid_at=MAY)
            assert memory.verify().ok

    def test_update_retracts_relations_that_the_new_text_does_not_state(
        self, where: Path | None
    ) -> None:
        with opened(where, LIVES) as memory:
            (receipt,) = say(memory, LIVES)
            fact_id = receipt.verdicts[0].fact_id

            memory.update(fact_id, "Ann lives in Bergen with Tom.")

            assert related(memory, "Ann") == ["Ann knows Tom"]
            assert related(memory, "Ann", valid_at=JUNE) == ["Ann knows Tom"]

    def test_second_value_of_a_multi_valued_predicate_ends_nothing(
        self, where: Path | None
    ) -> None:
        tea = fact("Ann likes green tea.", ("Ann", "likes", "green tea"))
        jazz = fact("Ann likes old jazz.", ("Ann", "likes", "old jazz"))
        with opened(where, tea, jazz) as memory:
            say(memory, tea, jazz)

            assert related(memory, "Ann") == ["Ann likes old jazz", "Ann likes green tea"]

    def test_relation_of_a_single_valued_attribute_ends_with_its_fact(
        self, where: Path | None
    ) -> None:
        oslo = fact("Ann lives in Oslo.", ("Ann", "lives in", "Oslo"), attribute="residence")
        rome = fact("Ann now lives in Rome.", ("Ann", "lives in", "Rome"), attribute="residence")
        with opened(where, oslo, rome) as memory:
            say(memory, oslo)
            say(memory, rome, occurred_at=JUNE)

            assert related(memory, "Ann") == ["Ann lives in Rome"]
            assert related(memory, "Ann", valid_at=MAY) == ["Ann lives in Oslo"]


SISTER = fact("Eve is Ann's sister.", ("Eve", "is sister of", "Ann"))
WORKS = fact("Eve works at Acme.", ("Eve", "works at", "Acme"))
QUESTION = "What is the job of Ann's sister?"
NOISE = tuple(
    f"The {who} said that {what}."
    for who in ("baker", "driver", "pilot", "nurse", "singer", "judge", "clerk", "king")
    for what in ("a job is no joke", "a sister called", "this job can wait", "some sister sang")
)


def noisy(path: Path | None, *facts: dict[str, Any], **overrides: Any) -> Memory:
    """A memory of old ``facts`` and of many newer texts that resemble the question."""
    memory = opened(path, *facts, **overrides)
    # A day apart, because messages close in time are the context of each other.
    for day, one in enumerate(facts):
        say(memory, one, occurred_at=MAY + timedelta(days=day))
    memory.add(
        [
            {"content": text, "timestamp": JUNE + timedelta(days=day)}
            for day, text in enumerate(NOISE)
        ],
        user_id="ann",
        infer=False,
    )
    return memory


def searched(memory: Memory, question: str = QUESTION, **options: Any) -> dict[str, str | None]:
    """The texts of the results, each with its graph path."""
    options = {"user_id": "ann", "explain": True, **options}
    found = memory.search(question, **options)
    return {one.fact.text: one.path for one in found}


class _Silent:
    """An external graph that applies events and fails on reads."""

    async def apply(self, chain: Sequence[Recorded]) -> None:
        """Apply events."""

    async def clear(self) -> None:
        """Clear the graph."""

    async def neighbours(self, *_arguments: Any) -> Any:
        raise AdapterUnavailable("graph", "is down")


class TestRecall:
    def test_fact_two_steps_away_is_found_only_by_the_graph(self, where: Path | None) -> None:
        with noisy(where, SISTER, WORKS) as memory:
            found = searched(memory)

        assert found["Eve works at Acme."] == "Ann <-[is sister of]- Eve -[works at]-> Acme"
        assert found["Eve is Ann's sister."] == "Ann <-[is sister of]- Eve"
        with noisy(where and where.with_name("b.db"), SISTER, fact("Eve works at Acme.")) as memory:
            assert "Eve works at Acme." not in searched(memory)

    def test_graph_signal_grows_with_the_path_words_in_the_question(
        self, where: Path | None
    ) -> None:
        with noisy(where, SISTER, WORKS) as memory:
            result = memory.search(QUESTION, user_id="ann", explain=True)
        signals = {one.fact.text: (one.signals or {}).get("graph") for one in result}

        assert signals["Eve is Ann's sister."] == 1.0
        assert signals["Eve works at Acme."] == 0.625
        assert {signals[text] for text in NOISE if text in signals} == {None}

    def test_entity_is_found_under_an_alias(self, where: Path | None) -> None:
        with noisy(where, SISTER, WORKS) as memory:
            log = memory._inner._container.audit_log()
            alias = relation("Annie", SAME_AS, "Ann", scope=ANN)
            log.append(append_of([alias], ledger=ANN.ledger, at=datetime.now(UTC)))
            found = searched(memory, "What is the job of Annie's sister?")

        assert found["Eve works at Acme."] == (
            "Annie -[same_as]-> Ann <-[is sister of]- Eve -[works at]-> Acme"
        )

    def test_first_person_in_a_question_is_the_speaker(self, where: Path | None) -> None:
        with noisy(where, SISTER, WORKS) as memory:
            found = searched(memory, "What is the job of my sister?")

        assert found["Eve works at Acme."] == "Ann <-[is sister of]- Eve -[works at]-> Acme"

    @pytest.mark.parametrize(
        "options",
        [
            {"user_id": "bob"},
            {"run_id": "other"},
            {"filters": {"speaker": "Bob"}},
            {"filters": {"metadata.topic": "work"}},
            {"valid_at": datetime(2024, 1, 1, tzinfo=UTC)},
            {"as_of": datetime(2024, 1, 1, tzinfo=UTC)},
        ],
        ids=["ledger", "scope", "filter", "metadata", "valid time", "transaction time"],
    )
    def test_graph_search_respects_scope_filters_and_times(
        self, where: Path | None, options: dict[str, Any]
    ) -> None:
        with noisy(where, SISTER, WORKS) as memory:
            assert "Eve works at Acme." not in searched(memory, **options)

    def test_fact_that_matches_the_filter_is_found_by_the_graph(self, where: Path | None) -> None:
        with noisy(where, SISTER, WORKS) as memory:
            found = searched(memory, filters={"speaker": "Ann"})

        assert set(found) == {"Eve works at Acme.", "Eve is Ann's sister."}

    def test_deleted_relation_is_walked_only_as_of_its_time(self, where: Path | None) -> None:
        with noisy(where, SISTER, WORKS) as memory:
            before = datetime.now(UTC)
            (sister,) = [one.fact for one in memory.search("Eve sister", user_id="ann", limit=1)]
            memory.delete(sister.fact_id)

            assert "Eve works at Acme." not in searched(memory)
            assert "Eve works at Acme." in searched(memory, as_of=before)

    def test_search_falls_back_to_the_graph_of_the_store(self, where: Path | None) -> None:
        with noisy(where, SISTER, WORKS, knowledge_graph=_Silent()) as memory:
            result = memory.search(QUESTION, user_id="ann")

        assert result.degraded == ("knowledge_graph",)
        assert "Eve works at Acme." in [one.fact.text for one in result]

    def test_search_without_explain_has_no_paths(self, where: Path | None) -> None:
        with noisy(where, SISTER, WORKS) as memory:
            result = memory.search(QUESTION, user_id="ann")

        assert {one.path for one in result} == {None}
        assert "path" not in result.to_dict()["results"][0]


TAMPERING = {
    "another object": ("UPDATE graph_relation SET object = 'Gin'", "graph_relation.object"),
    "a lost relation": ("DELETE FROM graph_relation", "graph_relation.None"),
    "other names": (
        'UPDATE graph_fact SET entities = \'["Ann","Gin"]\'',
        "graph_fact.entities",
    ),
    "a relation of another ledger": (
        "UPDATE graph_relation SET ledger = ledger + 1 WHERE id = 1",
        "graph_relation.None",
    ),
    "a lost document": ("UPDATE index_ledger SET documents = 1", "index_ledger.documents"),
}


@pytest.mark.parametrize(("tampering", "problem"), TAMPERING.values(), ids=TAMPERING.keys())
def test_verify_reports_altered_read_models(tmp_path: Path, tampering: str, problem: str) -> None:
    path = tmp_path / "graph.db"
    with opened(path, SISTER, WORKS) as memory:
        say(memory, SISTER, WORKS)
        assert memory.verify().faults == ()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute(tampering)
        first = memory.verify().first
        assert first is not None
        assert f"{first.table}.{first.column}" == problem


def test_async_memory_reads_the_graph() -> None:
    async def read() -> list[str]:
        settings = load_settings({"audit_log": "memory"}, environment={})
        overrides = {"extractor": extractor(SISTER, WORKS)}
        async with AsyncMemory(settings=settings, overrides=overrides) as memory:
            for one in (SISTER, WORKS):
                await memory.add(one["text"], user_id="ann")
            explored = await memory.graph("Eve", user_id="ann", depth=1)
            entities = await memory.entities(user_id="ann")
            relations = await memory.relations("Ann", user_id="ann")
            assert explored is not None
            assert {entity.name for entity in entities} == {"Ann", "Eve", "Acme"}
            assert [one.predicate for one in relations] == ["is sister of"]
            found = await memory.search("Ann's sister?", user_id="ann", explain=True)
            return [one.path for one in found if one.path is not None]

    assert asyncio.run(read()) == [
        "Ann <-[is sister of]- Eve",
        "Ann <-[is sister of]- Eve -[works at]-> Acme",
    ]
