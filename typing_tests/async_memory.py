"""The types of the results of ``AsyncMemory``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

from remembrancer import (
    Added,
    Adding,
    AsyncMemory,
    AsyncPendingReceipt,
    Context,
    Conversation,
    Entity,
    Exploration,
    Fact,
    Page,
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


class OwnMemory(AsyncMemory):
    """A subclass of a user."""


async def open_and_close() -> None:
    assert_type(AsyncMemory(), AsyncMemory)
    assert_type(AsyncMemory("app.db"), AsyncMemory)
    assert_type(
        AsyncMemory(Path("app.db"), on_rebuild=lambda label, done, total: None), AsyncMemory
    )
    assert_type(AsyncMemory(settings=load_settings({}), overrides={"clock": object()}), AsyncMemory)
    assert_type(AsyncMemory.from_config({"audit_log": {"path": "app.db"}}), AsyncMemory)
    assert_type(AsyncMemory.from_config("app.toml"), AsyncMemory)
    assert_type(OwnMemory.from_config({}), OwnMemory)
    assert_type(await AsyncMemory.open(), AsyncMemory)
    assert_type(await AsyncMemory.open("app.db", on_rebuild=lambda *done: None), AsyncMemory)
    assert_type(await OwnMemory.open(Path("app.db"), settings=load_settings()), OwnMemory)
    async with AsyncMemory("app.db") as memory:
        assert_type(memory, AsyncMemory)
    async with OwnMemory() as own:
        assert_type(own, OwnMemory)
    assert_type(await memory.close(), None)


async def add(memory: AsyncMemory, *, wait: bool) -> None:
    assert_type(await memory.add("I live in Paris.", user_id="ann"), Receipt)
    assert_type(await memory.add({"role": "user", "content": "Hi."}, agent_id="bot"), Receipt)
    assert_type(
        await memory.add(["Hi.", {"content": "Hello."}], run_id="7", app_id="shop"), Receipt
    )
    assert_type(
        await memory.add(
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
    assert_type(await memory.add("Hi.", wait=True, user_id="ann"), Receipt)
    assert_type(await memory.add("Hi.", wait=wait, user_id="ann"), Receipt)
    pending = await memory.add("Hi.", wait=False, user_id="ann")
    assert_type(pending, AsyncPendingReceipt)
    assert_type(await pending.wait(), Receipt)
    assert_type(await pending.wait(timeout=2.5), Receipt)


async def add_many(memory: AsyncMemory) -> None:
    conversations: list[Conversation] = [{"messages": "Hi.", "user_id": "ann"}]
    assert_type(await memory.add_many(conversations), Added)
    assert_type(await memory.add_many(iter(conversations), concurrency=4), Added)

    def report(progress: Adding) -> None:
        assert_type(progress, Adding)

    assert_type(await memory.add_many(conversations, progress=report), Added)


async def read(memory: AsyncMemory) -> None:
    found = await memory.search(
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
    assert_type(await memory.get("f1"), Fact)
    assert_type(await memory.get("f1", as_of=MAY, user_id="ann"), Fact)
    context = await memory.context(
        "Where?", max_tokens=500, style="prose", as_of=MAY, user_id="ann"
    )
    assert_type(context, Context)
    assert_type(context.fact_ids, tuple[FactId, ...])
    profile = await memory.profile(as_of="2024-05-03", user_id="ann")
    assert_type(profile, Profile)
    assert_type(profile.attributes, tuple[Attribute, ...])
    assert_type(profile.themes[0], Theme)
    page = await memory.get_all(
        filters={}, order="created_at", limit=10, cursor=None, valid_at=MAY, user_id="ann"
    )
    assert_type(page, Page)
    assert_type(page.cursor, str | None)
    assert_type(page[0], Fact)
    assert_type(list(page), list[Fact])
    assert_type(len(page), int)
    assert_type(await memory.history("f1", user_id="ann"), list[Fact])


async def audit(memory: AsyncMemory) -> None:
    assert_type(await memory.audit.why("f1", version=2, as_of=MAY, user_id="ann"), Why)
    difference = await memory.audit.diff("@3", MAY, kind="semantic", user_id="ann")
    assert_type(difference, Difference)
    assert_type(difference[0], FactDifference)
    assert_type(difference.inverted, Difference)
    timeline = await memory.audit.timeline(start="@3", end=MAY, limit=5, user_id="ann")
    assert_type(timeline, Timeline)
    assert_type(timeline.facts[0], TimelineFact)
    assert_type(timeline.events[0], TimelineEvent)
    assert_type(await memory.audit.why_not("nuts", limit=3, user_id="ann"), list[Dismissal])
    receipt = await memory.add("Hi.", user_id="ann")
    assert_type(await memory.audit.undo(receipt, cascade=True, user_id="ann"), Undone)


async def explore(memory: AsyncMemory) -> None:
    assert_type(await memory.graph(user_id="ann"), Exploration | None)
    assert_type(
        await memory.graph("Ann", depth=1, limit=9, as_of=MAY, user_id="ann"), Exploration | None
    )
    assert_type(await memory.entities(limit=9, valid_at=MAY, user_id="ann"), list[Entity])
    assert_type(
        await memory.relations("Ann", limit=9, as_of="2024-05-03", user_id="ann"), list[Relation]
    )


async def edit(memory: AsyncMemory) -> None:
    assert_type(await memory.update("f1", "I live in Rome.", reason="moved"), Receipt | None)
    assert_type(
        await memory.update("f1", metadata={"a": 1}, actor="ann", user_id="ann"), Receipt | None
    )
    assert_type(await memory.state("user", "lives in", "Rome", user_id="ann"), Receipt)
    assert_type(await memory.end("f1", at=MAY), Receipt)
    assert_type(await memory.correct("f1", value="Rome", valid_to=None), Receipt | None)
    assert_type(await memory.delete("f1", block=True), Receipt)
    assert_type(await memory.delete("f1", reason="wrong", actor="ann", user_id="ann"), Receipt)
    assert_type(await memory.delete_all(reason="asked", user_id="ann"), Receipt | None)


async def operate(memory: AsyncMemory) -> None:
    assert_type(await memory.verify(), Verification)
    assert_type(await memory.verify(lambda done, total: None), Verification)
    assert_type(await memory.verify(chain=True, jobs=2), Verification)
    assert_type((await memory.verify()).first, Fault | None)
    assert_type(await memory.stats(), Statistics)
    assert_type(await memory.stats(user_id="ann"), Statistics)
    assert_type(await memory.retry(), Retried)
    assert_type(await memory.retry(progress=lambda done, total: None, user_id="ann"), Retried)
    assert_type(await memory.refill(), int)
    assert_type(await memory.refill(lambda done: None), int)
    assert_type(await memory.compact(), int)


async def deliver(memory: AsyncMemory) -> None:
    def show(report: Report) -> None:
        assert_type(report, Report)

    assert_type(await memory.run_worker(), Report)
    assert_type(await memory.run_worker(stop=lambda: True, on_report=show, once=True), Report)
    assert_type(await memory.rebuild("vector_index", on_report=show), Report)
    assert_type(await memory.dead_letters(), list[DeadLetter])
    assert_type(await memory.retry_dead_letters(), Revived)
