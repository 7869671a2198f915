"""The store passes the contract suites, and a memory on it keeps its facts."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from remembrancer_jsonlines import JsonLinesLog, JsonLinesSettings, open_store

from remembrancer import Adapter, AsyncMemory, Memory, Store, StoreNeeds, load_settings
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, InvalidRequest
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.recorded import Position
from remembrancer.testing import (
    AuditLogContract,
    FactStoreContract,
    KnowledgeGraphContract,
    UsageStoreContract,
)
from remembrancer.testing.audit_log import append_of, fact_added

PROVIDER = "remembrancer_jsonlines:adapter"


_OPENED: list[Callable[[], None]] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close what the contract suites opened; they close nothing themselves."""
    yield
    while _OPENED:
        _OPENED.pop()()


def log_in(folder: Path) -> JsonLinesLog:
    log = JsonLinesLog(str(folder / "ledger.jsonl"), EventCodec())
    _OPENED.append(log.close)
    return log


def store_in(folder: Path) -> Store:
    def embed(_texts: Sequence[str]) -> dict[str, Vector]:
        return {}

    needs = StoreNeeds(model="m", dimension=4, embed=embed, codec=EventCodec(), blocking=True)
    store = open_store(JsonLinesSettings(path=str(folder / "ledger.jsonl")), needs)
    _OPENED.append(store.close)
    return store


def settings_in(folder: Path) -> Any:
    config = {"audit_log": {"provider": PROVIDER, "path": str(folder / "ledger.jsonl")}}
    return load_settings(config, environment={})


class TestJsonLinesLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> JsonLinesLog:
        return log_in(tmp_path)


class TestFactsOfTheHome(FactStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[Any, Any]:
        store = store_in(tmp_path)
        return store.audit_log, store.fact_store


class TestGraphOfTheHome(KnowledgeGraphContract):
    def make_graph(self, tmp_path: Path) -> tuple[Any, Any]:
        store = store_in(tmp_path)
        return store.audit_log, store.knowledge_graph


class TestUsageOfTheHome(UsageStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[Any, Any]:
        store = store_in(tmp_path)
        return store.audit_log, store.usage_store


def test_append_is_read_back_after_reopening(tmp_path: Path) -> None:
    first = log_in(tmp_path)
    first.append(append_of([fact_added(), fact_added()], idempotency_key="k"))
    before = list(first.read(Position(0)))
    first.close()
    second = log_in(tmp_path)
    assert second.read(Position(0)) == before
    assert second.find_request(before[0].ledger, "k") == before


def test_truncated_last_line_is_removed(tmp_path: Path) -> None:
    first = log_in(tmp_path)
    first.append(append_of([fact_added()]))
    first.append(append_of([fact_added()]))
    first.close()
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    second = log_in(tmp_path)
    second.append(append_of([fact_added()]))
    assert [item.version for item in second.read(Position(0))] == [1, 2]


def test_unreadable_line_is_an_integrity_error_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text("{}\n")
    with pytest.raises(IntegrityError, match=r"ledger\.jsonl:1"):
        log_in(tmp_path)


def test_file_that_is_already_open_is_refused(tmp_path: Path) -> None:
    first = log_in(tmp_path)
    with pytest.raises(AdapterUnavailable, match="another process"):
        log_in(tmp_path)
    first.close()
    log_in(tmp_path).close()


def test_memory_keeps_its_facts_after_reopening(tmp_path: Path) -> None:
    with Memory(settings=settings_in(tmp_path)) as memory:
        memory.add("I live in Paris.", user_id="ann")
        memory.add("I moved to Berlin.", user_id="ann")
    with Memory(settings=settings_in(tmp_path)) as memory:
        (best, *_) = memory.search("Where does Ann live?", user_id="ann")
        assert best.fact.text == "I moved to Berlin."
        assert [fact.status for fact in memory.get_all(user_id="ann").facts] == ["active"]
        assert memory.verify().ok
        assert memory.stats().positions["facts"] == memory.stats().last_position


def test_async_memory_works_on_the_store(tmp_path: Path) -> None:
    async def live() -> str:
        async with await AsyncMemory.open(settings=settings_in(tmp_path)) as memory:
            await memory.add("I live in Paris.", user_id="ann")
            return (await memory.search("Where?", user_id="ann"))[0].fact.text

    assert asyncio.run(live()) == "I live in Paris."


def test_audit_log_without_a_store_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Adapter(settings=JsonLinesSettings, build=lambda _settings, _needs: log_in(tmp_path))
    monkeypatch.setattr("remembrancer_jsonlines.adapter", alone)
    with pytest.raises(InvalidRequest, match=r"audit_log\.provider: .*remembrancer\.Store"):
        Memory(settings=settings_in(tmp_path))
