"""``verify``: the chain against a bare loop, the rows, the vectors, several processes, memory.

A file has owners with conversations that are added word for word (one message and one fact each).

* **chain**: ``verify(chain=True)`` against the least that can be done: one ``SELECT`` of all
  events, two SHA-256 and the header of each.
* **rows**: everything but vectors, against an earlier checkout if ``--base`` names its folder. It
  makes a file of its own, since formats differ. Both run in turns.
* **vectors**: the embedder alone on the same texts, against what vectors add to a verification.
* **jobs**: one process against the busier one of two: what the clock shows if both have a core.
* **memory**: the resident set of a process that verifies the file.

Times are of the CPU.

    python -m bench.verify --owners 10 --messages 2000
    python -m bench.verify --base ../before
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from bench.report import Row, report
from remembrancer import Memory
from remembrancer.adapters.models.hashing import HashingEmbedder

LARGEST = 300.0
"""MiB: the bar for the resident set."""

_MAKE = """
import sys
from remembrancer import Memory

path, owners, messages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
words = "the blue bowl of my sister is on the table beside a green cup and an old book".split()
with Memory(path) as memory:
    for owner in range(owners):
        for start in range(0, messages, 100):
            memory.add(
                [
                    {
                        "role": "user",
                        "name": "Ann",
                        "content": " ".join(
                            ["Note", str(n), *words[n % 7 : n % 7 + 9], str(n * 7919 % 997)]
                        ),
                    }
                    for n in range(start, min(start + 100, messages))
                ],
                user_id=f"user{owner}",
                infer=False,
            )
"""

_VERIFY = """
import json, resource, sys, time
from remembrancer import Memory

with Memory(sys.argv[1]) as memory:
    if sys.argv[2] == "rows":
        # The earlier verify never computed vectors.
        verify = memory._inner._use.verify
        if hasattr(verify, "_embedder"):
            verify._embedder = None
            # Modules are imported at the first call.
            memory.verify(chain=True)
    began = time.process_time()
    found = memory.verify()
    took = time.process_time() - began
    assert found.ok, found
largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([took, largest]))
"""


def run(code: str, folder: Path, *arguments: object) -> str:
    """Run a program with the package in a folder, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def cpu(work: Callable[[], object], rounds: int) -> float:
    """The median CPU seconds of a call."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return median(times)


def busier(work: Callable[[], object]) -> float:
    """The CPU seconds of a call in this process, or in the one that it starts if they are more."""
    before = [_used(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    work()
    after = [_used(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(end - start for start, end in zip(before, after, strict=True))


def _used(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def bare_loop(path: Path) -> None:
    """The least that a check of the chain can do."""
    with closing(sqlite3.connect(path)) as connection:
        rows: Any = connection.execute(
            "SELECT event.version, event_id, event.recorded_at, correlation_id, causation_id, "
            "actor, type, schema_version, payload, salt, payload_digest, previous_hash, "
            "event.hash, handle FROM event JOIN ledger ON ledger.id = ledger_id "
            "ORDER BY ledger_id, event.version"
        )
        for (
            version, event_id, recorded_at, correlation_id, causation_id, actor, kind,
            schema_version, payload, salt, digest, previous, hashed, handle,
        ) in rows:  # fmt: skip
            header = (
                f"1\n{handle.hex()}\n{version}\n{event_id.hex()}\n{recorded_at}\n"
                f"{correlation_id.hex()}\n{causation_id.hex() if causation_id else ''}\n{actor}\n"
                f"{kind}\n{schema_version}"
            ).encode()
            assert sha256(salt + payload).digest() == digest
            assert sha256(previous + digest + header).digest() == hashed


def texts_of(path: Path) -> list[str]:
    """The texts of all facts."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT body FROM fact").fetchall()
    return [json.loads(body)["text"] for (body,) in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--owners", type=int, default=10)
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", type=Path, help="the folder of an earlier checkout")
    options = parser.parse_args()
    here = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "verified.db"
        run(_MAKE, here, path, options.owners, options.messages)
        rows = measured(path, options.rounds)
        rows += beside(path, here, options)
    return 0 if report("verify", "verify", rows) else 1


def measured(path: Path, rounds: int) -> list[Row]:
    """The cases that need this checkout alone."""
    with Memory(path) as memory:
        events = memory.stats().events
        memory.verify(chain=True)
        chain = cpu(lambda: memory.verify(chain=True), rounds)
        bare = cpu(lambda: bare_loop(path), rounds)
        whole = cpu(memory.verify, rounds)
        verify: Any = memory._inner._use.verify
        embedder, verify._embedder = verify._embedder, None
        plain = cpu(memory.verify, rounds)
        verify._embedder = embedder
        texts = texts_of(path)
        alone = cpu(lambda: HashingEmbedder().embed(texts, "document"), rounds)
        one = busier(memory.verify)
        two = busier(lambda: memory.verify(jobs=2))
    return [
        Row(case="chain", unit="events/s", ours=events / chain, theirs=events / bare, bar=0.85),
        Row(
            case="vectors",
            unit="texts/s",
            ours=len(texts) / max(whole - plain, 1e-9),
            theirs=len(texts) / alone,
            bar=0.8,
        ),
        Row(case="jobs 2", unit="events/s", ours=events / two, theirs=events / one, bar=1.7),
    ]


def beside(path: Path, here: Path, options: argparse.Namespace) -> list[Row]:
    """Rows against the earlier checkout, and the resident set."""
    own: list[list[float]] = []
    theirs: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / "earlier.db"
        if options.base is not None:
            run(_MAKE, options.base.resolve(), earlier, options.owners, options.messages)
        for _ in range(options.rounds):
            own.append(json.loads(run(_VERIFY, here, path, "rows")))
            if options.base is not None:
                theirs.append(json.loads(run(_VERIFY, options.base.resolve(), earlier, "rows")))
    with closing(sqlite3.connect(path)) as connection:
        ((events,),) = connection.execute("SELECT count(*) FROM event")
    return [
        Row(
            case="rows",
            unit="events/s",
            ours=events / median(took for took, _ in own),
            theirs=events / median(took for took, _ in theirs) if theirs else None,
            bar=5.0 if theirs else None,
        ),
        Row(
            case=f"memory, {events:,} events",
            unit="MiB",
            ours=median(largest for _, largest in own),
            more_is_better=False,
            bar=LARGEST,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
