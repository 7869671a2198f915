"""What must be true of a file whose writer was killed, whatever it was doing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from writer import DIMENSION, Entry, opened

from remembrancer import Memory
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.domain.facts.fact import FactStatus

EVERYTHING = 1_000


@contextmanager
def remains(path: Path | PostgresSettings, dimension: int = DIMENSION) -> Iterator[Memory]:
    """The memory that is found: it opens, there was nothing to rebuild, and all of it agrees."""
    rebuilt: list[tuple[Any, ...]] = []
    with opened(
        path,
        dimension,
        durability="normal",
        on_rebuild=lambda *step: rebuilt.append(step),
    ) as memory:
        assert rebuilt == []
        check_agreement(memory)
        yield memory


def check_agreement(memory: Memory, users: Sequence[str] = ("ada", "a", "b", "both")) -> None:
    """The log verifies, the facts are its fold, and the index finds them and nothing else."""
    assert memory.verify().problems == ()
    stats = memory.stats()
    assert set(stats.positions.values()) == {stats.last_position}
    for user in users:
        listed = memory.get_all(user_id=user, limit=EVERYTHING)
        found = memory.search("I live in Oslo.", user_id=user, limit=EVERYTHING)
        assert listed.cursor is None
        assert {item.fact.key for item in found} == {fact.key for fact in listed.facts}


def check_promises(memory: Memory, entries: Sequence[Entry]) -> None:
    """All that was acknowledged is there."""
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
    """Send again what was not acknowledged: it is done once, however far it had come."""
    for entry in entries:
        if entry.receipt is None and entry.action == "add":
            receipt = memory.add(**entry.arguments)
            again = memory.add(**entry.arguments)
            assert len(receipt.messages) == len(entry.arguments["messages"])
            assert again.replayed
            assert (again.messages, again.verdicts) == (receipt.messages, receipt.verdicts)
