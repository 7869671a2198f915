"""Several processes share one file: no write is lost or done twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.domain.events import MessageObserved
from remembrancer.domain.facts.fact import FactStatus
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.wiring.settings import load_settings
from tests.helpers.remote import Refused, Remote

pytestmark = pytest.mark.slow

ADA: dict[str, Any] = {"user_id": "ada"}
PROCESSES = 4
DIMENSION, OTHER_DIMENSION = 32, 16


def at_once(processes: Sequence[Remote], *calls: Sequence[tuple[str, Any]]) -> list[list[Any]]:
    """Run the calls of all processes concurrently; fails if one of them is refused."""
    for process, its_calls in zip(processes, calls, strict=True):
        process.begin(*its_calls)
    answers = [process.answers() for process in processes]
    refused = [answer for its in answers for answer in its if isinstance(answer, Refused)]
    assert refused == []
    return answers


def opened(path: Path, dimension: int = DIMENSION) -> Memory:
    config = {"audit_log": {"path": str(path)}, "embedder": {"dimension": dimension}}
    return Memory(settings=load_settings(config, environment={}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shared.db"


@pytest.fixture(scope="module")
def idle() -> Iterator[list[Remote]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Remote()) for _ in range(PROCESSES)]


@pytest.fixture
def processes(path: Path, idle: list[Remote]) -> list[Remote]:
    """Processes that have opened the file."""
    at_once(idle, *[[opening(path)]] * PROCESSES)
    return idle


def opening(path: Path) -> tuple[str, Any]:
    return ("open", {"path": str(path), "dimension": DIMENSION})


@pytest.mark.parametrize("infer", [True, False])
def test_same_statement_from_all_processes_becomes_one_fact(
    path: Path, processes: list[Remote], infer: bool
) -> None:
    statements = [f"I like the number {number}." for number in range(10)]
    for statement in statements:
        call = ("add", {"messages": statement, "infer": infer, **ADA})
        receipts = at_once(processes, *[[call]] * PROCESSES)
        decisions = [receipt["verdicts"][0]["decision"] for (receipt,) in receipts]
        assert sorted(decisions) == ["add", *["reaffirm"] * (PROCESSES - 1)]
    with opened(path) as memory:
        facts = memory.get_all(**ADA).facts
        assert sorted(fact.text for fact in facts) == sorted(statements)
        assert {(len(fact.evidence), fact.reaffirmed) for fact in facts} == {(PROCESSES, 3)}
        stats = memory.stats()
        assert (stats.messages, stats.pending) == (PROCESSES * len(statements), 0)
        assert memory.verify().faults == ()


def test_request_sent_by_all_processes_is_done_once(path: Path, processes: list[Remote]) -> None:
    for number in range(10):
        arguments = {"messages": f"I like {number} and {number + 1}.", **ADA}
        call = ("add", {**arguments, "idempotency_key": f"{number}", "infer": number % 2 == 0})
        receipts = [receipt for (receipt,) in at_once(processes, *[[call]] * PROCESSES)]
        assert len({str(receipt["messages"]) for receipt in receipts}) == 1
        assert len({str(receipt["verdicts"]) for receipt in receipts}) == 1
    with opened(path) as memory:
        assert memory.stats().messages == 10
        assert memory.stats().pending == 0
        assert memory.verify().faults == ()


def test_concurrent_updates_all_appear_in_the_history(path: Path, processes: list[Remote]) -> None:
    turns = 15
    with opened(path) as memory:
        added = [memory.add(text, **ADA) for text in ("I like tea.", "I like rain.")]
    fact_ids = [receipt.verdicts[0].fact_id for receipt in added]
    texts = [[f"Correction {turn} of {me}." for turn in range(turns)] for me in range(4)]
    at_once(
        processes,
        *(
            [
                ("update", {"fact_id": fact_ids[turn % 2], "text": text})
                for turn, text in enumerate(its)
            ]
            for its in texts
        ),
    )
    with opened(path) as memory:
        histories = [memory.history(fact_id) for fact_id in fact_ids if fact_id]
        for parity, history in enumerate(histories):
            said = [version.text for version in history[1:]]
            assert sorted(said) == sorted(text for its in texts for text in its[parity::2])
            for its in texts:
                assert [text for text in said if text in its] == its[parity::2]
            ends = [version.recorded.end for version in history]
            assert ends == [*(version.recorded.start for version in history[1:]), None]
        assert memory.verify().faults == ()


def test_conflicting_statements_leave_one_active_fact(path: Path, processes: list[Remote]) -> None:
    cities = ["Oslo", "Lisbon", "Kyoto", "Quito"]
    at_once(
        processes,
        *(
            [
                ("add", {"messages": f"I now live in {cities[(me + turn) % 4]}.", **ADA})
                for turn in range(8)
            ]
            for me in range(4)
        ),
    )
    with opened(path) as memory:
        (home,) = memory.get_all(**ADA).facts
        assert home.status is FactStatus.ACTIVE
        found = [item.fact.text for item in memory.search("Where do I live?", **ADA)]
        assert found == [home.text]
        assert memory.stats().pending == 0
        assert memory.verify().faults == ()


def test_fact_is_deleted_by_exactly_one_process(path: Path, processes: list[Remote]) -> None:
    with opened(path) as memory:
        fact_id = memory.add("I like tea.", **ADA).verdicts[0].fact_id
    for process in processes:
        process.begin(("delete", {"fact_id": fact_id}))
    answers = [process.answers()[0] for process in processes]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert [refusal.kind for refusal in refused] == ["NotFound"] * (PROCESSES - 1)
    with opened(path) as memory:
        assert [version.status.value for version in memory.history(fact_id or "")] == [
            "active",
            "retracted",
        ]


def test_new_file_can_be_opened_by_all_processes_at_once(
    tmp_path: Path, idle: list[Remote]
) -> None:
    for turn in range(5):
        path = tmp_path / f"{turn}.db"
        at_once(
            idle,
            *(
                [opening(path), ("add", {"messages": f"I like the number {me}.", **ADA})]
                for me in range(PROCESSES)
            ),
        )
        with opened(path) as memory:
            assert len(memory.get_all(**ADA).facts) == PROCESSES
            assert memory.verify().faults == ()


def test_acknowledged_write_is_visible_to_another_process(
    processes: list[Remote],
) -> None:
    one, other, *_ = processes
    for number in range(10):
        receipt = one.call("add", messages=f"I like the number {number}.", **ADA)
        fact_id = receipt["verdicts"][0]["fact_id"]
        found = other.call("search", query=f"number {number}", limit=100, **ADA)
        assert fact_id in [item["fact"]["fact_id"] for item in found["results"]]
        other.call("delete", fact_id=fact_id)
        found = one.call("search", query=f"number {number}", limit=100, **ADA)
        assert fact_id not in [item["fact"]["fact_id"] for item in found["results"]]
        one, other = other, one


def test_log_reader_skips_no_event_while_others_write(path: Path, processes: list[Remote]) -> None:
    turns = 20
    for me, process in enumerate(processes):
        process.begin(
            *(
                ("add", {"messages": f"I like {turn}.", "user_id": f"{me * (turn % 2)}"})
                for turn in range(turns)
            )
        )
    database = Database(SqliteSettings(path=str(path)), SCHEMA_VERSIONS)
    log = SqliteAuditLog(database)
    followed: list[Recorded] = []
    while messages(followed) < PROCESSES * turns:
        page = log.read(Position(len(followed)), 7)
        followed += page
        assert [item.position for item in page] == list(
            range(len(followed) - len(page) + 1, len(followed) + 1)
        )
    for process in processes:
        process.answers()
    followed += log.read(Position(len(followed)), 100)
    assert followed == list(log.read(Position(0), 10_000))
    assert log.last_position() == len(followed)
    database.close()


def messages(recorded: Sequence[Recorded]) -> int:
    return sum(isinstance(item.event, MessageObserved) for item in recorded)


def test_reader_sees_one_version_of_each_fact_during_updates(
    path: Path, processes: list[Remote]
) -> None:
    turns = 20
    with opened(path) as memory:
        added = [memory.add(text, **ADA) for text in ("I like tea.", "I like rain.")]
        fact_ids = {receipt.verdicts[0].fact_id for receipt in added}
        for me, process in enumerate(processes):
            process.begin(
                *(
                    ("update", {"fact_id": fact_id, "text": f"Correction {turn} of {me}."})
                    for turn in range(turns)
                    for fact_id in fact_ids
                )
            )
        corrected = len(added)
        try:
            while corrected < len(added) * (PROCESSES * turns + 1):
                found = [item.fact.fact_id for item in memory.search("correction", **ADA)]
                listed = [fact.fact_id for fact in memory.get_all(**ADA).facts]
                assert sorted(found) == sorted(listed) == sorted(filter(None, fact_ids))
                assert memory.verify().faults == ()
                corrected = memory.stats().versions
        finally:
            # Other tests use the same processes.
            answers = [process.answers() for process in processes]
        assert not [answer for its in answers for answer in its if isinstance(answer, Refused)]


def test_process_with_an_outdated_embedder_is_refused_and_loses_nothing(
    path: Path, processes: list[Remote]
) -> None:
    # Given a process that has the file open
    old = processes[0]
    old.call("add", messages="I like tea.", **ADA)
    # When another process rebuilds the index for its own embedder
    with opened(path, OTHER_DIMENSION) as memory:
        memory.rebuild("read_models")
        events = memory.stats().events
        # Then the first process can still read by keyword, but all its writes are refused
        found = old.call("search", query="tea", **ADA)
        assert found["degraded"] == ["similarity"]
        assert [item["fact"]["text"] for item in found["results"]] == ["I like tea."]
        fact_id = found["results"][0]["fact"]["fact_id"]
        writes: list[tuple[str, dict[str, Any]]] = [
            ("add", {"messages": "I like rain.", **ADA}),
            ("add", {"messages": "I like rain.", "infer": False, **ADA}),
            ("update", {"fact_id": fact_id, "text": "I like mate."}),
            ("delete", {"fact_id": fact_id}),
        ]
        for method, arguments in writes:
            with pytest.raises(Refused, match=r"embedder: .*rebuild read_models") as refusal:
                old.call(method, **arguments)
            assert refusal.value.kind == "InvalidRequest"
        assert memory.stats().events == events
        # And the other process continues
        memory.add("I like snow.", **ADA)
        assert memory.search("snow", **ADA)[0].fact.text == "I like snow."
        assert memory.verify().faults == ()
