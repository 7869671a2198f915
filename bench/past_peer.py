"""A search of the past on SQLite, beside memvara's, in processor time.

Both hold the same notes of one owner, one recorded every minute, and embed with a hash of words.
Each search is made as of the time when a tenth of the notes were recorded, in turns. memvara needs
SQLite 3.42 or newer; where Python's is older, it gets that of ``pysqlite3``. Both are installed
beside the project:

    pip install 'memvara>=0.21' pysqlite3-binary
    python -m bench.past_peer
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import importlib
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench.past import ANN, BATCH, filled, minute, spent
from bench.report import Row, paired, report

QUESTIONS = ("note of topic 11", "note 1234", "what is topic 96 about?")
LIMIT = 10
BAR = 5.0


def peer() -> Any:
    """The module of memvara, on an SQLite that it accepts."""
    if sqlite3.sqlite_version_info < (3, 42):
        sys.modules["sqlite3"] = importlib.import_module("pysqlite3")
    try:
        return importlib.import_module("memvara")
    finally:
        sys.modules["sqlite3"] = sqlite3


def told(memvara: Any, path: Path, facts: int) -> Any:
    """memvara's memory of the same notes."""
    memory = memvara.Memvara(
        str(path), user="ann", embedder=memvara.HashingEmbedder(), llm=memvara.NullLLM()
    )
    for number in range(facts):
        text = f"note {number} of topic {number % 97}"
        about, topic = f"note {number}", f"topic {number % 97}"
        memory.remember(about, "is_of", topic, text=text, recorded_at=minute(number))
    return memory


def measured(memvara: Any, folder: Path, facts: int, rounds: int) -> Sequence[Row]:
    """The rows of the report."""
    rows: list[Row] = []
    then = minute(facts // 10 + BATCH)
    with (
        filled(folder / "ours.db", facts) as ours,
        closing(told(memvara, folder / "theirs.db", facts)) as theirs,
    ):
        for question in QUESTIONS:
            for case, moment in (("as of a tenth", then), ("now", None)):
                rows.append(_against(f"{question}, {case}", ours, theirs, question, moment, rounds))
    return rows


def _against(
    case: str, ours: Any, theirs: Any, question: str, moment: datetime | None, rounds: int
) -> Row:
    mine = partial(ours.search, question, limit=LIMIT, as_of=moment, **ANN)
    other = partial(theirs.search, question, k=LIMIT, as_of=moment)
    if not len(mine()) or not other():
        raise SystemExit(f"nothing found: {case}")
    here, there = paired(rounds, partial(spent, mine), partial(spent, other))
    return Row(case=case, unit="ms", ours=here, theirs=there, more_is_better=False, bar=BAR)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--facts", type=int, default=5_000, help="facts of the owner")
    parser.add_argument("--rounds", type=int, default=11, help="turns that each search takes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-past-peer-") as name:
        rows = measured(peer(), Path(name), arguments.facts, arguments.rounds)
    met = report(
        "past_peer",
        f"A search of the past among {arguments.facts:,} facts, ours and memvara's",
        rows,
        subjects=("remembrancer", "memvara"),
        settings=vars(arguments),
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
