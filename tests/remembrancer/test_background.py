"""``add(wait=False)``: messages are durable at once; extraction runs in a queue per ledger."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from remembrancer import (
    AdapterUnavailable,
    AsyncMemory,
    InvalidRequest,
    Memory,
    ModelError,
    PendingReceipt,
    Receipt,
    StillPending,
)
from remembrancer.testing.scripted_model import After, ScriptedModel
from remembrancer.wiring.settings import load_settings
from tests.helpers.faces import ASYNC, SYNC, GatedExtractor, final, opened, queue_threads
from tests.helpers.waiting import PATIENCE

ANN = {"user_id": "ann"}
DOWN = AdapterUnavailable("litellm", "503")
REFUSED = ModelError("chat-1: refused by policy")

pytestmark = pytest.mark.parametrize("face", [SYNC, ASYNC])


def in_file(path: Path, **more: Any) -> dict[str, Any]:
    return {"audit_log": {"path": str(path / "a.db"), "durability": "normal"}, **more}


def meet_at(barrier: threading.Barrier) -> None:
    barrier.wait(PATIENCE)


async def texts(memory: Any, user: str = "ann") -> list[str]:
    return [fact.text for fact in (await memory.get_all(user_id=user, order="created_at")).facts]


def test_add_returns_a_receipt_with_the_pending_messages(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, extractor=extractor) as memory:
            # Given an extraction that does not finish
            receipt = await memory.add("I live in Oslo.", wait=False, **ANN)
            # Then the message is stored and pending
            assert isinstance(receipt, Receipt)
            assert receipt.pending == receipt.messages
            assert (len(receipt.messages), receipt.verdicts, receipt.extractor) == (1, (), "")
            assert (await memory.stats()).pending == 1
            assert Receipt(**receipt.to_dict()).correlation_id == receipt.correlation_id
            # When it finishes, the final receipt covers the whole request
            extractor.gate.set()
            done = await final(receipt)
            assert (done.correlation_id, done.messages) == (
                receipt.correlation_id,
                receipt.messages,
            )
            assert [verdict.text for verdict in done.verdicts] == ["I live in Oslo."]
            assert done.pending == ()
            assert (await memory.stats()).pending == 0
            assert await final(receipt) is done

    asyncio.run(script())


def test_timeout_of_a_wait_does_not_stop_the_extraction(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, extractor=extractor) as memory:
            receipt = await memory.add("I live in Oslo.", wait=False, **ANN)
            with pytest.raises(StillPending, match=r"not finished within 0\.01 s"):
                await final(receipt, 0.01)
            extractor.gate.set()
            assert len((await final(receipt)).verdicts) == 1

    asyncio.run(script())


@pytest.mark.parametrize("trouble", [DOWN, REFUSED], ids=["down", "refused"])
def test_wait_raises_the_error_of_the_extraction(face: str, trouble: Exception) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face)
        extractor.failing["I live in Oslo."] = trouble
        async with opened(face, extractor=extractor) as memory:
            receipt = await memory.add("I live in Oslo.", wait=False, **ANN)
            with pytest.raises(type(trouble)) as caught:
                await final(receipt)
            assert caught.value is trouble
            # And a retry finishes the pending message
            assert (await memory.stats()).pending == 1
            assert len((await memory.retry()).receipts) == 1
            assert await texts(memory) == ["I live in Oslo."]

    asyncio.run(script())


def test_calls_on_one_ledger_run_one_at_a_time_in_order(face: str) -> None:
    async def script() -> None:
        said = [f"I sold boat number {number}." for number in range(6)]
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, extractor=extractor) as memory:
            # Given queued calls, one of which fails
            extractor.failing[said[1]] = DOWN
            receipts = [await memory.add(text, wait=False, **ANN) for text in said[:-1]]
            # When another caller waits for its result
            last = asyncio.ensure_future(memory.add(said[-1], **ANN))
            while (await memory.stats()).messages < len(said):
                await asyncio.sleep(0)
            extractor.gate.set()
            # Then its call runs last, and the failure affects no other call
            assert [verdict.text for verdict in (await last).verdicts] == [said[-1]]
            assert extractor.begun == said
            assert extractor.most["user:ann"] == 1
            outcomes = await asyncio.gather(*map(final, receipts), return_exceptions=True)
            assert [isinstance(each, Receipt) for each in outcomes] == [True, False, *[True] * 3]

    asyncio.run(script())


def test_calls_on_different_ledgers_run_concurrently(face: str) -> None:
    async def script() -> None:
        users = ["ann", "ben", "cem"]
        together = threading.Barrier(len(users))
        extractor = GatedExtractor(face)
        for user in users:
            # Each extraction finishes when all of them have begun.
            extractor.meet(f"I am {user}.", lambda: meet_at(together))
        async with opened(face, extractor=extractor) as memory:
            receipts = [
                await memory.add(f"I am {user}.", wait=False, user_id=user) for user in users
            ]
            assert all([(await final(receipt)).verdicts for receipt in receipts])

    asyncio.run(script())


def test_concurrency_setting_limits_the_number_of_active_ledgers(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, {"concurrency": 3}, extractor=extractor) as memory:
            receipts = [
                await memory.add("I live in Oslo.", wait=False, user_id=f"user {number % 8}")
                for number in range(16)
            ]
            await extractor.until_begun(3)
            threads = queue_threads()
            extractor.gate.set()
            for receipt in receipts:
                await final(receipt)
            assert extractor.most[""] == 3
            assert len(threads) == (3 if face == SYNC else 0)
        assert queue_threads() == []

    asyncio.run(script())


def test_idle_memory_keeps_no_threads(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            before = threading.active_count()
            await final(await memory.add("I live in Oslo.", wait=False, **ANN))
            await memory.search("Oslo", **ANN)
            while queue_threads():
                await asyncio.sleep(0)
            # The thread pools of AsyncMemory and of the test's loop can have grown.
            assert threading.active_count() <= before + 16 + 6

    asyncio.run(script())


def test_infer_false_leaves_no_message_pending(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            receipt = await memory.add("I live in Oslo.", infer=False, wait=False, **ANN)
            assert (receipt.pending, len(receipt.verdicts)) == ((), 1)
            done = await final(receipt, 0)
            assert (done.verdicts, done.extractor) == (receipt.verdicts, "verbatim")

    asyncio.run(script())


def test_repeated_request_is_carried_out_once(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, extractor=extractor) as memory:
            asked = {"wait": False, "idempotency_key": "k", **ANN}
            first = await memory.add("I live in Oslo.", **asked)
            second = await memory.add("I live in Oslo.", **asked)
            assert (second.replayed, second.pending) == (True, first.pending)
            extractor.gate.set()
            done, again = await final(first), await final(second)
            assert (done.replayed, again.replayed) == (False, True)
            assert again.verdicts == done.verdicts
            assert extractor.begun == ["I live in Oslo."]
            third = await memory.add("I live in Oslo.", **asked)
            assert (third.pending, (await final(third)).verdicts) == ((), done.verdicts)

    asyncio.run(script())


def test_wait_that_is_no_boolean_is_refused(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            with pytest.raises(InvalidRequest, match="wait: expected true or false, got str"):
                await memory.add("I live in Oslo.", wait="no", **ANN)
            assert (await memory.stats()).messages == 0

    asyncio.run(script())


def test_close_finishes_queued_calls(face: str, tmp_path: Path) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, in_file(tmp_path), extractor=extractor) as memory:
            receipts = [
                await memory.add(f"I sold boat number {number}.", wait=False, **ANN)
                for number in range(3)
            ]
            extractor.gate.set()
        assert all([(await final(receipt, 0)).verdicts for receipt in receipts])
        async with opened(face, in_file(tmp_path)) as memory:
            assert (await memory.stats()).pending == 0
            assert len(await texts(memory)) == 3

    asyncio.run(script())


def test_unfinished_calls_stay_pending_in_the_ledger_after_close(face: str, tmp_path: Path) -> None:
    async def script() -> None:
        # Given a model that does not answer, and a grace period of 0
        model = {"provider": "litellm", "model": "openai/any"}
        stalled = ScriptedModel(otherwise=After(seconds=3600, said={"facts": []}))
        config = in_file(tmp_path, grace=0, language_model=model)
        async with opened(face, config, language_model=stalled) as memory:
            receipts = [
                await memory.add(f"I sold boat number {number}.", wait=False, user_id=user)
                for number, user in enumerate(("ann", "ann", "ben"))
            ]
            while len(stalled.prompts) < 2:
                await asyncio.sleep(0)
            waiting = asyncio.ensure_future(final(receipts[0]))
            await asyncio.sleep(0)
        # When the memory is closed, then waiting callers get an error
        for outcome in (waiting, final(receipts[1]), final(receipts[2])):
            with pytest.raises(AdapterUnavailable, match="are in the ledger: call retry"):
                await outcome
        assert queue_threads() == []
        # And each message is in the ledger once, and a retry finishes it
        async with opened(face, in_file(tmp_path)) as memory:
            assert (await memory.stats()).pending == 3
            retried = await memory.retry()
            assert (len(retried.receipts), retried.failures) == (3, ())
            assert await texts(memory) == ["I sold boat number 0.", "I sold boat number 1."]
            assert (await memory.retry()).receipts == ()

    asyncio.run(script())


def test_closed_memory_refuses_calls(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            await final(await memory.add("I live in Oslo.", wait=False, **ANN))
            await memory.close()
            await memory.close()
            with pytest.raises(AdapterUnavailable):
                await memory.add_many([{"messages": "I live in Oslo.", **ANN}])

    asyncio.run(script())


class TestExactlyOnce:
    """Two callers work on the same request, in one process or two."""

    def test_concurrent_retry_takes_over_a_background_request(
        self, face: str, tmp_path: Path
    ) -> None:
        async def script() -> None:
            extractor = GatedExtractor(face, is_open=False)
            async with (
                opened(face, in_file(tmp_path), extractor=extractor) as slow,
                opened(face, in_file(tmp_path)) as other,
            ):
                receipt = await slow.add("I live in Oslo.", wait=False, **ANN)
                await extractor.until_begun(1)
                assert len((await other.retry()).receipts) == 1
                before = await other.stats()
                extractor.gate.set()
                done = await final(receipt)
                assert done.replayed
                assert [verdict.text for verdict in done.verdicts] == ["I live in Oslo."]
                assert await other.stats() == before

        asyncio.run(script())

    def test_concurrent_retry_takes_over_an_add_without_a_key(
        self, face: str, tmp_path: Path
    ) -> None:
        # Regression: a plain add without a key finished its request a second time.
        async def script() -> None:
            extractor = GatedExtractor(face, is_open=False)
            async with (
                opened(face, in_file(tmp_path), extractor=extractor) as slow,
                opened(face, in_file(tmp_path)) as other,
            ):
                adding = asyncio.ensure_future(slow.add("I live in Oslo.", **ANN))
                await extractor.until_begun(1)
                assert len((await other.retry()).receipts) == 1
                before = await other.stats()
                extractor.gate.set()
                assert (await adding).replayed
                assert await other.stats() == before

        asyncio.run(script())

    def test_retry_in_the_same_memory_skips_running_requests(self, face: str) -> None:
        async def script() -> None:
            extractor = GatedExtractor(face, is_open=False)
            async with opened(face, extractor=extractor) as memory:
                adding = asyncio.ensure_future(memory.add("I live in Oslo.", **ANN))
                await extractor.until_begun(1)
                assert (await memory.retry()).receipts == ()
                extractor.gate.set()
                assert not (await adding).replayed
                assert extractor.begun == ["I live in Oslo."]

        asyncio.run(script())


class TestRetryOnAdd:
    """The setting ``retry_on_add``."""

    def test_retry_on_add_is_off_by_default(self, face: str) -> None:
        async def script() -> None:
            extractor = GatedExtractor(face)
            extractor.failing["I live in Oslo."] = DOWN
            async with opened(face, extractor=extractor) as memory:
                with pytest.raises(AdapterUnavailable):
                    await memory.add("I live in Oslo.", **ANN)
                await memory.add("I like tea.", **ANN)
                assert (await memory.stats()).pending == 1

        asyncio.run(script())

    @pytest.mark.parametrize("wait", [True, False])
    def test_next_add_finishes_pending_messages_of_its_ledger_first(
        self, face: str, wait: bool
    ) -> None:
        async def script() -> None:
            extractor = GatedExtractor(face)
            async with opened(face, {"retry_on_add": True}, extractor=extractor) as memory:
                # Given pending messages in this ledger and in another
                for text, user in (("I moved.", "ann"), ("I sold it.", "ben")):
                    extractor.failing[text] = DOWN
                    with pytest.raises(AdapterUnavailable):
                        await memory.add(text, user_id=user)
                extractor.begun.clear()
                # When another message is added
                receipt = await memory.add("I like tea.", wait=wait, **ANN)
                done = receipt if wait else await final(receipt)
                # Then the pending ones of the same ledger are finished first
                assert extractor.begun == ["I moved.", "I like tea."]
                assert [verdict.text for verdict in done.verdicts] == ["I like tea."]
                assert done.lagging == ()
                assert (await memory.stats(**ANN)).pending == 0
                assert (await memory.stats(user_id="ben")).pending == 1

        asyncio.run(script())

    @pytest.mark.parametrize(
        ("trouble", "tried"), [(REFUSED, 3), (DOWN, 2)], ids=["refused", "down"]
    )
    def test_repeated_failure_does_not_affect_the_new_message(
        self, face: str, trouble: Exception, tried: int
    ) -> None:
        async def script() -> None:
            extractor = GatedExtractor(face)
            async with opened(face, {"retry_on_add": True}, extractor=extractor) as memory:
                earlier = ("I moved.", "I sold it.")
                for text in earlier:
                    extractor.failing["I moved."] = trouble
                    extractor.failing[text] = trouble
                    with pytest.raises(type(trouble)):
                        await memory.add(text, **ANN)
                extractor.begun.clear()
                extractor.failing["I moved."] = trouble
                # When the first pending message fails again
                receipt = await memory.add("I like tea.", **ANN)
                # Then the new one is finished; with the model unavailable, others are not tried
                assert [verdict.text for verdict in receipt.verdicts] == ["I like tea."]
                assert receipt.lagging == ("messages",)
                assert len(extractor.begun) == tried
                assert (await memory.stats()).pending == 4 - tried

        asyncio.run(script())

    def test_infer_false_does_not_retry_pending_messages(self, face: str) -> None:
        async def script() -> None:
            extractor = GatedExtractor(face)
            extractor.failing["I moved."] = DOWN
            async with opened(face, {"retry_on_add": True}, extractor=extractor) as memory:
                with pytest.raises(AdapterUnavailable):
                    await memory.add("I moved.", **ANN)
                await memory.add("I like tea.", infer=False, **ANN)
                assert (await memory.stats()).pending == 1

        asyncio.run(script())


def test_keyboard_interrupt_does_not_wait_for_the_queue(face: str, tmp_path: Path) -> None:
    model = {"provider": "litellm", "model": "openai/any"}
    settings = load_settings(in_file(tmp_path, grace=PATIENCE, language_model=model))
    parts = {"language_model": ScriptedModel(otherwise=After(seconds=3600, said={"facts": []}))}

    receipts: list[Receipt] = []

    async def interrupted_task() -> None:
        async with AsyncMemory(settings=settings, overrides=parts) as memory:
            receipts.append(await memory.add("I live in Oslo.", wait=False, user_id="ann"))
            raise KeyboardInterrupt

    def interrupted() -> None:
        with Memory(settings=settings, overrides=parts) as memory:
            receipts.append(memory.add("I live in Oslo.", wait=False, user_id="ann"))
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interrupted_task()) if face == ASYNC else interrupted()
    assert time.monotonic() - begun < PATIENCE / 2
    if isinstance(receipts[0], PendingReceipt):
        with pytest.raises(AdapterUnavailable, match="closed first"):
            receipts[0].wait(0)
    with Memory(tmp_path / "a.db") as memory:
        assert memory.stats().pending == 1
