"""Against mem0ai: add, search, get_all and delete, without language models.

mem0 runs as installed by ``pip install mem0ai``: its default vector store (Qdrant, embedded, on
disk, an exact scan by numpy) and its SQLite history. Its extras spaCy and fastembed are not
installed, so it spends no time on lemmas, keyword search or entities; ours runs with all signals
(vectors, keywords, context, entities) and writes the ledger. Telemetry is off. The language model
is never called: ``infer=False`` on both sides. Both use the same embedder, a sum of fixed random
vectors, one per word (384 dimensions, some ten microseconds): similar texts have similar vectors,
and no model adds latency.

One owner has all facts. Calls are timed one by one, theirs and ours in turns, on stores with the
stated number of facts; the table shows medians.

Durability: mem0 writes two databases one after the other, both with a rollback journal and
``synchronous=FULL``, eight ``fdatasync`` calls for one add or delete (counted with strace), and a
crash between the two leaves a memory without history. Ours is one commit to one file in WAL mode,
one ``fdatasync`` with ``durability=full``; ``normal`` is a separate row.

**The limit.** For an add, one write to the disk: the note of a row has the time of a 4 KiB write
and an ``fdatasync``, measured in the same turns. For a search, the scan of the vectors: 10,000 of
them are 15 MB, about 1 ms of one core's memory bandwidth.

    python -m bench.incumbent
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import sys
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench.floor import DiskFloor
from bench.report import Row, report, timed
from remembrancer import Memory, load_settings
from remembrancer.domain.ports.embedder import Purpose, Vector

DIMENSION = 384
USER = "caroline"
TURN = 10
"""Consecutive calls of one subject in a turn."""
SESSION = 20
"""Messages per call in the multi-message case."""


class Words:
    """Embedder of both subjects, with constant time per word.

    Also generates facts and queries: words by Zipf's law, as in real text.
    """

    model = "bench-words"
    dimension = DIMENSION
    local = True

    def __init__(self, seed: int = 20) -> None:
        self._table = np.random.default_rng(seed).standard_normal((4096, DIMENSION), np.float32)
        self._random = random.Random(seed)
        self._vocabulary = [self._word() for _ in range(5000)]
        self._weights = [1 / rank for rank in range(1, 5001)]

    def _word(self) -> str:
        return "".join(
            self._random.choices("abcdefghijklmnoprstuvwy", k=self._random.randint(2, 9))
        )

    def sentence(self, words: int = 14) -> str:
        """A random sentence."""
        return " ".join(self._random.choices(self._vocabulary, self._weights, k=words)) + "."

    def question_about(self, text: str) -> str:
        """A question of some of the words of a text."""
        words = text.rstrip(".").split()
        return " ".join(self._random.sample(words, k=6)) + "?"

    def vector(self, text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        rows = [zlib.crc32(word.encode()) % 4096 for word in text.rstrip(".?").split()]
        total = self._table[rows].sum(axis=0)
        vector: np.ndarray[Any, np.dtype[np.float32]] = total / np.linalg.norm(total)
        return vector

    def embed(self, texts: Sequence[str], _purpose: Purpose) -> list[Vector]:
        """See ``Embedder.embed``."""
        return [array("f", self.vector(text).tobytes()) for text in texts]


class Subject(Protocol):
    """One of the two memories; ``add`` returns an id for ``delete``."""

    def fill(self, texts: Sequence[str]) -> None: ...
    def add(self, text: str) -> str: ...
    def search(self, query: str) -> object: ...
    def get_all(self) -> object: ...
    def delete(self, fact_id: str) -> object: ...
    def close(self) -> None: ...


class Ours:
    """remembrancer in a separate file."""

    def __init__(self, folder: Path, words: Words, durability: str) -> None:
        path = str(folder / f"{durability}.db")
        settings = load_settings({"audit_log": {"path": path, "durability": durability}})
        self._memory = Memory(settings=settings, overrides={"embedder": words})

    def fill(self, texts: Sequence[str]) -> None:
        for start in range(0, len(texts), 100):
            messages = [{"content": text} for text in texts[start : start + 100]]
            self._memory.add(messages, user_id=USER, infer=False)

    def add(self, text: str) -> str:
        fact_id = self._memory.add(text, user_id=USER, infer=False).verdicts[0].fact_id
        assert fact_id is not None
        return fact_id

    def search(self, query: str) -> object:
        return self._memory.search(query, user_id=USER, limit=10)

    def get_all(self) -> object:
        return self._memory.get_all(user_id=USER, limit=100)

    def delete(self, fact_id: str) -> object:
        return self._memory.delete(fact_id, user_id=USER)

    def close(self) -> None:
        self._memory.close()


class Mem0:
    """mem0ai in a separate folder."""

    def __init__(self, folder: Path, words: Words) -> None:
        # mem0 reads these at import, and writes to the home directory otherwise.
        os.environ["MEM0_TELEMETRY"] = "False"
        os.environ["MEM0_DIR"] = str(folder / "mem0")
        import mem0  # type: ignore[import-untyped]
        from mem0.embeddings.base import EmbeddingBase  # type: ignore[import-untyped]
        from mem0.utils.factory import EmbedderFactory  # type: ignore[import-untyped]

        class Embedding(EmbeddingBase):  # type: ignore[misc, unused-ignore]
            def embed(self, text: str, memory_action: str | None = None) -> list[float]:
                vector: list[float] = words.vector(text).tolist()
                return vector

        EmbedderFactory.create = lambda *_: Embedding()
        # mem0 warns at every start that its extras are not installed.
        logging.getLogger("mem0").setLevel(logging.ERROR)
        store = {"path": str(folder / "mem0" / "qdrant"), "embedding_model_dims": DIMENSION}
        self._memory = mem0.Memory.from_config(
            {
                "vector_store": {"provider": "qdrant", "config": store},
                "history_db_path": str(folder / "mem0" / "history.db"),
                "llm": {"provider": "openai", "config": {"api_key": "never called"}},
            }
        )

    def fill(self, texts: Sequence[str]) -> None:
        messages = [{"role": "user", "content": text} for text in texts]
        self._memory.add(messages, user_id=USER, infer=False)

    def add(self, text: str) -> str:
        added = self._memory.add(text, user_id=USER, infer=False)
        fact_id: str = added["results"][0]["id"]
        return fact_id

    def search(self, query: str) -> object:
        return self._memory.search(query, filters={"user_id": USER}, top_k=10)

    def get_all(self) -> object:
        return self._memory.get_all(filters={"user_id": USER}, top_k=100)

    def delete(self, fact_id: str) -> object:
        return self._memory.delete(fact_id)

    def close(self) -> None:
        self._memory.close()
        self._memory.vector_store.client.close()


Calls = Sequence[Callable[[], object]]


def in_turns(calls: Sequence[Calls]) -> list[float]:
    """Median of each subject's calls in milliseconds, run ``TURN`` at a time in turns."""
    taken: list[list[float]] = [[] for _ in calls]
    for start in range(0, len(calls[0]), TURN):
        for index, mine in enumerate(calls):
            taken[index] += timed(mine[start : start + TURN])
    return [statistics.median(seconds) * 1000 for seconds in taken]


def writes(
    subjects: Sequence[Subject], words: Words, calls: int
) -> Iterator[tuple[str, float, list[Calls]]]:
    """The cases that write: name, bar (0 for none), and each subject's calls."""
    added: list[list[str]] = [[] for _ in subjects]
    texts = [words.sentence() for _ in range(calls)]

    def add(subject: Subject, ids: list[str], text: str) -> None:
        ids.append(subject.add(text))

    def delete(subject: Subject, ids: list[str]) -> None:
        subject.delete(ids.pop())

    pairs = list(zip(subjects, added, strict=True))
    yield (
        "add(infer=False)",
        20,
        [[partial(add, subject, ids, text) for text in texts] for subject, ids in pairs],
    )
    sessions = [[words.sentence() for _ in range(SESSION)] for _ in range(calls // SESSION)]
    yield (
        f"add(infer=False), {SESSION} messages a call",
        0,
        [[partial(subject.fill, session) for session in sessions] for subject in subjects],
    )
    yield (
        "delete",
        0,
        [[partial(delete, subject, ids)] * (calls // 2) for subject, ids in pairs],
    )


def measured(folder: Path, facts: int, calls: int, *, barred: bool) -> Iterator[Row]:
    """Rows for stores with ``facts`` facts."""
    words = Words()
    texts = [words.sentence() for _ in range(facts)]
    questions = [words.question_about(text) for text in random.Random(1).sample(texts, calls)]
    with ExitStack() as stack:
        ours, theirs, _ = subjects = [
            stack.enter_context(closing(subject))
            for subject in (
                Ours(folder, words, "full"),
                Mem0(folder, words),
                Ours(folder, words, "normal"),
            )
        ]
        floor = stack.enter_context(DiskFloor(folder))
        for subject in subjects:
            subject.fill(texts)
            subject.delete(subject.add("Warm up."))
            subject.search("Warm up?")
        for name, bar, of_subjects in writes(subjects, words, calls):
            mine, other, loose, lowest = in_turns(
                [*of_subjects, [floor.write] * len(of_subjects[0])]
            )
            case = f"{name} at {facts:,}"
            yield Row(
                case=case,
                unit="ms",
                ours=mine,
                theirs=other,
                more_is_better=False,
                bar=bar if barred and bar else None,
                note=f"disk floor {lowest:.3f} ms",
            )
            yield Row(
                case=f"{case}, ours with durability=normal",
                unit="ms",
                ours=loose,
                theirs=other,
                more_is_better=False,
            )
        mine, other = in_turns([[partial(s.search, q) for q in questions] for s in (ours, theirs)])
        yield Row(
            case=f"search(limit=10) of {facts:,}",
            unit="ms",
            ours=mine,
            theirs=other,
            more_is_better=False,
            bar=20 if barred else None,
        )
        mine, other = in_turns([[ours.get_all] * calls, [theirs.get_all] * calls])
        yield Row(
            case=f"get_all(limit=100) of {facts:,}",
            unit="ms",
            ours=mine,
            theirs=other,
            more_is_better=False,
        )


def main() -> int:
    """Run the benchmark; return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--facts", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--calls", type=int, default=200, help="calls of each kind")
    arguments = parser.parse_args()

    def at(facts: int) -> list[Row]:
        with tempfile.TemporaryDirectory(prefix="bench-incumbent-") as folder:
            return list(
                measured(Path(folder), facts, arguments.calls, barred=facts == max(arguments.facts))
            )

    met = report(
        "incumbent",
        "The memory against mem0ai, one owner (medians, taken in turns)",
        list(chain.from_iterable(map(at, arguments.facts))),
        subjects=("remembrancer", "mem0ai"),
        settings=vars(arguments),
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
