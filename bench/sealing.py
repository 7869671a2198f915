"""An encrypted (sealed) log against a plain one: appends and replays per second, both on SQLite.

Both write the same facts to 50 ledgers, one or a hundred per transaction, with
``synchronous=NORMAL``, so that the work is compared and not the disk. The keys are in a file, as in
production, and created before the clock starts. A page of a replay has events of one ledger
("batches") or of fifty.

    python -m bench.sealing
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.report import Row, paired, report
from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault, SqliteVaultSettings
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, Durability, SqliteSettings
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import append_of, fact_added

LEDGERS = [LedgerId(f"user:{number}") for number in range(50)]
TEXT = "I went to the pottery class again on Saturday and finished the blue bowl for my sister."
PAGE = 100
BATCH = 100


def a_log(folder: Path, codec: EventCodec) -> SqliteAuditLog:
    """A new log with one append to every ledger."""
    folder.mkdir()
    settings = SqliteSettings(path=str(folder / "log.db"), durability=Durability.NORMAL)
    log = SqliteAuditLog(Database(settings, [create_log]), codec)
    append(log, 1, len(LEDGERS))
    return log


def append(log: SqliteAuditLog, size: int, appends: int) -> float:
    """Events per second, ``size`` per transaction."""
    requests = [
        append_of([fact_added(TEXT)] * size, ledger=LEDGERS[number % len(LEDGERS)])
        for number in range(appends)
    ]
    start = time.perf_counter()
    for request in requests:
        log.append(request)
    return size * appends / (time.perf_counter() - start)


def replay(log: SqliteAuditLog) -> float:
    """Events per second of a full replay."""
    start, after = time.perf_counter(), Position(0)
    while page := log.read(after, PAGE):
        after = page[-1].position
    return after / (time.perf_counter() - start)


def measured(folder: Path, rounds: int, events: int) -> Sequence[Row]:
    """Rows for appends and replays of both logs."""
    rows: list[Row] = []
    for size, kind in ((1, "one in a transaction"), (BATCH, "batches of 100")):
        place = folder / str(size)
        place.mkdir()
        vault = SqliteKeyVault(SqliteVaultSettings(path=str(place / "keys.db")))
        logs = (a_log(place / "a", SealingCodec(vault)), a_log(place / "b", EventCodec()))
        appends = events // size // rounds
        sealed, plain = paired(rounds, *(partial(append, log, size, appends) for log in logs))
        rows.append(Row(case=f"append, {kind}", unit="events/s", ours=sealed, theirs=plain))
        sealed, plain = paired(rounds, *(partial(replay, log) for log in logs))
        rows.append(Row(case=f"replay, {kind}", unit="events/s", ours=sealed, theirs=plain))
    return rows


def main() -> int:
    """Run the benchmark; it has no bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns that each subject takes")
    parser.add_argument("--events", type=int, default=20_000, help="length of the log replayed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-sealing-") as name:
        rows = measured(Path(name), arguments.rounds, arguments.events)
    report(
        "sealing",
        "A sealed log beside the same in plain text (medians, taken in turns)",
        rows,
        subjects=("sealed", "plain"),
        settings=vars(arguments),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
