"""One program gives the same answers on SQLite and on PostgreSQL, Weaviate and Neo4j."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from remembrancer import AsyncMemory, Memory, load_settings
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.testing.weaviate import WeaviateServer
from tests.engines.neo4j_server import PLACES, settings_at
from tests.helpers.telling import extractor, fact

ANN: Any = {"user_id": "ann"}
FACTS = (
    fact("Eve is Ann's sister.", ("Eve", "sister of", "Ann")),
    fact("Eve works at Acme.", ("Eve", "works at", "Acme")),
    fact("Ann drinks green tea."),
)
QUESTIONS = ("Where does Ann's sister work?", "What does Ann drink?", "Who is Eve?")


class Servers:
    """The three servers, and the config that selects them."""

    def __init__(self, postgres: PostgresSettings, weaviate: WeaviateServer, neo4j: Any) -> None:
        self.weaviate = weaviate
        self.config = {
            "audit_log": {"provider": "postgres", "dsn": postgres.dsn, "schema": postgres.schema},
            "vector_index": {
                "provider": "weaviate",
                "port": weaviate.port,
                "grpc_port": weaviate.grpc_port,
                "startup_wait": 0.2,
            },
            "knowledge_graph": {
                "provider": "neo4j",
                "uri": neo4j.uri,
                "user": neo4j.user,
                "password": neo4j.password,
            },
            "projections": {"wait": 20.0},
        }

    def memory(self, kind: Any = Memory, **changes: Any) -> Any:
        config = {**self.config, **changes}
        overrides = {"extractor": extractor(*FACTS)}
        return kind(settings=load_settings(config, environment={}), overrides=overrides)


@pytest.fixture(params=PLACES)
def servers(request: pytest.FixtureRequest, postgres: PostgresSettings) -> Iterator[Servers]:
    with WeaviateServer() as weaviate, settings_at(request.param) as neo4j:
        yield Servers(postgres, weaviate, neo4j)


def remember(memory: Memory) -> list[Any]:
    return [memory.add({"role": "user", "content": one["text"]}, **ANN) for one in FACTS]


def answers(memory: Memory) -> list[Any]:
    """Return the results of all reads, without ids and scores."""
    found = [memory.search(question, **ANN, explain=True) for question in QUESTIONS]
    explored = memory.graph("Ann", **ANN)
    assert explored is not None
    return [
        [[(item.fact.text, item.path) for item in result] for result in found],
        [result.degraded for result in found],
        sorted(entity.name for entity in memory.entities(**ANN)),
        sorted(str(item.path) for item in explored.reached if "fact" not in str(item.path)),
        sorted(each.text for each in memory.get_all(**ANN).facts),
        memory.verify().ok,
    ]


def test_memory_on_three_servers_answers_as_on_sqlite(servers: Servers) -> None:
    overrides = {"extractor": extractor(*FACTS)}
    with Memory(settings=load_settings({}, environment={}), overrides=overrides) as one_file:
        remember(one_file)
        expected = answers(one_file)

    with servers.memory() as memory:
        receipts = remember(memory)
        found = answers(memory)
        lags = memory.stats().lags

    assert found == expected
    assert [receipt.lagging for receipt in receipts] == [()] * len(FACTS)
    assert {lag.projection: lag.events for lag in lags if lag.events} == {}
    assert servers.weaviate.asked["Search"] > 0


def test_async_memory_sees_facts_written_by_another_memory(servers: Servers) -> None:
    with servers.memory() as memory:
        remember(memory)

    async def ask() -> Any:
        async with servers.memory(AsyncMemory) as other:
            return await other.search(QUESTIONS[0], **ANN)

    result = asyncio.run(ask())
    assert "Eve works at Acme." in [item.fact.text for item in result]
    assert result.degraded == ()


def test_search_is_degraded_without_weaviate_and_complete_after_it_is_back(
    servers: Servers,
) -> None:
    with servers.memory() as memory:
        memory.add(FACTS[0]["text"], **ANN)

    servers.weaviate.__exit__(None, None, None)
    with servers.memory(projections={"wait": 0.5}) as memory:
        receipt = memory.add("I play chess.", infer=False, **ANN)
        away = memory.search("chess", **ANN)
        servers.weaviate.__enter__()
        memory.run_worker(once=True)
        back = memory.search("chess", **ANN)
        behind = [lag.events for lag in memory.stats().lags]

    assert "vector_index" in receipt.lagging
    assert away[0].fact.text == back[0].fact.text == "I play chess."
    assert "vector_index" in away.degraded
    assert back.degraded == ()
    assert not any(behind)
