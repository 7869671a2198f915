"""Evidence recall on LoCoMo: the share of evidence turns that a search finds.

Uses only the public API, with the offline defaults and no model: a conversation is one user, every
session one ``add(..., infer=False)`` with the date of the session, every turn a verbatim fact; each
question is one ``search(limit=20)``. A question's recall at k is the share of its evidence turns
among the first k results; the report has the mean over questions, and the mean reciprocal rank of
the first evidence turn. Questions without evidence in the conversation are skipped; unanswerable
questions (category 5) have evidence and count. Answers are not evaluated: there is no language
model here.

The data (Maharana et al., 2024, "Evaluating Very Long-Term Conversational Memory of LLM Agents",
repository snap-research/locomo, CC BY-NC 4.0) is not part of the project: pass a copy of
``locomo10.json``, or part of it. For comparison, recall at 10 on all ten conversations: BM25 alone
0.61 to 0.65, with context windows 0.70, fused with MiniLM embeddings 0.65, and with every cheap
signal and MiniLM 0.83.

    python -m bench.locomo [FILE]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from bench.report import Row, quantile, report
from remembrancer import Memory, SearchResult

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "locomo_dev.json"
CUTS = (5, 10, 20)
BAR = 0.815
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open domain", 4: "single-hop", 5: "adversarial"}


@frozen(kw_only=True)
class Asked:
    """One question: the rank of each evidence turn (0: not found), and the search's seconds.

    ``margin``: the best score of a turn of the person that it names, minus the best one of the
    other; ``None`` if it names nobody. ``known``: a search that may abstain returns something.
    """

    category: int
    ranks: tuple[int, ...]
    seconds: float
    margin: float | None
    known: bool

    def recall(self, cut: int) -> float:
        return sum(1 for rank in self.ranks if 0 < rank <= cut) / len(self.ranks)

    @property
    def reciprocal_rank(self) -> float:
        return max((1 / rank for rank in self.ranks if rank), default=0.0)


def remember(memory: Memory, sample: dict[str, Any]) -> set[str]:
    """Store a conversation; return the ids of its turns."""
    turns = set[str]()
    for began, session in _sessions(sample["conversation"]):
        memory.add(
            [_message(turn, began) for turn in session],
            user_id=sample["sample_id"],
            infer=False,
        )
        turns.update(turn["dia_id"] for turn in session)
    return turns


def turns_with_answers(sample: dict[str, Any]) -> Iterator[tuple[str, datetime, str, str]]:
    """The turns that answer a question alone: text, time, speaker, and the noted answer."""
    conversation = sample["conversation"]
    said = {
        turn["dia_id"]: (turn["text"], began, turn["speaker"])
        for began, session in _sessions(conversation)
        for turn in session
    }
    for question in sample["qa"]:
        named = question.get("evidence", [])
        if question["category"] == 4 and len(named) == 1 and named[0] in said:
            yield *said.pop(named[0]), str(question["answer"])


def _sessions(conversation: dict[str, Any]) -> Iterator[tuple[datetime, list[dict[str, Any]]]]:
    """The sessions in their order, with the time when they began."""
    for name in sorted(conversation, key=_session_number):
        session = conversation[name]
        if isinstance(session, list) and session:
            date = f"{conversation[f'{name}_date_time']} +0000"
            yield datetime.strptime(date, "%I:%M %p on %d %B, %Y %z"), session


def _session_number(name: str) -> int:
    found = re.fullmatch(r"session_(\d+)", name)
    return int(found[1]) if found else 0


def _message(turn: dict[str, Any], began: datetime) -> dict[str, Any]:
    return {
        "role": "user",
        "name": turn["speaker"],
        "content": turn["text"],
        "timestamp": began,
        "metadata": {"dia_id": turn["dia_id"]},
    }


def ask(memory: Memory, sample: dict[str, Any], turns: set[str]) -> Iterator[Asked]:
    """Search for every question that has evidence in its conversation."""
    people = [sample["conversation"][f"speaker_{letter}"] for letter in "ab"]
    for question in sample["qa"]:
        # Some entries have several ids in one string, and a few ids do not exist.
        named = re.findall(r"D\d+:\d+", " ".join(question.get("evidence", [])))
        evidence = [turn for turn in dict.fromkeys(named) if turn in turns]
        if not evidence:
            continue
        start = time.perf_counter()
        found = memory.search(question["question"], user_id=sample["sample_id"], limit=max(CUTS))
        seconds = time.perf_counter() - start
        places = {hit.fact.metadata["dia_id"]: rank for rank, hit in enumerate(found, 1)}
        yield Asked(
            category=question["category"],
            ranks=tuple(places.get(turn, 0) for turn in evidence),
            seconds=seconds,
            margin=_margin(found, [name for name in people if name in question["question"]]),
            known=not memory.search(
                question["question"], user_id=sample["sample_id"], limit=1, abstain=True
            ).abstained,
        )


def _margin(found: SearchResult, names: Sequence[str]) -> float | None:
    if not names:
        return None
    own = [hit.score for hit in found if hit.fact.speaker in names]
    others = [hit.score for hit in found if hit.fact.speaker not in names]
    return max(own, default=0.0) - max(others, default=0.0)


def auc(answerable: Sequence[float], adversarial: Sequence[float]) -> float:
    """How often an answerable question has the higher margin, of all pairs."""
    wins = sum(
        1.0 if one > other else 0.5 if one == other else 0.0
        for one in answerable
        for other in adversarial
    )
    return wins / (len(answerable) * len(adversarial))


def rows(asked: Sequence[Asked], added: Sequence[float], turns: int) -> list[Row]:
    """Rows of the report."""
    result = [
        Row(
            case=f"recall@{cut}",
            unit="share",
            ours=statistics.mean(each.recall(cut) for each in asked),
            bar=BAR if cut == 10 else None,
        )
        for cut in CUTS
    ]
    result.append(
        Row(case="MRR", unit="share", ours=statistics.mean(each.reciprocal_rank for each in asked))
    )
    by_category: dict[int, list[Asked]] = defaultdict(list)
    for each in asked:
        by_category[each.category].append(each)
    result += [
        Row(
            case=f"recall@10, {CATEGORIES.get(category, category)}",
            unit="share",
            ours=statistics.mean(each.recall(10) for each in of_category),
            note=f"{len(of_category)} questions",
        )
        for category, of_category in sorted(by_category.items())
    ]
    margins = [
        [each.margin for each in asked if each.margin is not None and (each.category == 5) is hard]
        for hard in (False, True)
    ]
    result.append(Row(case="AUC of the margin, adversarial", unit="share", ours=auc(*margins)))
    for name, hard in (("answerable returned", False), ("adversarial abstained", True)):
        outcomes = [each.known is not hard for each in asked if (each.category == 5) is hard]
        result.append(Row(case=f"abstain: {name}", unit="share", ours=statistics.mean(outcomes)))
    searches = [each.seconds * 1000 for each in asked]
    for name, value in (("p50", quantile(searches, 0.5)), ("p95", quantile(searches, 0.95))):
        result.append(Row(case=f"search {name}", unit="ms", ours=value, more_is_better=False))
    result.append(Row(case="add, by sessions", unit="turns/s", ours=turns / sum(added)))
    return result


def main() -> int:
    """Run the benchmark; return 1 if the bar was missed, 2 if there is no data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path, nargs="?", default=DATA)
    file: Path = parser.parse_args().file
    if not file.exists():
        print(f"{file}: no such file; pass a copy of LoCoMo's locomo10.json", file=sys.stderr)
        return 2
    samples = json.loads(file.read_text(encoding="utf-8"))
    asked: list[Asked] = []
    added: list[float] = []
    count = 0
    with (
        tempfile.TemporaryDirectory(prefix="bench-locomo-") as folder,
        Memory(Path(folder) / "locomo.db") as memory,
    ):
        for sample in samples:
            start = time.perf_counter()
            turns = remember(memory, sample)
            added.append(time.perf_counter() - start)
            count += len(turns)
            asked += ask(memory, sample, turns)
    met = report(
        "locomo",
        f"Evidence recall on LoCoMo: {len(asked)} questions on {count:,} turns in "
        f"{len(samples)} conversations",
        rows(asked, added, count),
        settings={"file": file.name, "infer": False, "limit": max(CUTS)},
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
