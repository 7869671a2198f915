"""A writer is killed repeatedly: acknowledged writes survive, all others can be sent again.

``SIGKILL`` ends a process between any two instructions and leaves the files as the kernel has
them. The tests show that no state between commits is visible, and that no receipt is returned
before its commit. They do not cover power loss; see ``test_power_loss``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from remembrancer import Memory
from remembrancer.domain.errors import NotFound
from remembrancer.testing.depth import failing_steps, scaled
from tests.crash.kills import kill
from tests.crash.remains import check_agreement, check_promises, remains
from tests.crash.writer import (
    DIMENSION,
    defer_until,
    do_until,
    open_until,
    opened,
    read_journal,
)
from tests.helpers.processes import was_killed

KILLS = scaled(25, least=2)
"""Kills per seed, at random moments, on one growing file."""

STRIDE = 7
"""Statements between two kills in the default profile; "thorough" kills at every statement."""

OTHER_DIMENSION = 16
ADA: dict[str, Any] = {"user_id": "ada"}

Kills: TypeAlias = Callable[[Callable[[int], bool]], Iterator[int]]
"""Kills a process at one statement after another; see ``failing_steps``."""


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> Kills:
    return partial(failing_steps, usual=STRIDE, name=request.node.name)


@pytest.mark.parametrize("seed", range(4))
def test_acknowledged_writes_survive_a_kill_at_any_moment(tmp_path: Path, seed: int) -> None:
    entries = list(chain.from_iterable(kill(tmp_path, KILLS, seed)))
    assert any(entry.receipt is not None for entry in entries)


def prepare(path: Path) -> None:
    """Create a small memory for the writes under test."""
    with opened(path) as memory:
        memory.add("I live in Oslo.", **ADA)
        memory.add("I like chess.", **ADA)
        memory.add("I like tea.", infer=False, **ADA)
        memory.add("I like rain.", run_id="monday", infer=False, **ADA)


def news(_facts: Mapping[str, str], *, infer: bool) -> dict[str, Any]:
    texts = ["I moved to Lisbon.", "I like chess."]
    return {"messages": texts, "infer": infer, "idempotency_key": "news", **ADA}


WRITES: dict[str, tuple[str, Callable[[Mapping[str, str]], dict[str, Any]]]] = {
    "infer": ("add", lambda facts: news(facts, infer=True)),
    "store": ("add", lambda facts: news(facts, infer=False)),
    "update": ("update", lambda facts: {"fact_id": facts["I like tea."], "text": "I like mate."}),
    "delete": ("delete", lambda facts: {"fact_id": facts["I like tea."]}),
    "delete all": ("delete_all", lambda _facts: {"run_id": "monday", **ADA}),
}


def contents(memory: Memory) -> tuple[object, ...]:
    """Counters and fact texts of a memory."""
    stats = memory.stats()
    texts = sorted(fact.text for fact in memory.get_all(**ADA).facts)
    return stats.events, stats.messages, stats.pending, dict(stats.facts), texts


def do_again(memory: Memory, action: str, arguments: dict[str, Any]) -> None:
    """Send a request again, as a caller without a receipt does."""
    try:
        getattr(memory, action)(**arguments)
    except NotFound:
        assert action == "delete"


@pytest.mark.parametrize("write", WRITES)
def test_write_killed_between_any_two_statements_is_done_once(
    tmp_path: Path, write: str, kills: Kills
) -> None:
    # Given the result of the same write without a kill
    base, path, journal = (tmp_path / name for name in ("base.db", "memory.db", "journal"))
    prepare(base)
    with opened(base) as memory:
        before = contents(memory)
        facts = {fact.text: fact.fact_id for fact in memory.get_all(**ADA).facts}
    action, arguments = WRITES[write][0], WRITES[write][1](facts)
    shutil.copy(base, path)
    with opened(path) as memory:
        do_again(memory, action, arguments)
        expected = contents(memory)
    seen = set()

    def killed(at: int) -> bool:
        return was_killed(do_until, fresh(base, path, journal), journal, action, arguments, at)

    # When the process is killed at one statement after another
    for _ in kills(killed):
        with remains(path) as memory:
            # Then each append is there completely or not at all, and a retry completes the write
            seen.add(contents(memory)[0])
            check_promises(memory, read_journal(journal))
            do_again(memory, action, arguments)
            assert contents(memory) == expected
            check_agreement(memory)
    assert {before[0], expected[0]} <= seen
    assert len(seen) == 2


def test_retry_finishes_a_killed_background_write_once(tmp_path: Path, kills: Kills) -> None:
    # Given the result of the same request without a kill
    base, path, journal = (tmp_path / name for name in ("base.db", "memory.db", "journal"))
    prepare(base)
    arguments = {
        key: value for key, value in news({}, infer=True).items() if key != "idempotency_key"
    }
    with opened(base) as memory:
        before = contents(memory)
    shutil.copy(base, path)
    with opened(path) as memory:
        memory.add(**arguments)
        expected = contents(memory)
    halfway = 0

    def killed(at: int) -> bool:
        return was_killed(defer_until, fresh(base, path, journal), journal, arguments, at)

    # When the process is killed during its background work
    for _ in kills(killed):
        with remains(path) as memory:
            acknowledged = read_journal(journal)[0].receipt is not None
            pending = memory.stats().pending
            # Then an acknowledged request is there, and retry finishes it once
            assert contents(memory) != before or not acknowledged
            halfway += acknowledged and pending > 0
            retried = memory.retry()
            assert len(retried.receipts) == (pending > 0)
            assert contents(memory) in ((expected,) if acknowledged else (before, expected))
            assert memory.retry().receipts == ()
            check_agreement(memory)
    assert halfway > 0


def fresh(base: Path, path: Path, journal: Path) -> Path:
    """Copy ``base`` to ``path``, and delete leftovers of the previous run."""
    for leftover in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        leftover.unlink(missing_ok=True)
    journal.unlink(missing_ok=True)
    if base.exists():
        shutil.copy(base, path)
    return path


def test_next_process_creates_the_file_after_a_kill_at_any_statement(
    tmp_path: Path, kills: Kills
) -> None:
    path, nothing = tmp_path / "memory.db", tmp_path / "none.db"

    def killed(at: int) -> bool:
        return was_killed(open_until, fresh(nothing, path, nothing), DIMENSION, False, at)

    for _ in kills(killed):
        with opened(path, durability="normal") as memory:
            memory.add("I like tea.", **ADA)
            check_agreement(memory)


def test_rebuild_killed_at_any_statement_can_be_repeated(tmp_path: Path, kills: Kills) -> None:
    # Given a file whose index was built for another embedder
    base, path = tmp_path / "base.db", tmp_path / "memory.db"
    prepare(base)
    with opened(base) as memory:
        expected = contents(memory)

    def killed(at: int) -> bool:
        target = fresh(base, path, tmp_path / "none")
        return was_killed(open_until, target, OTHER_DIMENSION, True, at)

    # When the rebuild is killed
    for at in kills(killed):
        # Then it is done completely or not at all, and can be done again for any embedder
        with opened(path, (DIMENSION, OTHER_DIMENSION)[at % 2], durability="normal") as memory:
            memory.rebuild("read_models")
            assert contents(memory) == expected
            check_agreement(memory)
