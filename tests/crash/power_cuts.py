"""Record what writers do to their files, cut the power at any moment, and open what is left."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from attrs import evolve, frozen

from remembrancer import IntegrityError
from tests.crash.disk import Disk, write_out
from tests.crash.recorded_writer import DATABASE, VAULT
from tests.crash.remains import check_agreement, check_promises, remains
from tests.crash.syscalls import Call, environment, read_trace
from tests.crash.writer import Entry, entries_of

TURNS = 60
"""Turns of all writers of a recording: some hundred commits, and several checkpoints."""

MOMENTS = "sdtluo"
"""The kinds of calls around which a cut is more interesting than between two writes."""

FAST_FOLDER = Path("/dev/shm")
"""Of what survives a real power cut, nothing is tested: the files may be in memory."""

Hashes: TypeAlias = list[tuple[int, bytes]]
"""Position and hash of each event."""


@frozen(kw_only=True)
class Kind:
    """How writers write.

    Args:
        name: for people.
        durability: ``audit_log.durability`` of the memory.
        writers: how many processes write.
        sealed: whether there is a key vault beside the database.
        fails: whether one sync of each writer fails.
        dies: whether the first writer ends without closing, and the next one begins after that.
    """

    name: str
    durability: str = "full"
    writers: int = 1
    sealed: bool = False
    fails: bool = False
    dies: bool = False

    @property
    def may_be_damaged(self) -> bool:
        """Whether a cut may leave a damaged file: SQLite does not tell us of a failed sync of its
        log before a checkpoint, and trusts the next one. With ``full``, commits were synced before.
        """
        return self.fails and self.durability == "normal"


KINDS = (
    Kind(name="one writer"),
    Kind(name="two writers", writers=2),
    Kind(name="sealed", sealed=True),
    Kind(name="failed sync", fails=True),
    Kind(name="after a dead writer", writers=2, dies=True),
)
DURABILITIES = ("full", "normal")


@frozen(kw_only=True)
class Recording:
    """The calls of writers on one folder, and the events that they wrote."""

    kind: Kind
    calls: Sequence[Call]
    hashes: Hashes


@frozen(kw_only=True)
class Loss:
    """What a power cut took.

    Args:
        events: the number of acknowledged events that are missing.
        requests: the number of acknowledged requests that are missing, in part or whole.
        acknowledged: the number of requests that were acknowledged before the cut.
        damaged: whether the file was refused as damaged.
    """

    events: int = 0
    requests: int = 0
    acknowledged: int
    damaged: bool = False


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder, in memory where that is possible."""
    parent = FAST_FOLDER if FAST_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(dir=parent, prefix="remembrancer-") as made:
        yield Path(made)


def record(library: Path, kind: Kind, seed: int) -> Recording:
    """Let writers write, and record their calls.

    Raises:
        AssertionError: a writer failed, or did something to its files that was not recorded.
    """
    chance = random.Random(seed)
    with folder() as made:
        data, trace = made / "data", made / "trace"
        data.mkdir()
        environ = environment(library, data, trace)
        writers: list[subprocess.Popen[bytes]] = []
        for number, name in enumerate("ab"[: kind.writers]):
            options = [*options_of(kind, chance), *(["--dies"] if kind.dies and not number else [])]
            command = [sys.executable, "-m", "tests.crash.recorded_writer", str(data)]
            turns = str(TURNS // kind.writers)
            writers.append(
                subprocess.Popen(
                    [*command, f"{seed}-{name}", kind.durability, turns, *options], env=environ
                )
            )
            if kind.dies:
                writers[-1].wait()
        assert [writer.wait() for writer in writers] == [0] * kind.writers
        calls = list(read_trace(trace))
        check_recording(calls, data)
        return Recording(kind=kind, calls=calls, hashes=hashes_in(data / DATABASE))


def options_of(kind: Kind, chance: random.Random) -> list[str]:
    """The options of every writer of a kind."""
    options = ["--sealed"] if kind.sealed else []
    if kind.fails:
        # About as many syncs as a writer makes.
        most = 100 if kind.durability == "full" else 8
        options += ["--fail-sync", str(chance.randint(1, most))]
    return options


def check_recording(calls: Sequence[Call], data: Path) -> None:
    """Check that the calls explain every byte: none was missed."""
    disk = Disk()
    for call in calls:
        disk.play(call)
    there = {path.name: path.read_bytes() for path in data.iterdir()}
    assert disk.journals == {name: there.pop(name) for name in disk.journals}
    assert disk.content() == there


def hashes_in(path: Path) -> Hashes:
    """The events of a database."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT position, hash FROM event ORDER BY position").fetchall()


def cut(recording: Recording, count: int, seed: int, keep: Path | None = None) -> Iterator[Loss]:
    """Cut the power, many times, and check what is left.

    Args:
        recording: of the writers.
        count: how many times.
        seed: decides about the moments, and what is left.
        keep: a folder for the files of a cut that left something else than was promised.

    Raises:
        AssertionError, RemembrancerError: a cut did; a note names it.
    """
    chance = random.Random(seed)
    disk, played = Disk(), 0
    for moment in moments(recording.calls, count, chance):
        for call in recording.calls[played:moment]:
            disk.play(call)
        played = moment
        entries = entries_of(
            chain.from_iterable(journal.decode().splitlines() for journal in disk.journals.values())
        )
        content = disk.after_power_cut(chance)
        with folder() as made:
            write_out(content, made)
            try:
                loss = judge(recording, made, entries, chance)
            except Exception as error:
                error.add_note(f"{recording.kind}, cut before call {moment}, seed {seed}")
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    write_out(content, keep)
                raise
        yield loss


def moments(calls: Sequence[Call], count: int, chance: random.Random) -> list[int]:
    """The numbers of the calls before which the power is cut: half of them around a call that is no
    write.
    """
    special = [at for at, call in enumerate(calls) if call.kind in MOMENTS]
    anywhere = [chance.randint(1, len(calls)) for _ in range(count - count // 2)]
    around = [
        min(len(calls), chance.choice(special) + chance.randint(0, 2)) for _ in range(count // 2)
    ]
    return sorted(anywhere + around)


def judge(
    recording: Recording, left: Path, entries: Sequence[Entry], chance: random.Random
) -> Loss:
    """``check`` what is left; a file that may be damaged may be refused, too."""
    try:
        return check(recording, left, entries, chance)
    except IntegrityError:
        if not recording.kind.may_be_damaged:
            raise
        return Loss(acknowledged=len(entries), damaged=True)


def check(
    recording: Recording, left: Path, entries: Sequence[Entry], chance: random.Random
) -> Loss:
    """Open what is left, and compare it with what was acknowledged."""
    path = left / DATABASE
    kind = recording.kind
    done = [entry for entry in entries if entry.receipt is not None]
    with remains(path, vault=left / VAULT if kind.sealed else None) as memory:
        hashes = hashes_in(path)
        # What is left is a prefix of all commits.
        assert hashes == recording.hashes[: len(hashes)]
        there = [entry for entry in done if last_position(entry) <= len(hashes)]
        lost = max(map(last_position, done), default=0) - len(hashes)
        if kind.durability == "full":
            assert lost <= 0, f"{lost} acknowledged events are missing"
        check_promises(memory, chance.sample(there, min(3, len(there))))
        # And writing continues.
        memory.add("I like tea.", user_id="ada")
        check_agreement(memory)
    return Loss(events=max(0, lost), requests=len(done) - len(there), acknowledged=len(done))


def last_position(entry: Entry) -> int:
    """The position of the last event of an acknowledged request."""
    assert entry.receipt is not None
    last: int = entry.receipt["positions"][1]
    return last


def kind_of(name: str, durability: str) -> Kind:
    """The kind of this name."""
    (found,) = (kind for kind in KINDS if kind.name == name)
    return evolve(found, durability=durability)
