"""Contract tests of the LangChain index together with a keyword index, and its own tests."""

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
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.recall.hybrid_index import HybridIndex
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, IndexQuery
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.runtime.sync_bridge import lift_inline
from remembrancer.testing.external_index import ExternalIndexContract
from remembrancer.testing.vector_index import DIMENSION, LATER, document, vector

STORE = f"{__name__}:Probing"
ALICE = Scope(user_id="alice")


class Probing(InMemoryVectorStore):
    """Embeds a text when created to find the dimension, as many stores do; fails on demand."""

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
    """Has no ``get_by_ids``, and can report failed deletes."""

    obedient = True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Held]:
        raise NotImplementedError

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> Any:
        super().delete(ids, **kwargs)
        return self.obedient


def of_ledger(ledger: str) -> Any:
    """Return a filter of ``InMemoryVectorStore``."""
    return lambda held: held.metadata["ledger"] == ledger


class Both(HybridIndex):
    """A hybrid index that writes to both parts."""

    never_suspends = True

    def __init__(self) -> None:
        lift = lift_inline(BackgroundLoop())
        index = LangchainVectorIndex(LangchainSettings(store=STORE), "m", DIMENSION)
        self.vectors, self.keywords = lift(index), lift(InMemoryVectorIndex())
        super().__init__(self.vectors, self.keywords)

    async def put(self, documents: Sequence[Document]) -> None:
        await self.vectors.put(documents)
        await self.keywords.put(documents)

    async def remove(self, keys: Sequence[FactKey]) -> None:
        await self.vectors.remove(keys)
        await self.keywords.remove(keys)

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        found: Mapping[str, Vector] = await self.keywords.vectors_for(texts)
        return found

    async def count(self, ledger: LedgerId) -> int:
        found: int = await self.keywords.count(ledger)
        return found

    async def clear(self) -> None:
        await self.vectors.clear()
        await self.keywords.clear()

    async def ping(self) -> str:
        answer: str = await self.vectors.ping()
        return answer

    async def close(self) -> None:
        await self.vectors.close()


class TestWithKeywordIndex(ExternalIndexContract):
    whole_hits = False

    def make_index(self, tmp_path: Path) -> Both:
        return Both()

    def make_neighbour(self, tmp_path: Path) -> Both:
        pytest.skip("declared: a store is used by one index only")


def index_of(**settings: Any) -> LangchainVectorIndex:
    return LangchainVectorIndex(LangchainSettings(**{"store": STORE, **settings}), "m", DIMENSION)


def store_of(index: LangchainVectorIndex) -> Probing:
    index.ping()
    store = index._made
    assert isinstance(store, Probing)
    return store


QUERY = IndexQuery(scope=ALICE, vector=vector(1), now=LATER)


def test_unsupported_calls_raise_invalid_request() -> None:
    index = index_of()
    assert index.signals == {"similarity"}
    assert dict(index.vectors_for(["tea"])) == {}
    for lacking, ask in (
        ("keyword search", lambda: index.search(evolve(QUERY, text="tea", vector=None))),
        ("speakers", lambda: index.speakers(ALICE.ledger)),
        ("counts", lambda: index.count(ALICE.ledger)),
    ):
        with pytest.raises(InvalidRequest, match=lacking):
            ask()


def test_store_gets_the_text_and_string_metadata() -> None:
    index = index_of()
    tea = document("green tea", attributes={"metadata": {"n": 1}}, speaker="Alice")
    index.put([tea])
    (held,) = store_of(index).similarity_search_by_vector([1.0, 0.0, 0.0, 0.0])
    assert held.page_content == "green tea"
    assert all(isinstance(value, str) for value in held.metadata.values())


def test_search_reads_more_until_enough_hits_are_eligible() -> None:
    index = index_of()
    others = [document("tea", scope=Scope(user_id="bob"), vector=vector(1)) for _ in range(60)]
    mine = document("tea", vector=vector(0.5, 1))
    index.put([*others, mine])
    store = store_of(index)
    store.asked.clear()
    (hit,) = index.search(evolve(QUERY, limit=2))
    assert (hit.key, store.asked) == (mine.key, [4, 16, 64])


def test_search_with_narrow_reads_one_ledger_only() -> None:
    index = index_of(narrow=f"{__name__}:of_ledger")
    others = [document("tea", scope=Scope(user_id="bob"), vector=vector(1)) for _ in range(60)]
    mine = document("tea", vector=vector(0.5, 1))
    index.put([*others, mine])
    store = store_of(index)
    store.asked.clear()
    (hit,) = index.search(evolve(QUERY, limit=2))
    assert (hit.key, store.asked) == (mine.key, [4])


def test_search_beyond_most_raises_adapter_unavailable() -> None:
    index = index_of(most=8)
    others = [document("tea", scope=Scope(user_id="bob"), vector=vector(1)) for _ in range(8)]
    index.put([*others, document("tea", vector=vector(0, 1))])
    with pytest.raises(AdapterUnavailable, match=r"vector_index\.narrow"):
        index.search(evolve(QUERY, limit=2))


def test_cleared_index_is_empty_and_usable() -> None:
    index = index_of()
    index.put([document(f"tea {n}", vector=vector(1, n)) for n in range(1_100)])
    index.clear()
    assert store_of(index).store == {}
    tea = document("tea")
    index.put([tea])
    assert [hit.key for hit in index.search(QUERY)] == [tea.key]


def test_failing_store_raises_adapter_unavailable_until_it_recovers() -> None:
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


def test_document_refused_by_the_store_raises_invalid_request() -> None:
    index = index_of()
    store_of(index).failing = ValueError("metadata too large")
    with pytest.raises(InvalidRequest, match="metadata too large"):
        index.put([document("tea")])


def test_store_without_get_by_ids_works_and_a_failed_delete_is_reported() -> None:
    index = index_of(store=f"{__name__}:Sparing")
    tea = document("tea")
    index.put([tea])
    index.put([evolve(tea, text="green tea")])
    assert [hit.key for hit in index.search(QUERY)] == [tea.key]
    store = store_of(index)
    assert isinstance(store, Sparing)
    store.obedient = False
    with pytest.raises(AdapterUnavailable, match="did not delete"):
        index.remove([tea.key])


def test_import_error_of_the_store_names_it() -> None:
    with pytest.raises(InvalidRequest, match=r"vector_index\.store: cannot import nowhere:made"):
        index_of(store="nowhere:made").ping()


def test_ping_names_the_store_and_close_is_idempotent() -> None:
    index = index_of()
    assert index.ping().endswith(", Probing")
    index.close()
    index.close()


def test_fingerprint_changes_with_each_run_unless_the_store_is_persistent() -> None:
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
def test_memory_finds_the_same_as_with_the_index_of_the_store(question: str) -> None:
    with Memory.from_config(CONFIG) as memory, Memory.from_config({"audit_log": "memory"}) as own:
        for text in SAID:
            assert memory.add(text, user_id="ann").lagging == ()
            own.add(text, user_id="ann")
        assert found_in(memory, question) == found_in(own, question)
        assert memory.verify().ok


def test_async_memory_searches_the_index() -> None:
    async def searched() -> list[str]:
        async with AsyncMemory.from_config(CONFIG) as memory:
            for text in SAID:
                await memory.add(text, user_id="ann")
            found = await memory.search("green tea", user_id="ann")
            return [item.fact.text for item in found]

    assert asyncio.run(searched())[0] == SAID[1]
