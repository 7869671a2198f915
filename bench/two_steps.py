"""Questions whose answer is two relations away: recall and search time with and without the graph.

A synthetic ledger of 400 people in 200 pairs. One of a pair is related to the other ("Ken is the
boss of Mia."); both work, live and play somewhere. Each question asks about the first by way of the
second: spelled out ("Where does Mia's boss work?") or in words that no fact has ("What is the job
of Mia's boss?"). The answer names neither Mia nor a boss. The same search runs with the graph and
with an empty one; measured are the recall of the answering fact among ten, and the time of a
search; also for a ledger with facts but no relation, and for a person with 2,000 relations.

The data is as simple as possible: one fact per sentence, one relation per fact, unique names. It
shows that a search walks two steps, not how often conversations need them.

    python -m bench.two_steps
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

from attrs import frozen

from bench.report import Row, quantile, report
from remembrancer import Memory
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.domain.events import Event, FactAdded, RelationAsserted
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import append_of, new_id

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
TIES = ("sister", "boss", "neighbour", "teacher", "dentist")
LIVES = {
    "works at": ("Where does {}'s {} work?", "What is the job of {}'s {}?"),
    "lives in": ("Where does {}'s {} live?", "What is the home of {}'s {}?"),
    "plays": ("What does {}'s {} play?", "What is the hobby of {}'s {}?"),
}
NAMES = ["".join(parts).capitalize() for parts in product("bdfgklmnprst", "aeiou", "lmnrs", "aeio")]
THINGS = ["".join(parts).capitalize() for parts in product("vwxz", "aeiou", "bdgkt", "uy", "nrs")]


@frozen(kw_only=True)
class Question:
    """A question, and the text of the fact that answers it."""

    text: str
    answer: str
    spelled_out: bool


def fact_events(
    scope: Scope, subject: str, predicate: str, thing: str, *, related: bool
) -> list[Event]:
    """A fact, and its relation if ``related``."""
    fact = FactAdded(
        fact_id=FactId(new_id()),
        scope=scope,
        text=f"{subject} {predicate} {thing}.",
        entities=(subject, thing),
        occurred_at=NOON + timedelta(hours=random.randrange(10_000)),
    )
    relation = RelationAsserted(
        relation_id=new_id(),
        scope=scope,
        subject=subject,
        predicate=predicate,
        object=thing,
        fact_id=fact.fact_id,
    )
    return [fact, relation] if related else [fact]


def world(scope: Scope, *, related: bool) -> tuple[list[Event], list[Question]]:
    """The events of a ledger, and the questions about it."""
    people = random.sample(NAMES, 400)
    events: list[Event] = []
    questions: list[Question] = []
    for one, other in zip(people[::2], people[1::2], strict=True):
        tie = random.choice(TIES)
        events += fact_events(scope, other, f"is the {tie} of", one, related=related)
        for predicate, forms in LIVES.items():
            thing = random.choice(THINGS)
            events += fact_events(scope, other, predicate, thing, related=related)
            events += fact_events(scope, one, predicate, random.choice(THINGS), related=related)
            questions += [
                Question(
                    text=form.format(one, tie),
                    answer=f"{other} {predicate} {thing}.",
                    spelled_out=form is forms[0],
                )
                for form in forms
            ]
    return events, questions


@contextmanager
def remembered(scope: Scope, events: Sequence[Event]) -> Iterator[tuple[Memory, Memory]]:
    """A memory with these events, and one on the same file with an empty graph."""
    with tempfile.TemporaryDirectory(prefix="bench-two-steps-") as folder:
        path = Path(folder) / "two.db"
        overrides = {"knowledge_graph": InMemoryKnowledgeGraph()}
        with Memory(path) as memory, Memory(path, overrides=overrides) as without:
            log = memory._inner._container.audit_log()
            for start in range(0, len(events), 500):
                log.append(append_of(events[start : start + 500], ledger=scope.ledger))
            yield memory, without


def asked(
    memories: Sequence[Memory], scope: Scope, questions: Sequence[Question]
) -> list[list[tuple[bool, float]]]:
    """For each memory: whether each question was answered, and the milliseconds."""
    outcomes: list[list[tuple[bool, float]]] = [[] for _ in memories]
    pairs = list(zip(memories, outcomes, strict=True))
    for number, question in enumerate(questions):
        # Alternate the order, since the first search warms shared caches.
        for memory, outcome in pairs if number % 2 else reversed(pairs):
            start = time.perf_counter()
            found = memory.search(question.text, user_id=scope.user_id)
            took = (time.perf_counter() - start) * 1000
            outcome.append((question.answer in {one.fact.text for one in found}, took))
    return outcomes


def rows(name: str, outcomes: Sequence[Sequence[tuple[bool, float]]], note: str) -> list[Row]:
    """Rows for recall and search time, with and without the graph."""
    ours, theirs = outcomes
    recall = [sum(answered for answered, _ in one) / len(one) for one in (ours, theirs)]
    p50 = [quantile([took for _, took in one], 0.5) for one in (ours, theirs)]
    return [
        Row(case=f"{name}: recall@10", unit="share", ours=recall[0], note=note),
        Row(case=f"{name}: recall@10, no graph", unit="share", ours=recall[1]),
        Row(
            case=f"{name}: search p50", unit="ms", ours=p50[0], theirs=p50[1], more_is_better=False
        ),
    ]


def main() -> int:
    """Run the benchmark; return the exit code."""
    random.seed(7)
    scope = Scope(user_id="two-steps")
    found: list[Row] = []
    events, questions = world(scope, related=True)
    with remembered(scope, events) as memories:
        for spelled_out in (True, False):
            some = [one for one in questions if one.spelled_out is spelled_out]
            name = "spelled out" if spelled_out else "in other words"
            note = f"{len(some)} questions"
            found += rows(name, asked(memories, scope, some), note)
    events, questions = world(scope, related=False)
    with remembered(scope, events) as memories:
        found += rows("no relation", asked(memories, scope, questions), "nothing to walk")[2:]
    hub, thing = NAMES[0], "What does {} like?"
    events = [
        event
        for number in range(2000)
        for event in fact_events(
            scope, hub, "likes", f"{THINGS[number % 600]} {number}", related=True
        )
    ]
    with remembered(scope, events) as memories:
        question = Question(text=thing.format(hub), answer="", spelled_out=True)
        found += rows("hub", asked(memories, scope, [question] * 50), "2,000 relations of one")[2:]
    met = report(
        "two_steps",
        "Two relations away",
        found,
        subjects=("remembrancer", "no graph"),
        settings={"people": 400},
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
