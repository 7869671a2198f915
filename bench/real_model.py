"""What a small real model remembers: our pipeline and mem0's, with the same model.

A model behind a server with OpenAI's protocol extracts from 24 short conversations
(``real_model_cases.json``) and from ten turns of LoCoMo, once for our pipeline and once for that of
mem0 2.2.1. Each conversation belongs to a user of its own, and its sentences are said three days
apart. Both embed with the same hash of words, and mem0's prompt gets the day of the message as
today. The answers are recorded (``bench.recording``): a second run asks only what is new, and runs
without a model if nothing is. Those to the 24 conversations are kept beside this module, those to
turns of LoCoMo outside of the project, because its licence forbids to copy them.

A conversation is right if every string of ``true`` is in an active fact, no fact is outdated, and
none is junk. Outdated is a fact with the old words of a pair in ``over`` and without the new ones;
junk is one of which more than half of the words were never said, or one that repeats another fact.
A turn is right if half of the words of the answer that LoCoMo notes for it are in one fact.

Tokens count all that the model reads, cached prefixes too; seconds are those of the model.

    python -m bench.real_model                                  # recorded answers
    python -m bench.real_model --server http://127.0.0.1:18999/v1
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from bench.locomo import turns_with_answers
from bench.recording import Recorder, Spent
from bench.report import Row, report
from remembrancer import Memory, load_settings
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.recall.function_words import FUNCTION_WORDS
from remembrancer.testing.model_server import ModelServer

HERE = Path(__file__).parent
CASES = HERE / "real_model_cases.json"
RECORDED = HERE / "real_model_answers.jsonl"
LOCOMO = HERE.parents[1] / "shared" / "data" / "locomo_dev.json"
OUTSIDE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "remembrancer-bench"
START = datetime(2024, 10, 7, 9, tzinfo=UTC)
LATER = timedelta(days=3)
TURNS = 10
PATIENCE = 3_600
"""Seconds for one answer: two cores write a few tokens a second."""

QUOTES = ("forged-quote", "no-quote")
"""Codes of refusals."""

_WORD = re.compile(r"\w+")
_FRAME = frozenset("user users assistant called named since until is was are were".split())
"""Words that a statement in the third person needs, besides the function words."""


@frozen(kw_only=True)
class Case:
    """A conversation, and what is true at its end."""

    name: str
    said: tuple[str, ...]
    at: datetime
    speaker: str | None = None
    true: tuple[str, ...] = ()
    over: tuple[tuple[str, str], ...] = ()
    answer: str | None = None


@frozen(kw_only=True)
class Result:
    """What a subject remembers of a conversation."""

    lost: int
    outdated: int
    junk: int

    @property
    def right(self) -> bool:
        """Whether the facts are the right ones."""
        return not (self.lost or self.outdated or self.junk)


class Subject(Protocol):
    """A memory with a model."""

    def add(self, user: str, text: str, speaker: str | None, at: datetime) -> int:
        """Remember a message; returns the number of facts refused for their quote."""
        ...

    def facts(self, user: str) -> list[str]:
        """The texts of the active facts."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class Ours:
    """Our pipeline."""

    def __init__(self, folder: Path, url: str, options: dict[str, Any]) -> None:
        model = {
            "provider": "litellm",
            "model": "openai/local",
            "base_url": url,
            "api_key": "x",
            "timeout": PATIENCE,
            "retries": 0,
        }
        settings = {
            "audit_log": {"path": str(folder / "ours.db")},
            "language_model": model,
            "extractor": "model",
            "reconciler": "model",
        }
        self._memory = Memory(settings=load_settings({**settings, **options}))

    def add(self, user: str, text: str, speaker: str | None, at: datetime) -> int:
        message = {"role": "user", "content": text, **({"name": speaker} if speaker else {})}
        receipt = self._memory.add([message], user_id=user, occurred_at=at)
        return sum(verdict.refused in QUOTES for verdict in receipt.verdicts)

    def facts(self, user: str) -> list[str]:
        return [fact.text for fact in self._memory.get_all(user_id=user)]

    def close(self) -> None:
        self._memory.close()


class Mem0:
    """mem0's pipeline, as installed, with our embedder."""

    def __init__(self, folder: Path, url: str) -> None:
        os.environ["MEM0_TELEMETRY"] = "False"
        os.environ["MEM0_DIR"] = str(folder / "mem0")
        # mem0 would try to download a model for keywords, with pauses of half a minute.
        os.environ["HF_HUB_OFFLINE"] = "1"
        logging.getLogger("mem0").setLevel(logging.ERROR)
        import mem0
        from mem0.configs import prompts

        self._prompts: Any = prompts
        model = {"model": "local", "openai_base_url": url, "api_key": "x", "temperature": 0.0}
        store = {"path": str(folder / "vectors"), "embedding_model_dims": 256, "on_disk": True}
        self._memory: Any = mem0.Memory.from_config(
            {
                "llm": {"provider": "openai", "config": model},
                "embedder": {"provider": "openai", "config": {"api_key": "x"}},
                "vector_store": {"provider": "qdrant", "config": store},
                "history_db_path": str(folder / "history.db"),
            }
        )
        self._memory.embedding_model = _Embedding()

    def add(self, user: str, text: str, speaker: str | None, at: datetime) -> int:
        day = at.date().isoformat()
        self._prompts._resolve_dates = lambda *_: (day, day)
        message = {"role": "user", "content": text, **({"name": speaker} if speaker else {})}
        self._memory.add([message], user_id=user)
        return 0

    def facts(self, user: str) -> list[str]:
        found = self._memory.get_all(filters={"user_id": user}, top_k=1000)["results"]
        return [item["memory"] for item in found]

    def close(self) -> None:
        self._memory.close()
        self._memory.vector_store.client.close()


class _Embedding:
    """mem0's embedder protocol over ours."""

    def __init__(self) -> None:
        self._embedder = HashingEmbedder()

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: Sequence[str], memory_action: str = "add") -> list[list[float]]:
        return [[float(x) for x in each] for each in self._embedder.embed(texts, "document")]


def cases() -> list[Case]:
    """The conversations that are part of the project."""
    return [
        Case(
            name=f"case-{number}",
            said=tuple(case["said"]),
            at=START,
            true=tuple(case["true"]),
            over=tuple((old, new) for old, new in case["over"]),
        )
        for number, case in enumerate(json.loads(CASES.read_text(encoding="utf-8")))
    ]


def turns(file: Path) -> list[Case]:
    """The first turns of LoCoMo that answer a question alone."""
    samples = json.loads(file.read_text(encoding="utf-8"))
    answering = islice(chain.from_iterable(map(turns_with_answers, samples)), TURNS)
    return [
        Case(name=f"turn-{number}", said=(text,), at=at, speaker=speaker, answer=answer)
        for number, (text, at, speaker, answer) in enumerate(answering)
    ]


def judged(case: Case, facts: Sequence[str]) -> Result:
    """Whether the facts are those of a conversation."""
    answer = _words(case.answer or "")
    missed = bool(answer) and not any(len(answer & _words(f)) * 2 >= len(answer) for f in facts)
    return Result(
        lost=missed + sum(not any(_has(fact, each) for fact in facts) for each in case.true),
        outdated=sum(
            _has(fact, old) and not _has(fact, new) for fact in facts for old, new in case.over
        ),
        junk=sum(_is_junk(facts, place, case) for place in range(len(facts))),
    )


def _has(fact: str, alternatives: str) -> bool:
    return any(each.casefold() in fact.casefold() for each in alternatives.split("|"))


def _words(text: str) -> set[str]:
    """The stems of the words that carry the meaning."""
    found = {word.casefold() for word in _WORD.findall(text)}
    return {word[:4] for word in found - FUNCTION_WORDS - _FRAME}


def _is_junk(facts: Sequence[str], place: int, case: Case) -> bool:
    words = _words(facts[place])
    said = _words(" ".join((*case.said, case.speaker or "")))
    repeated = any(words == _words(earlier) for earlier in facts[:place])
    return repeated or len(words & said) * 2 < len(words) or not words


@frozen(kw_only=True)
class Table:
    """The figures of one subject."""

    results: tuple[Result, ...]
    refused: int
    spent: Spent


def measured(make: Callable[[Path], Subject], asked: Sequence[Case], recorder: Recorder) -> Table:
    """Tell a subject all conversations; prints a line for each."""
    before, refused, results = recorder.spent, 0, []
    with (
        tempfile.TemporaryDirectory(prefix="bench-real-model-") as folder,
        closing(make(Path(folder))) as subject,
    ):
        for case in asked:
            for number, text in enumerate(case.said):
                at = case.at + number * LATER
                refused += subject.add(case.name, text, case.speaker, at)
            facts = subject.facts(case.name)
            results.append(judged(case, facts))
            print(f"{type(subject).__name__} {case.name} {results[-1]} {facts}", flush=True)
    after = recorder.spent
    spent = Spent(
        calls=after.calls - before.calls,
        read=after.read - before.read,
        written=after.written - before.written,
        seconds=after.seconds - before.seconds,
    )
    return Table(results=tuple(results), refused=refused, spent=spent)


def compared(
    asked: Sequence[Case], recorder: Recorder, options: dict[str, Any]
) -> tuple[Table, Table] | None:
    """The tables of ours and of mem0's; ``None`` if an answer is not recorded."""
    with ModelServer(answer=recorder.answer) as server:
        try:
            ours = measured(lambda folder: Ours(folder, server.url, options), asked, recorder)
            theirs = measured(lambda folder: Mem0(folder, server.url), asked, recorder)
        except InvalidRequest:
            if not recorder.missing:
                raise
            return None
    return None if recorder.missing else (ours, theirs)


def rows(group: str, ours: Table, theirs: Table) -> Iterator[Row]:
    """The rows of one group of conversations. Counts have no ratio, because they may be zero: the
    bar is mem0's count.
    """
    for name in ("right", "lost", "outdated", "junk"):
        mine, other = (sum(getattr(each, name) for each in t.results) for t in (ours, theirs))
        yield Row(
            case=f"{group}: {name}",
            unit=f"of {len(ours.results)}" if name == "right" else "facts",
            ours=mine,
            more_is_better=name == "right",
            bar=other,
            note=f"mem0 {other}",
        )
    yield Row(case=f"{group}: refused for their quote", unit="facts", ours=ours.refused)
    for name, unit in (("calls", ""), ("read", "tokens"), ("written", "tokens"), ("seconds", "s")):
        yield Row(
            case=f"{group}: {name}",
            unit=unit,
            ours=getattr(ours.spent, name),
            theirs=getattr(theirs.spent, name),
            more_is_better=False,
            bar=1.0,
        )


def main() -> int:
    """Run the benchmark; return 1 if ours is worse in a row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--server", help="address of a model, with /v1; default: recorded answers")
    parser.add_argument("--locomo", type=Path, default=LOCOMO, help="LoCoMo's file")
    parser.add_argument("--options", type=json.loads, default={}, help="further settings of ours")
    parser.add_argument("--first", type=int, default=1000, help="conversations of each group")
    arguments = parser.parse_args()
    groups = [("cases", cases(), RECORDED)]
    if arguments.locomo.exists():
        groups.append(("LoCoMo", turns(arguments.locomo), OUTSIDE / "locomo_answers.jsonl"))
    else:
        print(f"LoCoMo left out: there is no {arguments.locomo}")
    table: list[Row] = []
    for name, asked, file in groups:
        recorder = Recorder(file=file, server=arguments.server, timeout=PATIENCE)
        tables = compared(asked[: arguments.first], recorder, arguments.options)
        if tables is None:
            print(f"{name}: requests are not recorded in {file}; name a --server")
            return 1
        table += rows(name, *tables)
    met = report(
        "real_model",
        "A small real model, our pipeline against mem0ai",
        table,
        subjects=("remembrancer", "mem0ai"),
        settings={"options": arguments.options},
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
