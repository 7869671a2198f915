"""Checks of a database whose writer was killed at any moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remembrancer import Memory
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.domain.facts.fact import FactStatus
from tests.crash.writer import DIMENSION, Entry, opened

EVERYTHING = 1_000


@contextmanager
def remains(
    path: Path | PostgresSettings, dimension: int = DIMENSION, *, vault: Path | None = None
) -> Iterator[Memory]:
    """Open the memory, and check that it needed no rebuild and is consistent."""
    rebuilt: list[tuple[Any, ...]] = []
    with opened(
        path,
        dimension,
        durability="normal",
        vault=vault,
        on_rebuild=lambda *step: rebuilt.append(step),
    ) as memory:
        assert rebuilt == []
        check_agreement(memory)
        yield memory


def check_agreement(memory: Memory, users: Sequence[str] = ("ada", "a", "b", "both")) -> None:
    """Check that the log verifies, and that facts and index match the log."""
    assert memory.verify().faults == ()
    stats = memory.stats()
    assert set(stats.positions.values()) == {stats.last_position}
    for user in users:
        listed = memory.get_all(user_id=user, limit=EVERYTHING)
        found = memory.search("I live in Oslo.", user_id=user, limit=EVERYTHING)
        assert listed.cursor is None
        assert {item.fact.key for item in found} == {fact.key for fact in listed.facts}


def check_promises(memory: Memory, entries: Sequence[Entry]) -> None:
    """Check that all acknowledged writes are there."""
    for entry in entries:
        if entry.receipt is None:
            continue
        if entry.action == "add":
            again = memory.add(**entry.arguments)
            assert again.replayed
            assert {**again.to_dict(), "replayed": False} == entry.receipt
        elif entry.action == "update":
            history = memory.history(entry.arguments["fact_id"])
            assert entry.arguments["text"] in {version.text for version in history}
        elif entry.action == "delete":
            history = memory.history(entry.arguments["fact_id"])
            assert history[-1].status is FactStatus.RETRACTED


def finish(memory: Memory, entries: Sequence[Entry]) -> None:
    """Send unacknowledged requests again, and check that each is done once."""
    for entry in entries:
        if entry.receipt is None and entry.action == "add":
            receipt = memory.add(**entry.arguments)
            again = memory.add(**entry.arguments)
            assert len(receipt.messages) == len(entry.arguments["messages"])
            assert again.replayed
            assert (again.messages, again.verdicts) == (receipt.messages, receipt.verdicts)


def check_after_kill(memory: Memory, entries: Sequence[Entry], before: int = 0) -> int:
    """Check that acknowledged writes are there, and that all others can be sent again.

    Args:
        memory: what is left.
        entries: of the writers that were killed.
        before: the number of messages that were there before these writers.

    Returns:
        The number of messages that are there now.
    """
    check_promises(memory, entries)
    finish(memory, entries)
    check_agreement(memory)
    added = (len(entry.arguments["messages"]) for entry in entries if entry.action == "add")
    messages = before + sum(added)
    stats = memory.stats()
    assert (stats.messages, stats.pending) == (messages, 0)
    return messages
