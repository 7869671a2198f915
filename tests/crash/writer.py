"""Processes that write to a memory, to be killed at any moment.

They keep a journal beside the database: one line before each write and one after it, so that a
test knows which writes were requested and which were acknowledged. A line is one ``write`` call,
which survives the kill of its process.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from attrs import frozen

from remembrancer import Memory
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.sqlite import vector_index as sqlite_index
from remembrancer.adapters.stores.sqlite.vector_index.sizes import Sizes
from remembrancer.domain.errors import NotFound
from remembrancer.domain.facts.fact import FactStatus
from remembrancer.wiring.settings import load_settings

CITIES = ("Oslo", "Lisbon", "Kyoto", "Quito")
DIMENSION = 32
SHORT = 0.01
"""Seconds, about as long as a write takes."""

SMALL = Sizes(first=3, tail=2, segment=8)


def opened(
    path: Path | PostgresSettings,
    dimension: int = DIMENSION,
    *,
    durability: str = "full",
    vault: Path | None = None,
    **options: Any,
) -> Memory:
    """A memory with full durability, unless set otherwise; sealed, if there is a key vault."""
    log: dict[str, Any] = {"provider": "postgres"}
    if isinstance(path, PostgresSettings):
        log |= {name: getattr(path, name) for name in ("dsn", "schema", "partitions")}
    else:
        log = {"path": str(path), "durability": durability}
    config: dict[str, Any] = {"audit_log": log, "embedder": {"dimension": dimension}}
    if vault is not None:
        config["key_vault"] = {"provider": "sqlite", "path": str(vault)}
    with small_segments():
        return Memory(settings=load_settings(config, environment={}), **options)


@contextmanager
def small_segments() -> Iterator[None]:
    """Use small index segments, so that some are built during the writes.

    The sizes are not a setting, since only tests need them.
    """
    of_any_size = sqlite_index.SqliteVectorIndex
    sqlite_index.SqliteVectorIndex = partial(of_any_size, sizes=SMALL)  # type: ignore
    try:
        yield
    finally:
        sqlite_index.SqliteVectorIndex = of_any_size  # type: ignore


class Journal:
    """Requested and acknowledged writes, one JSON object per line."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, **entry: Any) -> None:
        """Write a line atomically."""
        os.write(self._file, json.dumps(entry).encode() + b"\n")


@frozen(kw_only=True)
class Entry:
    """A write in a journal. ``receipt`` is ``None`` if it was not acknowledged."""

    action: str
    arguments: dict[str, Any]
    receipt: dict[str, Any] | None


def read_lines(path: Path) -> list[str]:
    """The lines of a journal; empty if the file does not exist."""
    return path.read_text().splitlines() if path.exists() else []


def read_journal(path: Path) -> list[Entry]:
    """The writes that were started, in order."""
    return entries_of(read_lines(path))


def entries_of(lines: Iterable[str]) -> list[Entry]:
    """The writes that were started, from the lines of a journal."""
    entries = [json.loads(line) for line in lines]
    receipts = {entry["done"]: entry["receipt"] for entry in entries if "done" in entry}
    return [
        Entry(
            action=entry["action"],
            arguments=entry["arguments"],
            receipt=receipts.get(entry["begun"]),
        )
        for entry in entries
        if "begun" in entry
    ]


def carry_out(
    memory: Memory,
    journal: Journal,
    number: str,
    action: str,
    arguments: dict[str, Any],
    acknowledging: Callable[[], None] = lambda: None,
) -> None:
    """Do one write, with a journal line before and after it."""
    journal.note(begun=number, action=action, arguments=arguments)
    receipt = getattr(memory, action)(**arguments)
    acknowledging()
    journal.note(done=number, receipt=receipt.to_dict() if receipt else {})


# Killed by another process


def write_for_ever(path: Path | PostgresSettings, journal: Path, seed: int) -> None:
    """Write from two threads that share one memory, until the process is killed."""
    threading.excepthook = _give_up
    memory, notes = opened(path), Journal(journal)
    writers = [
        threading.Thread(target=_write, args=(memory, notes, f"{seed}-{name}")) for name in "ab"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


def _give_up(failure: threading.ExceptHookArgs) -> None:
    sys.excepthook(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    os._exit(1)


def _write(memory: Memory, journal: Journal, name: str) -> None:
    random_ = random.Random(name)
    for turn in count():
        write_once(memory, journal, name, turn, random_)


def write_once(
    memory: Memory, journal: Journal, name: str, turn: int, random_: random.Random
) -> None:
    """Add, update or delete something. The last letter of ``name`` is that of the writer."""
    number = f"{name}-{turn}"
    # One ledger for each writer, and one that both write to.
    user = random_.choice((name[-1], "both"))
    facts = [
        fact
        for fact in memory.get_all(user_id=user, limit=20).facts
        if fact.status is FactStatus.ACTIVE and fact.metadata.get("by") == name[-1]
    ]
    action = random_.choice(("add", "add", "add", "update", "delete")) if facts else "add"
    if action == "add":
        arguments = said(number, user, name[-1], infer=random_.random() < 0.5)
    else:
        arguments = {"fact_id": str(random_.choice(facts).fact_id)}
    if action == "update":
        arguments["text"] = f"Corrected in {number}."
    # The other writer may have deleted the fact in the meantime.
    with suppress(NotFound):
        carry_out(memory, journal, number, action, arguments)


def said(number: str, user: str, by: str, *, infer: bool) -> dict[str, Any]:
    """A request with two statements: a unique one, and one that supersedes others."""
    city = CITIES[hash_of(number) % len(CITIES)]
    return {
        "messages": [f"I wrote down number {number}.", f"I live in {city}."],
        "user_id": user,
        "metadata": {"by": by},
        "infer": infer,
        "idempotency_key": number,
    }


def hash_of(text: str) -> int:
    """A hash that is the same in every process."""
    return int.from_bytes(text.encode(), "big") % 104_729


# Killing itself


class Countdown:
    """Kills the process at a given step of its work."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.counts = False

    def step(self) -> None:
        """Count a step, and kill the process if it is the given one."""
        if self.counts:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def count_statements(countdown: Countdown) -> None:
    """Count every SQL statement of this process as a step, before it runs."""

    class Counted(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            countdown.step()
            return super().execute(*arguments)

        def executemany(self, *arguments: Any) -> sqlite3.Cursor:
            countdown.step()
            return super().executemany(*arguments)

    sqlite3.connect = partial(sqlite3.connect, factory=Counted)  # type: ignore[assignment]


def do_until(path: Path, journal: Path, action: str, arguments: dict[str, Any], at: int) -> None:
    """Do one write, and die at step ``at``; finish if there are fewer steps."""
    countdown, notes = Countdown(at), Journal(journal)
    count_statements(countdown)
    memory = opened(path)
    countdown.counts = True
    carry_out(memory, notes, "it", action, arguments, acknowledging=countdown.step)
    countdown.step()
    countdown.counts = False
    memory.close()


def open_until(path: Path, dimension: int, rebuild: bool, at: int) -> None:
    """Open a file, and die at step ``at``; finish if there are fewer steps."""
    countdown = Countdown(at)
    count_statements(countdown)
    countdown.counts = True
    with opened(path, dimension) as memory:
        if rebuild:
            memory.rebuild("read_models")


def defer_until(path: Path, journal: Path, arguments: dict[str, Any], at: int) -> None:
    """Do one write in the background, and die at step ``at`` of the whole; finish if there are
    fewer steps.
    """
    countdown, notes = Countdown(at), Journal(journal)
    count_statements(countdown)
    memory = opened(path)
    countdown.counts = True
    notes.note(begun="it", action="add", arguments=arguments)
    receipt = memory.add(**arguments, wait=False)
    notes.note(done="it", receipt=receipt.to_dict())
    receipt.wait()
    countdown.step()
    countdown.counts = False
    memory.close()
