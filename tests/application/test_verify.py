"""``verify``: what is checked and what is not, the order of faults, and several processes."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remembrancer import InvalidRequest, Memory
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.sqlite.inspection import processes
from remembrancer.domain.audit.faults import (
    MAX_FAULTS,
    Fault,
    FaultKind,
    Findings,
    shown_apart,
)
from remembrancer.wiring.settings import load_settings

IN_MEMORY = load_settings({"audit_log": "memory"}, environment={})


def fill(memory: Memory) -> None:
    for owner in ("ann", "bob", "cleo"):
        memory.add("I like green tea. I live in Paris.", user_id=owner)


class Remote(HashingEmbedder):
    """An embedder that does not compute in this process."""

    @property
    def local(self) -> bool:
        return False


def test_memory_without_a_file_is_verified_as_a_whole() -> None:
    with Memory(settings=IN_MEMORY) as memory:
        fill(memory)
        verification = memory.verify()
    assert verification.faults == ()
    assert verification.complete
    assert verification.checked["documents"] == verification.checked["vectors"] >= 6


def test_changed_fact_in_memory_is_named() -> None:
    with Memory(settings=IN_MEMORY) as memory:
        fill(memory)
        states: Any = memory._inner._container.fact_store()._states
        facts = states["user:ann"].facts
        fact_id = next(iter(facts))
        facts[fact_id] = ()
        first = memory.verify().first
    assert first is not None
    assert (first.table, first.key, first.ledger) == ("facts", fact_id, "user:ann")


def test_rows_of_an_external_engine_are_not_checked_and_that_is_said() -> None:
    overrides = {"vector_index": InMemoryVectorIndex()}
    with Memory(settings=IN_MEMORY, overrides=overrides) as memory:
        fill(memory)
        verification = memory.verify()
        chain = memory.verify(chain=True)
    assert (verification.ok, verification.complete) == (True, False)
    assert [part.what for part in verification.unchecked] == ["vector_index"]
    # The log alone was asked for, and is checked.
    assert chain.complete


def test_vectors_of_a_remote_embedder_are_not_checked_and_that_is_said(tmp_path: Path) -> None:
    with Memory(tmp_path / "app.db", overrides={"embedder": Remote()}) as memory:
        fill(memory)
        memory.refill()
        verification = memory.verify()
    assert (verification.ok, verification.complete) == (True, False)
    assert [part.what for part in verification.unchecked] == ["vectors"]


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5])
def test_jobs_must_be_a_whole_number_from_1_on(jobs: Any) -> None:
    with Memory(settings=IN_MEMORY) as memory, pytest.raises(InvalidRequest, match=r"^jobs: "):
        memory.verify(jobs=jobs)


@pytest.mark.slow
def test_several_processes_find_the_same_faults_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "WORTH", 1)
    # Given faults in several ledgers
    path = tmp_path / "app.db"
    with Memory(path) as memory:
        fill(memory)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE fact SET expires_at = 1 WHERE version = 1")
        connection.execute("UPDATE event SET actor = 'x' WHERE version = 2")
    # When one process and three look for them
    with Memory(path) as memory:
        one, three = memory.verify(), memory.verify(jobs=3)
    # Then they find the same
    assert one.faults_total > 3
    assert three == one


@pytest.mark.slow
def test_command_tells_by_its_code_what_was_found(tmp_path: Path) -> None:
    path, remote = tmp_path / "app.db", tmp_path / "broken.db"
    with Memory(path) as memory:
        fill(memory)
    shutil.copy(path, remote)
    with closing(sqlite3.connect(remote)) as connection, connection:
        connection.execute("UPDATE fact SET expires_at = 1")
    assert code_of("--db", str(path)) == 0
    assert code_of("--db", str(path), "--chain") == 0
    assert code_of("--db", str(path), "--jobs", "2") == 0
    assert code_of("--db", str(remote)) == 1


def code_of(*arguments: str) -> int:
    command = [sys.executable, "-m", "remembrancer", "verify", *arguments]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


def fault(projection: str, key: str) -> Fault:
    return Fault(kind=FaultKind.ROW_DIFFERS, projection=projection, key=key)


def keys(faults: Sequence[Fault]) -> list[str | None]:
    return [each.key for each in faults]


def test_faults_in_the_log_come_first_and_all_are_counted() -> None:
    # Given more faults in rows than are listed, and then one in the log
    findings, later = Findings(), Findings()
    for number in range(MAX_FAULTS + 5):
        findings.fault(fault("facts", f"{number}"))
    later.fault(fault("log", "head"))
    findings.add(later)
    # Then it is the first
    assert keys(findings.faults)[:2] == ["head", "0"]
    assert len(findings.faults) == MAX_FAULTS
    assert findings.total == MAX_FAULTS + 6


def test_long_values_are_shown_where_they_differ() -> None:
    expected, found = f"{'a' * 500}tea{'b' * 500}", f"{'a' * 500}gin{'b' * 500}"
    shown = shown_apart(expected, found)
    assert all(len(each) < 250 for each in shown)
    assert "tea" in shown[0]
    assert "gin" in shown[1]
