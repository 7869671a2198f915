"""Many conversations in one call: ledgers at the same time, each in order, failures as values."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from faces import (
    ASYNC,
    PATIENCE,
    SYNC,
    GatedExtractor,
    lane_threads,
    lanes_of,
    opened,
)

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
from remembrancer.testing.model_server import Asked, ModelServer
from remembrancer.wiring.settings import load_settings

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
def test_receipts_come_in_the_order_of_the_conversations(face: str) -> None:
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
def test_each_ledger_is_worked_on_in_order_and_several_at_a_time(face: str) -> None:
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
def test_a_call_may_ask_for_more_at_a_time_than_is_usual(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, {"concurrency": 1}, extractor=extractor) as memory:
            adding = asyncio.ensure_future(memory.add_many(interleaved(), concurrency=5))
            await extractor.until_begun(5)
            extractor.gate.set()
            await adding
            assert extractor.most[""] == 5
            # And it is as before afterwards
            await memory.add_many(interleaved(1))
            extractor.most.clear()
            await memory.add_many(interleaved(1))
            assert extractor.most[""] == 1
        assert lane_threads() == []

    asyncio.run(script())


@BOTH
def test_what_fails_is_a_value_and_costs_the_others_nothing(face: str) -> None:
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
            # And what failed after it had been observed waits in the ledger
            (receipt,) = (await memory.retry()).receipts
            assert receipt.correlation_id == refused.correlation_id
            assert added.to_dict()["outcomes"][1]["error"] == "ModelError"

    asyncio.run(script())


@BOTH
def test_a_call_that_is_made_again_does_nothing_twice(face: str) -> None:
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
def test_progress_tells_what_is_done_and_what_it_cost(face: str) -> None:
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
def test_progress_that_raises_ends_the_call_and_begins_nothing_more(face: str) -> None:
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
def test_one_bad_conversation_refuses_all_before_anything_is_written(
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
def test_what_is_no_list_of_conversations_is_refused(face: str, conversations: Any) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            with pytest.raises(InvalidRequest, match="conversations: expected a list of mappings"):
                await memory.add_many(conversations)

    asyncio.run(script())


@BOTH
@pytest.mark.parametrize("concurrency", [0, -1, True, 2.0, "4"])
def test_what_is_no_number_of_ledgers_is_refused(face: str, concurrency: Any) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            with pytest.raises(InvalidRequest, match="concurrency: expected a whole number"):
                await memory.add_many([said("ann", 0)], concurrency=concurrency)
            assert (await memory.stats()).events == 0

    asyncio.run(script())


@BOTH
def test_nothing_to_add_is_nothing_to_do(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            assert (await memory.add_many(iter([]))).outcomes == ()

    asyncio.run(script())


def test_a_conversation_takes_what_add_takes() -> None:
    import inspect

    parameters = set(inspect.signature(AsyncMemory.add).parameters)
    assert parameters - {"self", "wait"} == set(Conversation.__annotations__)
    assert parameters == set(inspect.signature(Memory.add).parameters)
    assert set(AddOptions.__annotations__) == parameters - {"self", "messages", "wait"}


def test_a_call_that_is_cancelled_lets_go_of_what_it_had_not_done(tmp_path: Path) -> None:
    async def script() -> None:
        extractor = GatedExtractor(ASYNC, is_open=False)
        config = {"audit_log": {"path": str(tmp_path / "a.db")}}
        async with opened(ASYNC, config, extractor=extractor) as memory:
            # Given two in work and the others waiting
            given = interleaved()
            adding = asyncio.ensure_future(memory.add_many(given, concurrency=2))
            await extractor.until_begun(2)
            # When the call is cancelled
            adding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
            # Then those two wait for retry, and their ledgers are free
            assert (await memory.stats()).messages == 2
            extractor.gate.set()
            receipt = await memory.add(words(given[0]), user_id=USERS[0])
            assert len(receipt.verdicts) == 1
            assert len((await memory.retry()).receipts) == 2
            assert len(extractor.begun) == 5

    asyncio.run(script())


def test_a_loop_that_was_abandoned_keeps_no_ledger_from_the_next(tmp_path: Path) -> None:
    extractor = GatedExtractor(ASYNC, is_open=False)
    settings = load_settings({"audit_log": "memory"}, environment={})
    memory = AsyncMemory(settings=settings, overrides={"extractor": extractor})
    # Given a loop that is closed in the middle of a work, without ending its tasks
    loop = asyncio.new_event_loop()
    loop.run_until_complete(memory.add("I live in Oslo.", wait=False, user_id="ann"))
    loop.run_until_complete(extractor.until_begun(1))
    extractor.gate.set()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()

    # When another one comes
    async def script() -> None:
        async with memory:
            assert (await memory.add("I like tea.", user_id="ann")).verdicts

    asyncio.run(script())


@BOTH
def test_retry_works_on_several_ledgers_at_a_time_and_keeps_their_order(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face)
        async with opened(face, extractor=extractor) as memory:
            # Given messages of several ledgers that wait
            given = interleaved()
            for conversation in given:
                extractor.failing[words(conversation)] = AdapterUnavailable("litellm", "503")
            assert len((await memory.add_many(given)).failures) == len(given)
            extractor.begun.clear()
            extractor.failing[words(given[3])] = ModelError("refused")
            together = threading.Barrier(len(USERS))
            for conversation in given[: len(USERS)]:
                extractor.meet(words(conversation), lambda: meet_at(together))
            # When they are tried again
            told: list[tuple[int, int]] = []
            retried = await memory.retry(progress=lambda *step: told.append(step))
            # Then all ledgers are worked on together, each in order, and one failure is told
            assert lanes_of(extractor.begun, owner) == lanes_of(list(map(words, given)), owner)
            assert sorted(receipt.verdicts[0].text for receipt in retried.receipts) == sorted(
                words(conversation) for index, conversation in enumerate(given) if index != 3
            )
            assert [failure.error for failure in retried.failures] == ["ModelError"]
            assert told == [(number, len(given)) for number in range(1, len(given) + 1)]

    asyncio.run(script())


def meet_at(barrier: threading.Barrier) -> None:
    barrier.wait(PATIENCE)


class TestAgainstAServer:
    """The real client library, up to its limit."""

    @BOTH
    def test_as_many_requests_are_in_flight_as_are_allowed(self, face: str) -> None:
        async def script() -> None:
            limit, ledgers, each = 8, 12, 3
            arrived = threading.Semaphore(0)

            def answer(asked: Asked) -> dict[str, Any]:
                arrived.release()
                return {"facts": []}

            with ModelServer(answer=answer, latency=0.05) as server:
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
                    # Lanes or the pools of AsyncMemory, and the threads of litellm and the loops
                    assert most <= before + 2 * limit + 16 + 4

        asyncio.run(script())
