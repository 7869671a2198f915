"""A process that lets the calls on the files of a memory fail, one after another, and checks the
memory after each: ``python -m tests.crash.failing_disk FOLDER FAULT RUNS PART``.

Each run writes to a memory of its own in every way. Whatever fails in it, the memory raises a typed
error or succeeds. When the fault is over, the same memory and a new one have all acknowledged
writes, verify, and do all others when they are sent again.
"""

from __future__ import annotations

import errno
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from remembrancer import Memory, RemembrancerError
from tests.crash.remains import check_agreement, check_promises, finish
from tests.crash.syscalls import calls_on_folder, failing
from tests.crash.writer import Entry, opened

FOR_EVER = 1_000_000
ADA: dict[str, Any] = {"user_id": "ada"}


@frozen(kw_only=True)
class Fault:
    """Which calls fail; see ``syscalls.failing``."""

    kinds: str
    error: int
    times: int = 1
    halve: bool = False


FAULTS = {
    "a read": Fault(kinds="r", error=errno.EIO),
    "a write": Fault(kinds="w", error=errno.EIO),
    "a sync": Fault(kinds="s", error=errno.EIO),
    "a truncation": Fault(kinds="t", error=errno.EIO),
    "an opening": Fault(kinds="o", error=errno.EMFILE),
    "a change of the folder": Fault(kinds="dlu", error=errno.EIO),
    "all syncs": Fault(kinds="s", error=errno.EIO, times=FOR_EVER),
    "a full disk": Fault(kinds="wol", error=errno.ENOSPC, times=FOR_EVER),
    "a disk full within a write": Fault(kinds="w", error=errno.ENOSPC, times=FOR_EVER, halve=True),
    "a dead disk": Fault(kinds="rwtsdolu", error=errno.EIO, times=FOR_EVER),
}


@define
class Run:
    """A memory on a disk that fails, and what it acknowledged."""

    path: Path
    vault: Path
    entries: list[Entry] = field(factory=list)
    errors: Counter[str] = field(factory=Counter)
    memory: Memory | None = None

    def work(self) -> None:
        """Write in every way, whatever fails."""
        self._add("first", ["I live in Oslo.", "I like tea."], infer=False)
        self._add("second", ["I moved to Lisbon."], infer=True)
        self._change("update", text="I like mate.")
        self._change("delete")
        self._attempt(self._close)
        self._add("long", [f"I wrote down number {n}. " * 20 for n in range(20)], infer=False)
        self._attempt(lambda: self._open().rebuild("read_models"))
        self._add("last", ["I live in Kyoto."], infer=True)

    def check(self) -> None:
        """Check the memory after the fault, as it is and opened again."""
        for _ in range(2):
            memory = self._open()
            check_promises(memory, self.entries)
            finish(memory, self.entries)
            check_agreement(memory)
            messages = [entry.arguments.get("messages", ()) for entry in self.entries]
            assert memory.stats().messages == sum(map(len, messages))
            self._close()

    def _open(self) -> Memory:
        if self.memory is None:
            self.memory = opened(self.path, vault=self.vault)
        return self.memory

    def _close(self) -> None:
        memory, self.memory = self.memory, None
        if memory is not None:
            memory.close()

    def _add(self, key: str, messages: list[str], *, infer: bool) -> None:
        self._write("add", messages=messages, infer=infer, idempotency_key=key, **ADA)

    def _change(self, action: str, **arguments: Any) -> None:
        def change() -> None:
            for fact in self._open().get_all(**ADA).facts[:1]:
                self._write(action, fact_id=str(fact.fact_id), **arguments)

        self._attempt(change)

    def _write(self, action: str, **arguments: Any) -> None:
        receipt: list[dict[str, Any]] = []
        self._attempt(lambda: receipt.append(getattr(self._open(), action)(**arguments).to_dict()))
        self.entries.append(
            Entry(action=action, arguments=arguments, receipt=receipt[0] if receipt else None)
        )

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except RemembrancerError as error:
            self.errors[type(error).__name__] += 1


@contextmanager
def noted(fault: str, number: int) -> Iterator[None]:
    """Say in a failure which call failed."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{fault}: call {number}")
        raise


def run(folder: Path, fault: Fault, number: int) -> tuple[int, Counter[str]]:
    """Let the calls from the ``number``th on fail, 0 for none; returns how many calls of these
    kinds there were, and the errors that were raised.
    """
    for leftover in folder.iterdir():
        leftover.unlink()
    made = Run(folder / "memory.db", folder / "keys.db")
    with failing(fault.kinds, number, fault.times, fault.error, halve=fault.halve):
        made.work()
        calls = calls_on_folder()
    made.check()
    return calls, made.errors


def part_of(calls: int, runs: int, part: int) -> list[int]:
    """The numbers of ``runs`` calls, all over the calls; all parts together are all calls."""
    numbers = list(range(1, calls + 1))
    random.Random(calls).shuffle(numbers)
    first = part % -(-calls // runs) * runs
    return sorted(numbers[first : first + runs])


def main() -> None:
    """Let calls fail all over a run, and print the calls, the runs and the errors as JSON."""
    folder, name, runs, part = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    fault = FAULTS[name]
    calls, errors = run(folder, fault, 0)
    assert not errors
    chosen = part_of(calls, runs, part)
    for number in chosen:
        with noted(name, number):
            errors += run(folder, fault, number)[1]
    print(json.dumps({"calls": calls, "runs": len(chosen), "errors": errors}))


if __name__ == "__main__":
    main()
