"""Beliefs that stay, change and are dated: the share of cases that the rules get right, by kind.

Uses only the public API, with the offline defaults and no model; every case is a user of its own,
and its sentences are said some days apart.

* ``stays``: ``base`` is said, then ``said``; right if the base is still active, word for word or
  revised with more words of the same belief.
* ``changes``: ``said`` are told one after the other; right if an active fact contains each string
  of ``active``, none contains one of ``not_active``, and the first fact for ``question`` contains
  ``answer``. The report has all three: a case that should end something (``not_active``) is right
  without the question.
* ``dates``: ``said`` at ``at``; right if the fact starts on the date noted.
* ``ordinary``: true sentences of our own (``bench.ordinary``), all said by one person after
  another; an end among them is wrong. Needs no file.

The cases (``beliefs.json``) are not part of the project. ``DEBATABLE`` names the ones that can be
judged either way; the report counts them apart.

    python -m bench.beliefs [FILE] [--show]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import frozen

from bench.ordinary import LIVES, lives
from bench.report import Row, report
from remembrancer import Memory
from remembrancer.types import Fact

DATA = Path(__file__).parents[1] / ".." / "shared" / "cases" / "beliefs.json"
START = datetime(2024, 10, 7, 9, tzinfo=UTC)
LATER = timedelta(days=3)

DEBATABLE: Mapping[tuple[str, ...], str] = {
    ("I am tired.", "I am not tired anymore."): "the second sentence does say that it is over",
    ("一年前に買いました",): "a count of years is as precise as a year: the fact starts with 2023",
    ("I moved a year ago.",): "the same: 2023, not 28 February",
    ("I moved a month ago.",): "a count of months is as precise as a month: February 2024",
    ("The contract ends on 31 December.",): "an end to come; the contract holds from now on",
    ("I lived in Rome until 2015.",): "an end alone, which would hide what was just said",
}
"""Cases, by what was told, in which a careful reader may judge otherwise, and why: a belief that
ends, a date that is less precise."""


@frozen(kw_only=True)
class Judged:
    """One case: whether each check passed, by the name of the check."""

    group: str
    kind: str
    told: tuple[str, ...]
    checks: Mapping[str, bool]

    @property
    def right(self) -> bool:
        return all(self.checks.values())


def judged(memory: Memory, cases: Mapping[str, Sequence[Any]]) -> Iterator[Judged]:
    """Every case of the file, told to a user of its own."""
    for number, case in enumerate(cases["stays"]):
        yield stays(memory, f"stays-{number}", case)
    for number, case in enumerate(cases["changes"]):
        yield changes(memory, f"changes-{number}", case)
    for number, case in enumerate(cases["dates"]):
        if case["right"] is not None:
            yield dated(memory, f"dates-{number}", case)


def stays(memory: Memory, user: str, case: Mapping[str, str]) -> Judged:
    """A belief that must stay."""
    memory.add(case["base"], user_id=user, occurred_at=START)
    known = {fact.fact_id for fact in memory.get_all(user_id=user)}
    memory.add(case["said"], user_id=user, occurred_at=START + LATER)
    left = {fact.fact_id for fact in memory.get_all(user_id=user)}
    told = (case["base"], case["said"])
    group = "debatable" if told in DEBATABLE else "stays"
    return Judged(group=group, kind=case["kind"], told=told, checks={"stays": known <= left})


def changes(memory: Memory, user: str, case: Mapping[str, Any]) -> Judged:
    """A belief that changes, or seems to."""
    for number, said in enumerate(case["said"]):
        memory.add(said, user_id=user, occurred_at=START + number * LATER)
    active = [fact.text for fact in memory.get_all(user_id=user)]
    best = memory.search(case["question"], user_id=user, limit=1).results
    return Judged(
        group="ends" if case["not_active"] else "goes on",
        kind=case["kind"],
        told=tuple(case["said"]),
        checks={
            "kept": all(any(part in text for text in active) for part in case["active"]),
            "ended": not any(part in text for text in active for part in case["not_active"]),
            "first": bool(best) and case["answer"] in best[0].text,
        },
    )


def dated(memory: Memory, user: str, case: Mapping[str, str]) -> Judged:
    """A sentence with a date, or with words that look like one."""
    at = datetime.fromisoformat(case["at"])
    memory.add(case["said"], user_id=user, occurred_at=at)
    dates = [start_of(fact) for fact in memory.get_all(user_id=user)]
    return Judged(
        group="debatable dates" if (case["said"],) in DEBATABLE else "dates",
        kind="dates",
        told=(case["said"],),
        checks={"dated": all(fits(date, case["right"]) for date in dates)},
    )


def start_of(fact: Fact) -> str | None:
    """The date in the text of a fact, ``None`` if it has none."""
    start = fact.valid.start
    dated = start is not None and (start != fact.occurred_at or fact.valid.end is not None)
    return str(start)[:10] if dated else None


def fits(date: str | None, right: str) -> bool:
    """Whether a date is one of those noted: "2024-06-14/21", "~2021-12", "2019/none"."""
    if date is None:
        return "none" in right
    noted: list[str] = re.findall(r"\d{4}(?:-\d\d){0,2}", right)
    noted += [noted[0][:8] + day for day in re.findall(r"(?:/| or )(\d\d)\b", right) if noted]
    return any(date.startswith(each) for each in noted)


def wrong_ends(memory: Memory, people: int = LIVES) -> tuple[int, list[tuple[str, str]]]:
    """The ordinary sentences that were said, and the true ones that another one ended."""
    said, wrong = 0, []
    for number, life in enumerate(lives(people)):
        user = f"life-{number}"
        for day, sentence in enumerate(life):
            receipt = memory.add(sentence, user_id=user, occurred_at=START + timedelta(days=day))
            said += 1
            wrong += [
                (memory.get(fact_id, user_id=user).text, sentence)
                for verdict in receipt.verdicts
                if verdict.decision in ("supersede", "retract")
                for fact_id in filter(None, (verdict.target, *verdict.also_ended))
            ]
    return said, wrong


def rows(results: Sequence[Judged]) -> list[Row]:
    """The table: shares by group with their targets, then the counts by kind."""
    groups = {name: [each for each in results if each.group == name] for name in BARS}
    table = [
        Row(
            case=f"{group}, {' and '.join(checks)}" if checks else group,
            unit="share",
            ours=share(members, checks),
            bar=bar,
            note=f"{len(members)} cases",
        )
        for group, members in groups.items()
        for checks, bar in BARS[group]
        if members
    ]
    counts: Counter[tuple[str, str]] = Counter((each.group, each.kind) for each in results)
    right: Counter[tuple[str, str]] = Counter((e.group, e.kind) for e in results if e.right)
    table += [
        Row(case=f"{group}: {kind}", unit="share", ours=right[group, kind] / count, note=f"{count}")
        for (group, kind), count in sorted(counts.items())
    ]
    return table


BARS: Mapping[str, Sequence[tuple[tuple[str, ...], float | None]]] = {
    "stays": [(("stays",), 0.99)],
    "debatable": [(("stays",), None)],
    "ends": [(("kept", "ended"), 0.75), (("kept", "ended", "first"), None)],
    "goes on": [(("kept",), 0.97), (("kept", "first"), None)],
    "dates": [(("dated",), 1.0)],
    "debatable dates": [(("dated",), None)],
}
"""The checks of each group, with their targets."""


def share(results: Sequence[Judged], checks: Sequence[str]) -> float:
    """The share of results that pass all of the checks."""
    return sum(all(each.checks[name] for name in checks) for each in results) / len(results)


def main() -> int:
    """Run the benchmark; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path, nargs="?", default=DATA)
    parser.add_argument("--show", action="store_true", help="print the cases that are wrong")
    options = parser.parse_args()
    results: list[Judged] = []
    with Memory() as memory:
        if options.file.exists():
            cases = json.loads(options.file.read_text(encoding="utf-8"))
            results = list(judged(memory, cases))
        else:
            print(f"{options.file}: no such file; skipping the cases", file=sys.stderr)
        said, wrong = wrong_ends(memory)
    if options.show:
        for each in results:
            if not each.right:
                print(each.group, each.kind, each.told, dict(each.checks), sep=" | ")
        for ended, by in wrong:
            print("ordinary", ended, by, sep=" | ")
    ends = Row(
        case="ordinary sentences, wrong ends in 10,000",
        unit="ends",
        ours=10_000 * len(wrong) / said,
        more_is_better=False,
        bar=1.0,
        note=f"{len(wrong)} in {said:,} sentences of {LIVES} people",
    )
    met = report(
        "beliefs",
        f"Beliefs that stay and change: {len(results)} cases",
        [*rows(results), ends],
        settings={"file": options.file.name},
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
