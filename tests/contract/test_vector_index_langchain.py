"""A LangChain store keeps the contract beside an index that knows words, and says what it lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from langchain_core.documents import Document as Held
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from remembrancer import AsyncMemory, Memory
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.vector_index.langchain import LangchainSettings, LangchainVectorIndex
from remembrancer.application.recall.hybrid_index import HybridIndex
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, IndexQuery
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.runtime.sync_bridge import BackgroundLoop, lift_inline
from remembrancer.testing.external_index import ExternalIndexContract
from remembrancer.testing.vector_index import DIMENSION, LATER, document, vector

STORE = f"{__name__}:Probing"
ALICE = Scope(user_id="alice")


class Probing(InMemoryVectorStore):
    """Looks how long vectors are when it is made, as many do, and fails on demand."""

    failing: Exception | None = None
    asked: list[int]

    def __init__(self, embedding: Embeddings) -> None:
        super().__init__(embedding)
        self.size = len(embedding.embed_query("How long?"))
        self.asked = []

    def add_documents(
        self, documents: list[Held], ids: list[str] | None = None, **kwargs: Any
    ) -> list[str]:
        if self.failing is not None:
            raise self.failing
        return super().add_documents(documents, ids, **kwargs)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Held]:
        self.asked.append(k)
        assert len(embedding) == self.size
        if self.failing is not None:
            raise self.failing
        return super().similarity_search_by_vector(embedding, k, **kwargs)


class Sparing(Probing):
    """Can't look by id, and may not do as it is told."""

    obedient = True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Held]:
        raise NotImplementedError

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> Any:
        super().delete(ids, **kwargs)
        return self.obedient


def of_ledger(ledger: str) -> Any:
    """A filter in the terms of ``InMemoryVectorStore``."""
    return lambda held: held.metadata["ledger"] == ledger


class Both(HybridIndex):
    """A joined index that is fed, both parts with the same."""

    never_suspends = True

    def __init__(self) -> None:
        lift = lift_inline(BackgroundLoop())
        index = LangchainVectorIndex(LangchainSettings(store=STORE), "m", DIMENSION)
        self.near, self.worded = lift(index), lift(InMemoryVectorIndex())
        super().__init__(self.near, self.worded)

    async def put(self, documents: Sequence[Document]) -> None:
        await self.near.put(documents)
        await self.worded.put(documents)

    async def remove(self, keys: Sequence[FactKey]) -> None:
        await self.near.remove(keys)
        await self.worded.remove(keys)

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        found: Mapping[str, Vector] = await self.worded.vectors_for(texts)
        return found

    async def count(self, ledger: LedgerId) -> int:
        found: int = await self.worded.count(ledger)
        return found

    async def clear(self) -> None:
        await self.near.clear()
        await self.worded.clear()

    async def ping(self) -> str:
        answer: str = await self.near.ping()
        return answer

    async def close(self) -> None:
        await self.near.close()


class TestBesideWords(ExternalIndexContract):
    whole_hits = False

    def make_index(self, tmp_path: Path) -> Both:
        return Both()

    def make_neighbour(self, tmp_path: Path) -> Both:
        pytest.skip("declared: a store is for one index alone")


def index_of(**settings: Any) -> LangchainVectorIndex:
    return LangchainVectorIndex(LangchainSettings(**{"store": STORE, **settings}), "m", DIMENSION)


def store_of(index: LangchainVectorIndex) -> Probing:
    index.ping()
    store = index._made
    assert isinstance(store, Probing)
    return store


QUERY = IndexQuery(scope=ALICE, vector=vector(1), now=LATER)


def test_it_says_what_it_does_not_know() -> None:
    index = index_of()
    assert index.signals == {"similarity"}
    assert dict(index.vectors_for(["tea"])) == {}
    for lacking, ask in (
        ("keywords", lambda: index.search(evolve(QUERY, text="tea", vector=None))),
        ("speakers", lambda: index.speakers(ALICE.ledger)),
        ("counts", lambda: index.count(ALICE.ledger)),
    ):
        with pytest.raises(InvalidRequest, match=lacking):
            ask()


def test_the_store_keeps_texts_and_all_else_as_strings_beside_them() -> None:
    index = index_of()
    tea = document("green tea", attributes={"metadata": {"n": 1}}, speaker="Alice")
    index.put([tea])
    (held,) = store_of(index).similarity_search_by_vector([1.0, 0.0, 0.0, 0.0])
    assert held.page_content == "green tea"
    assert all(isinstance(value, str) for value in held.metadata.values())


def test_it_looks_further_until_there_are_enough_that_may_be_found() -> None:
    index = index_of()
    others = [document("tea", scope=Scope(user_id="bob"), vector=vector(1)) for _ in range(60)]
    mine = document("tea", vector=vector(0.5, 1))
    index.put([*others, mine])
    store = store_of(index)
    store.asked.clear()
    (hit,) = index.search(evolve(QUERY, limit=2))
    assert (hit.key, store.asked) == (mine.key, [4, 16, 64])


def test_it_asks_for_one_ledger_only_where_it_is_told_how() -> None:
    index = index_of(narrow=f"{__name__}:of_ledger")
    others = [document("tea", scope=Scope(user_id="bob"), vector=vector(1)) for _ in range(60)]
    mine = document("tea", vector=vector(0.5, 1))
    index.put([*others, mine])
    store = store_of(index)
    store.asked.clear()
    (hit,) = index.search(evolve(QUERY, limit=2))
    assert (hit.key, store.asked) == (mine.key, [4])


def test_what_it_may_not_look_far_enough_for_is_no_answer() -> None:
    index = index_of(most=8)
    others = [document("tea", scope=Scope(user_id="bob"), vector=vector(1)) for _ in range(8)]
    index.put([*others, document("tea", vector=vector(0, 1))])
    with pytest.raises(AdapterUnavailable, match=r"vector_index\.narrow"):
        index.search(evolve(QUERY, limit=2))


def test_what_was_cleared_is_empty_and_ready_again() -> None:
    index = index_of()
    index.put([document(f"tea {n}", vector=vector(1, n)) for n in range(1_100)])
    index.clear()
    assert store_of(index).store == {}
    tea = document("tea")
    index.put([tea])
    assert [hit.key for hit in index.search(QUERY)] == [tea.key]


def test_a_store_in_trouble_is_unavailable_until_it_is_well() -> None:
    index = index_of()
    tea = document("tea")
    index.put([tea])
    store = store_of(index)
    store.failing = ConnectionError("down")
    for call in (lambda: index.put([tea]), lambda: index.search(QUERY), index.ping):
        with pytest.raises(AdapterUnavailable, match=r"langchain: the store failed: .*down"):
            call()
    store.failing = None
    index.put([tea])
    assert [hit.key for hit in index.search(QUERY)] == [tea.key]


def test_what_a_store_won_t_take_is_refused() -> None:
    index = index_of()
    store_of(index).failing = ValueError("metadata too large")
    with pytest.raises(InvalidRequest, match="metadata too large"):
        index.put([document("tea")])


def test_a_store_that_can_t_look_by_id_will_do_and_one_that_does_not_delete_is_told_on() -> None:
    index = index_of(store=f"{__name__}:Sparing")
    tea = document("tea")
    index.put([tea])
    index.put([evolve(tea, text="green tea")])
    assert [hit.key for hit in index.search(QUERY)] == [tea.key]
    store = store_of(index)
    assert isinstance(store, Sparing)
    store.obedient = False
    with pytest.raises(AdapterUnavailable, match="not deleted"):
        index.remove([tea.key])


def test_a_store_that_can_t_be_imported_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"vector_index\.store: nowhere:made"):
        index_of(store="nowhere:made").ping()


def test_it_tells_who_answers_and_may_be_closed_twice() -> None:
    index = index_of()
    assert index.ping().endswith(", Probing")
    index.close()
    index.close()


def test_a_store_that_forgets_is_fed_again_and_one_that_keeps_is_not() -> None:
    assert index_of().fingerprint == index_of().fingerprint
    assert index_of(persistent=False).fingerprint != index_of(persistent=False).fingerprint


CONFIG = {
    "audit_log": "memory",
    "vector_index": {"provider": "langchain", "store": STORE, "persistent": False},
}
SAID = ["I live in Paris.", "I like green tea.", "My sister Eve works at Acme."]


def found_in(memory: Memory, question: str) -> list[tuple[str, float]]:
    result = memory.search(question, user_id="ann")
    assert result.degraded == ()
    return [(item.fact.text, round(item.score, 5)) for item in result]


@pytest.mark.parametrize("question", ["green tea", "Where does Eve work?", "xylophones", "?!"])
def test_a_memory_finds_the_same_as_with_its_own_index(question: str) -> None:
    with Memory.from_config(CONFIG) as memory, Memory.from_config({"audit_log": "memory"}) as own:
        for text in SAID:
            assert memory.add(text, user_id="ann").lagging == ()
            own.add(text, user_id="ann")
        assert found_in(memory, question) == found_in(own, question)
        assert memory.verify().ok


def test_an_async_memory_searches_there_too() -> None:
    async def searched() -> list[str]:
        async with AsyncMemory.from_config(CONFIG) as memory:
            for text in SAID:
                await memory.add(text, user_id="ann")
            found = await memory.search("green tea", user_id="ann")
            return [item.fact.text for item in found]

    assert asyncio.run(searched())[0] == SAID[1]
