"""The types of the results of ``Memory``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

from remembrancer import (
    Added,
    Adding,
    Context,
    Conversation,
    Entity,
    Exploration,
    Fact,
    Memory,
    Page,
    PendingReceipt,
    Profile,
    Receipt,
    Relation,
    ScoredFact,
    SearchResult,
    Statistics,
    Verification,
    load_settings,
)
from remembrancer.types import (
    Attribute,
    DeadLetter,
    Difference,
    Dismissal,
    FactDifference,
    FactId,
    Fault,
    Report,
    Retried,
    Revived,
    Theme,
    Timeline,
    TimelineEvent,
    TimelineFact,
    Undone,
    Why,
)

MAY = datetime(2024, 5, 3, tzinfo=UTC)


class OwnMemory(Memory):
    """A subclass of a user."""


def open_and_close() -> None:
    assert_type(Memory(), Memory)
    assert_type(Memory("app.db"), Memory)
    assert_type(Memory(Path("app.db"), on_rebuild=lambda label, done, total: None), Memory)
    assert_type(Memory(settings=load_settings({}), overrides={"clock": object()}), Memory)
    assert_type(Memory.from_config({"audit_log": {"path": "app.db"}}), Memory)
    assert_type(Memory.from_config("app.toml"), Memory)
    assert_type(OwnMemory.from_config({}), OwnMemory)
    with Memory("app.db") as memory:
        assert_type(memory, Memory)
    with OwnMemory() as own:
        assert_type(own, OwnMemory)
    assert_type(memory.close(), None)


def add(memory: Memory, *, wait: bool) -> None:
    assert_type(memory.add("I live in Paris.", user_id="ann"), Receipt)
    assert_type(memory.add({"role": "user", "content": "Hi."}, agent_id="bot"), Receipt)
    assert_type(memory.add(["Hi.", {"content": "Hello."}], run_id="7", app_id="shop"), Receipt)
    assert_type(
        memory.add(
            "I live in Paris.",
            user_id="ann",
            metadata={"source": "chat"},
            occurred_at=MAY,
            expires_at="2030-01-01",
            infer=False,
            kind="procedural",
            instructions="Keep allergies.",
            include=["food"],
            exclude=("work",),
            categories=["health"],
            idempotency_key="k-1",
            actor="support",
        ),
        Receipt,
    )
    assert_type(memory.add("Hi.", wait=True, user_id="ann"), Receipt)
    assert_type(memory.add("Hi.", wait=wait, user_id="ann"), Receipt)
    pending = memory.add("Hi.", wait=False, user_id="ann")
    assert_type(pending, PendingReceipt)
    assert_type(pending.wait(), Receipt)
    assert_type(pending.wait(timeout=2.5), Receipt)


def add_many(memory: Memory) -> None:
    conversations: list[Conversation] = [{"messages": "Hi.", "user_id": "ann"}]
    assert_type(memory.add_many(conversations), Added)
    assert_type(memory.add_many(iter(conversations), concurrency=4), Added)

    def report(progress: Adding) -> None:
        assert_type(progress, Adding)

    assert_type(memory.add_many(conversations, progress=report), Added)


def read(memory: Memory) -> None:
    found = memory.search(
        "Where does Ann live?",
        filters={"kind": "semantic"},
        limit=5,
        threshold=0.2,
        as_of=MAY,
        valid_at="2024-05-03",
        explain=True,
        rerank=None,
        abstain=True,
        user_id="ann",
    )
    assert_type(found, SearchResult)
    assert_type(found[0], ScoredFact)
    assert_type([hit.fact.text for hit in found], list[str])
    assert_type(found[:2], tuple[ScoredFact, ...])
    assert_type([(hit.id, hit.text) for hit in found], list[tuple[FactId, str]])
    assert_type(memory.get("f1"), Fact)
    assert_type(memory.get("f1", as_of=MAY, user_id="ann"), Fact)
    context = memory.context("Where?", max_tokens=500, style="prose", as_of=MAY, user_id="ann")
    assert_type(context, Context)
    assert_type(context.fact_ids, tuple[FactId, ...])
    profile = memory.profile(as_of="2024-05-03", user_id="ann")
    assert_type(profile, Profile)
    assert_type(profile.attributes, tuple[Attribute, ...])
    assert_type(profile.themes[0], Theme)
    page = memory.get_all(
        filters={}, order="created_at", limit=10, cursor=None, valid_at=MAY, user_id="ann"
    )
    assert_type(page, Page)
    assert_type(page.cursor, str | None)
    assert_type(page[0], Fact)
    assert_type(list(page), list[Fact])
    assert_type(len(page), int)
    assert_type(memory.history("f1", user_id="ann"), list[Fact])


def audit(memory: Memory) -> None:
    assert_type(memory.audit.why("f1", version=2, as_of=MAY, user_id="ann"), Why)
    difference = memory.audit.diff("@3", MAY, kind="semantic", user_id="ann")
    assert_type(difference, Difference)
    assert_type(difference[0], FactDifference)
    assert_type(difference.inverted, Difference)
    timeline = memory.audit.timeline(start="@3", end=MAY, limit=5, user_id="ann")
    assert_type(timeline, Timeline)
    assert_type(timeline.facts[0], TimelineFact)
    assert_type(timeline.events[0], TimelineEvent)
    assert_type(memory.audit.why_not("nuts", limit=3, user_id="ann"), list[Dismissal])
    receipt = memory.add("Hi.", user_id="ann")
    assert_type(memory.audit.undo(receipt, cascade=True, dry_run=True, user_id="ann"), Undone)
    assert_type(memory.audit.undo("c1", reason="a joke", actor="support"), Undone)


def explore(memory: Memory) -> None:
    assert_type(memory.graph(user_id="ann"), Exploration | None)
    assert_type(memory.graph("Ann", depth=1, limit=9, as_of=MAY, user_id="ann"), Exploration | None)
    assert_type(memory.entities(limit=9, valid_at=MAY, user_id="ann"), list[Entity])
    assert_type(memory.relations("Ann", limit=9, as_of="2024-05-03", user_id="ann"), list[Relation])


def state(memory: Memory) -> None:
    assert_type(memory.state("user", "lives in", "Rome", user_id="ann"), Receipt)
    assert_type(
        memory.state(
            *("user", "likes", "tea"),
            valid_from=MAY,
            valid_to="2030-01-01T00:00:00Z",
            single=False,
            text="Ann likes tea.",
            metadata={"source": "form"},
            reason="asked",
            user_id="ann",
        ),
        Receipt,
    )
    assert_type(memory.end("f1", at=MAY, reason="moved", user_id="ann"), Receipt)
    assert_type(memory.correct("f1", text="I live in Rome."), Receipt | None)
    assert_type(memory.correct("f1", value="Rome", valid_from=None, valid_to=MAY), Receipt | None)


def edit(memory: Memory) -> None:
    assert_type(memory.update("f1", "I live in Rome.", reason="moved"), Receipt | None)
    assert_type(memory.update("f1", metadata={"a": 1}, actor="ann", user_id="ann"), Receipt | None)
    assert_type(memory.delete("f1", reason="wrong", actor="ann", user_id="ann"), Receipt)
    assert_type(memory.delete("f1", block=True), Receipt)
    assert_type(memory.delete_all(reason="asked", user_id="ann"), Receipt | None)


def operate(memory: Memory) -> None:
    assert_type(memory.verify(), Verification)
    assert_type(memory.verify(lambda done, total: None), Verification)
    assert_type(memory.verify(chain=True, jobs=2), Verification)
    assert_type(memory.verify().first, Fault | None)
    assert_type(memory.stats(), Statistics)
    assert_type(memory.stats(user_id="ann"), Statistics)
    assert_type(memory.retry(), Retried)
    assert_type(memory.retry(progress=lambda done, total: None, user_id="ann"), Retried)
    assert_type(memory.refill(), int)
    assert_type(memory.refill(lambda done: None), int)
    assert_type(memory.compact(), int)


def deliver(memory: Memory) -> None:
    def show(report: Report) -> None:
        assert_type(report, Report)

    assert_type(memory.run_worker(), Report)
    assert_type(memory.run_worker(stop=lambda: True, on_report=show, once=True), Report)
    assert_type(memory.rebuild("vector_index", on_report=show), Report)
    assert_type(memory.dead_letters(), list[DeadLetter])
    assert_type(memory.retry_dead_letters(), Revived)
