"""The log keeps the contract of ``AuditLog``, the facts that of ``FactStore``; and a memory whose
home it is forgets nothing.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from remembrancer_jsonlines import JsonLinesLog, JsonLinesSettings, open_home

from remembrancer import AsyncMemory, Memory, load_settings
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
from remembrancer.wiring.registry import Adapter
from remembrancer.wiring.store import Store, StoreNeeds

PROVIDER = "remembrancer_jsonlines:adapter"


_OPENED: list[Callable[[], None]] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """The suites open and never close: that is left to whoever knows what there is to close."""
    yield
    while _OPENED:
        _OPENED.pop()()


def log_in(folder: Path) -> JsonLinesLog:
    log = JsonLinesLog(str(folder / "ledger.jsonl"), EventCodec())
    _OPENED.append(log.close)
    return log


def home_in(folder: Path) -> Store:
    def embed(_texts: Sequence[str]) -> dict[str, Vector]:
        return {}

    needs = StoreNeeds(model="m", dimension=4, embed=embed, codec=EventCodec(), blocking=True)
    home = open_home(JsonLinesSettings(path=str(folder / "ledger.jsonl")), needs)
    _OPENED.append(home.close)
    return home


def settings_in(folder: Path) -> Any:
    config = {"audit_log": {"provider": PROVIDER, "path": str(folder / "ledger.jsonl")}}
    return load_settings(config, environment={})


class TestJsonLinesLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> JsonLinesLog:
        return log_in(tmp_path)


class TestFactsOfTheHome(FactStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[Any, Any]:
        home = home_in(tmp_path)
        return home.audit_log, home.fact_store


class TestGraphOfTheHome(KnowledgeGraphContract):
    def make_graph(self, tmp_path: Path) -> tuple[Any, Any]:
        home = home_in(tmp_path)
        return home.audit_log, home.knowledge_graph


class TestUsageOfTheHome(UsageStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[Any, Any]:
        home = home_in(tmp_path)
        return home.audit_log, home.usage_store


def test_what_was_appended_is_read_by_the_next_process(tmp_path: Path) -> None:
    first = log_in(tmp_path)
    first.append(append_of([fact_added(), fact_added()], idempotency_key="k"))
    before = list(first.read(Position(0)))
    first.close()
    second = log_in(tmp_path)
    assert second.read(Position(0)) == before
    assert second.find_request(before[0].ledger, "k") == before


def test_a_line_that_was_cut_short_is_as_if_it_had_never_been(tmp_path: Path) -> None:
    first = log_in(tmp_path)
    first.append(append_of([fact_added()]))
    first.append(append_of([fact_added()]))
    first.close()
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    second = log_in(tmp_path)
    second.append(append_of([fact_added()]))
    assert [item.version for item in second.read(Position(0))] == [1, 2]


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text("{}\n")
    with pytest.raises(IntegrityError, match=r"ledger\.jsonl:1"):
        log_in(tmp_path)


def test_a_file_that_another_has_is_refused(tmp_path: Path) -> None:
    first = log_in(tmp_path)
    with pytest.raises(AdapterUnavailable, match="another process"):
        log_in(tmp_path)
    first.close()
    log_in(tmp_path).close()


def test_a_memory_whose_home_it_is_forgets_nothing(tmp_path: Path) -> None:
    with Memory(settings=settings_in(tmp_path)) as memory:
        memory.add("I live in Paris.", user_id="ann")
        memory.add("I moved to Berlin.", user_id="ann")
    with Memory(settings=settings_in(tmp_path)) as memory:
        (best, *_) = memory.search("Where does Ann live?", user_id="ann")
        assert best.fact.text == "I moved to Berlin."
        assert [fact.status for fact in memory.get_all(user_id="ann").facts] == ["active"]
        assert memory.verify().ok
        assert memory.stats().positions["facts"] == memory.stats().last_position


def test_the_other_face_works_over_it_too(tmp_path: Path) -> None:
    async def live() -> str:
        async with await AsyncMemory.open(settings=settings_in(tmp_path)) as memory:
            await memory.add("I live in Paris.", user_id="ann")
            return (await memory.search("Where?", user_id="ann"))[0].fact.text

    assert asyncio.run(live()) == "I live in Paris."


def test_an_audit_log_that_brings_only_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Adapter(settings=JsonLinesSettings, build=lambda _settings, _needs: log_in(tmp_path))
    monkeypatch.setattr("remembrancer_jsonlines.adapter", alone)
    with pytest.raises(InvalidRequest, match=r"audit_log\.provider: .*HomeStore"):
        Memory(settings=settings_in(tmp_path))
