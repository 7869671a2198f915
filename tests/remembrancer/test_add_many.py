"""``add_many``: ledgers run concurrently, each in order; failures are returned as values."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from remembrancer import (
    AdapterUnavailable,
    Adding,
    Conversation,
    Failure,
    InvalidRequest,
    Memory,
    ModelError,
    Receipt,
)
from remembrancer.application.parsing.conversations import AddOptions
from remembrancer.memory import AsyncMemory
from remembrancer.testing.model_server import ModelServer
from remembrancer.wiring.settings import load_settings
from tests.helpers.faces import (
    ASYNC,
    SYNC,
    GatedExtractor,
    lanes_of,
    opened,
    queue_threads,
)
from tests.helpers.waiting import PATIENCE

BOTH = pytest.mark.parametrize("face", [SYNC, ASYNC])
USERS = [f"user {number}" for number in range(6)]


def said(user: str, number: int, **more: Any) -> Conversation:
    return {"messages": f"I am {user} and sold boat {number}.", "user_id": user, **more}  # type: ignore[typeddict-item]


def interleaved(each: int = 3) -> list[Conversation]:
    return [said(user, number) for number in range(each) for user in USERS]


def words(conversation: Conversation) -> str:
    text = conversation["messages"]
    assert isinstance(text, str)
    return text


def owner(text: str) -> str:
    return text.removeprefix("I am ").partition(" and ")[0]


@BOTH
def test_receipts_are_in_the_order_of_the_conversations(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            given = interleaved()
            added = await memory.add_many(given)
            assert [receipt.ledger for receipt in added.outcomes] == [
                f"user:{owner(words(conversation))}" for conversation in given
            ]
            assert [receipt.verdicts[0].text for receipt in added.receipts] == list(
                map(words, given)
            )
            assert added.failures == ()

    asyncio.run(script())


@BOTH
def test_ledgers_run_concurrently_and_each_in_order(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, extractor=extractor) as memory:
            given = interleaved()
            adding = asyncio.ensure_future(memory.add_many(given, concurrency=4))
            await extractor.until_begun(4)
            extractor.gate.set()
            await adding
            assert lanes_of(extractor.begun, owner) == lanes_of(list(map(words, given)), owner)
            assert extractor.most[""] == 4
            assert max(count for ledger, count in extractor.most.items() if ledger) == 1

    asyncio.run(script())


@BOTH
def test_concurrency_of_a_call_overrides_the_setting(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, {"concurrency": 1}, extractor=extractor) as memory:
            adding = asyncio.ensure_future(memory.add_many(interleaved(), concurrency=5))
            await extractor.until_begun(5)
            extractor.gate.set()
            await adding
            assert extractor.most[""] == 5
            # And afterwards the setting applies again
            await memory.add_many(interleaved(1))
            extractor.most.clear()
            await memory.add_many(interleaved(1))
            assert extractor.most[""] == 1
        assert queue_threads() == []

    asyncio.run(script())


@BOTH
def test_failed_conversation_is_returned_and_does_not_affect_the_others(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face)
        async with opened(face, extractor=extractor) as memory:
            given = [
                said("ann", 0),
                said("ann", 1),
                said("ann", 2),
                said("ben", 0, idempotency_key="k"),
                said("ben", 1, idempotency_key="k"),
            ]
            extractor.failing[words(given[1])] = ModelError("chat-1: refused")
            added = await memory.add_many(given)
            assert [isinstance(each, Receipt) for each in added.outcomes] == [
                True, False, True, True, False,
            ]  # fmt: skip
            refused, misused = added.failures
            assert (refused.error, refused.problem) == ("ModelError", "chat-1: refused")
            assert misused == Failure(
                correlation_id=None,
                error="InvalidRequest",
                problem="idempotency_key: was used before for other messages; make a new key",
            )
            # And the failed conversation is pending in the ledger
            (receipt,) = (await memory.retry()).receipts
            assert receipt.correlation_id == refused.correlation_id
            assert added.to_dict()["outcomes"][1]["error"] == "ModelError"

    asyncio.run(script())


@BOTH
def test_retried_call_adds_nothing_twice(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face)
        async with opened(face, extractor=extractor) as memory:
            given = [said(user, 0, idempotency_key=f"key of {user}") for user in USERS]
            extractor.failing[words(given[2])] = AdapterUnavailable("litellm", "503")
            first = await memory.add_many(given)
            again = await memory.add_many(given)
            assert [each.replayed for each in again.receipts] == [
                number != 2 for number in range(len(USERS))
            ]
            assert (len(first.failures), len(again.failures)) == (1, 0)
            assert (await memory.stats()).messages == len(USERS)

    asyncio.run(script())


@BOTH
def test_progress_reports_each_finished_conversation(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face)
        steps: list[Adding] = []
        async with opened(face, extractor=extractor) as memory:
            given = interleaved(1)
            extractor.failing[words(given[0])] = ModelError("refused")
            await memory.add_many(given, progress=steps.append)
        assert [step.done for step in steps] == list(range(1, len(USERS) + 1))
        assert {step.total for step in steps} == {len(USERS)}
        assert sorted(step.index for step in steps) == list(range(len(USERS)))
        assert steps[-1].failed == 1
        for step in steps:
            assert isinstance(step.outcome, Failure) == (step.index == 0)

    asyncio.run(script())


@BOTH
def test_error_in_progress_ends_the_call(face: str) -> None:
    class EnoughError(Exception):
        pass

    def enough(step: Adding) -> None:
        raise EnoughError

    async def script() -> None:
        extractor = GatedExtractor(face)
        async with opened(face, {"concurrency": 1}, extractor=extractor) as memory:
            with pytest.raises(EnoughError):
                await memory.add_many(interleaved(), progress=enough)
            assert len(extractor.begun) == 1

    asyncio.run(script())


@BOTH
@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"messages": [{"content": 3}], "user_id": "ann"},
         "conversations[1].messages[0].content: expected a string"),
        ({"messages": "hello"}, "conversations[1]."),
        ({"user_id": "ann"}, "conversations[1].messages: is missing"),
        ({"messages": "x", "user_id": "ann", "mood": 1},
         "conversations[1].mood: is not part of a conversation; allowed are"),
        ({"messages": "x", "user_id": "ann", "wait": False}, "conversations[1].wait: is not part"),
        ({"messages": "x", "user_id": "ann", "infer": 1}, "conversations[1].infer: expected true"),
        ({"messages": "x", "user_id": "ann", "metadata": []}, "conversations[1].metadata: exp"),
        ({"messages": "x", "user_id": "ann", "occurred_at": "noon"}, "conversations[1].occurred"),
        ("hello", "conversations[1]: expected a mapping, got str"),
    ],
)  # fmt: skip
def test_one_invalid_conversation_refuses_all_before_any_write(
    face: str, bad: Any, path: str
) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            with pytest.raises(InvalidRequest) as refused:
                await memory.add_many([said("ann", 0), bad, said("ben", 0)])
            assert str(refused.value).startswith(path)
            assert (await memory.stats()).events == 0

    asyncio.run(script())


@BOTH
@pytest.mark.parametrize("conversations", ["hello", {"messages": "hello"}, 3, None])
def test_argument_that_is_not_a_list_of_conversations_is_refused(
    face: str, conversations: Any
) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            with pytest.raises(InvalidRequest, match="conversations: expected a list of mappings"):
                await memory.add_many(conversations)

    asyncio.run(script())


@BOTH
@pytest.mark.parametrize("concurrency", [0, -1, True, 2.0, "4"])
def test_invalid_concurrency_is_refused(face: str, concurrency: Any) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            with pytest.raises(InvalidRequest, match="concurrency: expected a whole number"):
                await memory.add_many([said("ann", 0)], concurrency=concurrency)
            assert (await memory.stats()).events == 0

    asyncio.run(script())


@BOTH
def test_empty_list_gives_no_outcomes(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            assert (await memory.add_many(iter([]))).outcomes == ()

    asyncio.run(script())


def test_conversation_has_the_parameters_of_add() -> None:
    import inspect

    options = set(AddOptions.__annotations__)
    assert set(Conversation.__annotations__) == options | {"messages"}
    assert inspect.signature(AsyncMemory.add).parameters == inspect.signature(Memory.add).parameters
    documented = inspect.getdoc(Memory.add) or ""
    assert [each for each in (*options, "messages", "wait") if each not in documented] == []


def test_cancelled_call_leaves_begun_conversations_to_retry(tmp_path: Path) -> None:
    async def script() -> None:
        extractor = GatedExtractor(ASYNC, is_open=False)
        config = {"audit_log": {"path": str(tmp_path / "a.db")}}
        async with opened(ASYNC, config, extractor=extractor) as memory:
            # Given two running conversations, and the others waiting
            given = interleaved()
            adding = asyncio.ensure_future(memory.add_many(given, concurrency=2))
            await extractor.until_begun(2)
            # When the call is cancelled
            adding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
            # Then those two are left to retry, and their ledgers are free
            assert (await memory.stats()).messages == 2
            extractor.gate.set()
            receipt = await memory.add(words(given[0]), user_id=USERS[0])
            assert len(receipt.verdicts) == 1
            assert len((await memory.retry()).receipts) == 2
            assert len(extractor.begun) == 5

    asyncio.run(script())


def test_abandoned_event_loop_does_not_block_a_ledger(tmp_path: Path) -> None:
    extractor = GatedExtractor(ASYNC, is_open=False)
    settings = load_settings({"audit_log": "memory"}, environment={})
    memory = AsyncMemory(settings=settings, overrides={"extractor": extractor})
    # Given a loop that is closed during an extraction, without ending its tasks
    loop = asyncio.new_event_loop()
    loop.run_until_complete(memory.add("I live in Oslo.", wait=False, user_id="ann"))
    loop.run_until_complete(extractor.until_begun(1))
    extractor.gate.set()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()

    # When another loop is used
    async def script() -> None:
        async with memory:
            assert (await memory.add("I like tea.", user_id="ann")).verdicts

    asyncio.run(script())


@BOTH
def test_retry_runs_ledgers_concurrently_and_each_in_order(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face)
        async with opened(face, extractor=extractor) as memory:
            # Given pending messages of several ledgers
            given = interleaved()
            for conversation in given:
                extractor.failing[words(conversation)] = AdapterUnavailable("litellm", "503")
            assert len((await memory.add_many(given)).failures) == len(given)
            extractor.begun.clear()
            extractor.failing[words(given[3])] = ModelError("refused")
            together = threading.Barrier(len(USERS))
            for conversation in given[: len(USERS)]:
                extractor.meet(words(conversation), lambda: meet_at(together))
            # When they are retried
            steps: list[tuple[int, int]] = []
            retried = await memory.retry(progress=lambda *step: steps.append(step))
            # Then all ledgers run concurrently, each in order, and one failure is returned
            assert lanes_of(extractor.begun, owner) == lanes_of(list(map(words, given)), owner)
            assert sorted(receipt.verdicts[0].text for receipt in retried.receipts) == sorted(
                words(conversation) for index, conversation in enumerate(given) if index != 3
            )
            assert [failure.error for failure in retried.failures] == ["ModelError"]
            assert steps == [(number, len(given)) for number in range(1, len(given) + 1)]

    asyncio.run(script())


def meet_at(barrier: threading.Barrier) -> None:
    barrier.wait(PATIENCE)


@pytest.mark.slow
class TestAgainstAServer:
    """With the real client library, up to its concurrency limit."""

    @BOTH
    def test_requests_in_flight_reach_the_limit(self, face: str) -> None:
        async def script() -> None:
            limit, ledgers, each = 8, 12, 3
            with ModelServer(answer={"facts": []}, latency=0.05, meeting=limit) as server:
                config = {
                    "concurrency": 2 * limit,
                    "language_model": {
                        "provider": "litellm",
                        "model": "openai/gpt-4o-mini",
                        "base_url": server.url,
                        "concurrency": limit,
                    },
                }
                async with opened(face, config) as memory:
                    before = threading.active_count()
                    given: list[Conversation] = [
                        {"messages": f"I sold boat {number}.", "user_id": f"user {ledger}"}
                        for number in range(each)
                        for ledger in range(ledgers)
                    ]
                    most = 0

                    def progress(step: Adding) -> None:
                        nonlocal most
                        most = max(most, threading.active_count())

                    added = await memory.add_many(given, progress=progress)
                    assert len(added.receipts) == len(given)
                    assert server.most_at_once == limit
                    assert len(server.asked) == len(given)
                    assert added.usage.calls == len(given)
                    assert added.usage.input_tokens == server.input_tokens
                    # Queue workers or pools of AsyncMemory, and threads of litellm and the loops
                    assert most <= before + 2 * limit + 16 + 4

        asyncio.run(script())
