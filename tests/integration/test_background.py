"""``add(wait=False)``: what was said is durable at once, and facts are drawn from it in turn."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from faces import ASYNC, PATIENCE, SYNC, GatedExtractor, final, lane_threads, opened

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


def test_it_returns_when_the_messages_are_in_the_ledger_and_says_which_wait(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, extractor=extractor) as memory:
            # Given an extraction that does not come to an end
            receipt = await memory.add("I live in Oslo.", wait=False, **ANN)
            # Then the message is there, and waits
            assert isinstance(receipt, Receipt)
            assert receipt.pending == receipt.messages
            assert (len(receipt.messages), receipt.verdicts, receipt.extractor) == (1, (), "")
            assert (await memory.stats()).pending == 1
            assert Receipt(**receipt.to_dict()).correlation_id == receipt.correlation_id
            # When it ends, the final receipt is that of the whole request
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


def test_waiting_for_too_long_is_told_and_stops_nothing(face: str) -> None:
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
def test_what_extraction_raised_is_raised_where_one_waits(face: str, trouble: Exception) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face)
        extractor.failing["I live in Oslo."] = trouble
        async with opened(face, extractor=extractor) as memory:
            receipt = await memory.add("I live in Oslo.", wait=False, **ANN)
            with pytest.raises(type(trouble)) as caught:
                await final(receipt)
            assert caught.value is trouble
            # And the message waits for retry, which finishes it
            assert (await memory.stats()).pending == 1
            assert len((await memory.retry()).receipts) == 1
            assert await texts(memory) == ["I live in Oslo."]

    asyncio.run(script())


def test_a_ledger_is_worked_on_in_order_by_one_at_a_time(face: str) -> None:
    async def script() -> None:
        said = [f"I sold boat number {number}." for number in range(6)]
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, extractor=extractor) as memory:
            # Given some that wait, and one that fails
            extractor.failing[said[1]] = DOWN
            receipts = [await memory.add(text, wait=False, **ANN) for text in said[:-1]]
            # When a caller comes who wants to wait
            last = asyncio.ensure_future(memory.add(said[-1], **ANN))
            while (await memory.stats()).messages < len(said):
                await asyncio.sleep(0)
            extractor.gate.set()
            # Then it comes last, and none is lost by the failure
            assert [verdict.text for verdict in (await last).verdicts] == [said[-1]]
            assert extractor.begun == said
            assert extractor.most["user:ann"] == 1
            outcomes = await asyncio.gather(*map(final, receipts), return_exceptions=True)
            assert [isinstance(each, Receipt) for each in outcomes] == [True, False, *[True] * 3]

    asyncio.run(script())


def test_ledgers_are_worked_on_at_the_same_time(face: str) -> None:
    async def script() -> None:
        users = ["ann", "ben", "cem"]
        together = threading.Barrier(len(users))
        extractor = GatedExtractor(face)
        for user in users:
            # Each extraction ends when all of them have begun.
            extractor.meet(f"I am {user}.", lambda: meet_at(together))
        async with opened(face, extractor=extractor) as memory:
            receipts = [
                await memory.add(f"I am {user}.", wait=False, user_id=user) for user in users
            ]
            assert all([(await final(receipt)).verdicts for receipt in receipts])

    asyncio.run(script())


def test_no_more_ledgers_are_worked_on_at_a_time_than_is_set(face: str) -> None:
    async def script() -> None:
        extractor = GatedExtractor(face, is_open=False)
        async with opened(face, {"concurrency": 3}, extractor=extractor) as memory:
            receipts = [
                await memory.add("I live in Oslo.", wait=False, user_id=f"user {number % 8}")
                for number in range(16)
            ]
            await extractor.until_begun(3)
            threads = lane_threads()
            extractor.gate.set()
            for receipt in receipts:
                await final(receipt)
            assert extractor.most[""] == 3
            assert len(threads) == (3 if face == SYNC else 0)
        assert lane_threads() == []

    asyncio.run(script())


def test_nothing_lingers_when_there_is_nothing_to_do(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            before = threading.active_count()
            await final(await memory.add("I live in Oslo.", wait=False, **ANN))
            await memory.search("Oslo", **ANN)
            while lane_threads():
                await asyncio.sleep(0)
            # AsyncMemory's pool, and that of the test's loop, may have grown.
            assert threading.active_count() <= before + 16 + 6

    asyncio.run(script())


def test_word_for_word_there_is_nothing_to_wait_for(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            receipt = await memory.add("I live in Oslo.", infer=False, wait=False, **ANN)
            assert (receipt.pending, len(receipt.verdicts)) == ((), 1)
            done = await final(receipt, 0)
            assert (done.verdicts, done.extractor) == (receipt.verdicts, "verbatim")

    asyncio.run(script())


def test_the_same_request_twice_is_carried_out_once(face: str) -> None:
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


def test_what_is_no_flag_is_refused(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            with pytest.raises(InvalidRequest, match="wait: expected true or false, got str"):
                await memory.add("I live in Oslo.", wait="no", **ANN)
            assert (await memory.stats()).messages == 0

    asyncio.run(script())


def test_closing_finishes_what_waits(face: str, tmp_path: Path) -> None:
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


def test_what_closing_has_no_time_for_waits_in_the_ledger(face: str, tmp_path: Path) -> None:
    async def script() -> None:
        # Given a model that does not answer, under a memory that gives no grace
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
        # When it is closed, then whoever waits is told
        for outcome in (waiting, final(receipts[1]), final(receipts[2])):
            with pytest.raises(AdapterUnavailable, match="is in the ledger, for retry"):
                await outcome
        assert lane_threads() == []
        # And each message is in the ledger once, and finished by the next who tries
        async with opened(face, in_file(tmp_path)) as memory:
            assert (await memory.stats()).pending == 3
            retried = await memory.retry()
            assert (len(retried.receipts), retried.failures) == (3, ())
            assert await texts(memory) == ["I sold boat number 0.", "I sold boat number 1."]
            assert (await memory.retry()).receipts == ()

    asyncio.run(script())


def test_a_closed_memory_takes_nothing_more(face: str) -> None:
    async def script() -> None:
        async with opened(face) as memory:
            await final(await memory.add("I live in Oslo.", wait=False, **ANN))
            await memory.close()
            await memory.close()
            with pytest.raises(AdapterUnavailable):
                await memory.add_many([{"messages": "I live in Oslo.", **ANN}])

    asyncio.run(script())


class TestExactlyOnce:
    """Whoever else works on the same request, in this process or another."""

    def test_a_retry_in_the_meantime_takes_the_work_off_the_background(
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

    def test_a_retry_in_the_meantime_takes_the_work_off_an_add_without_a_key(
        self, face: str, tmp_path: Path
    ) -> None:
        # A plain add took a request without a key for its own alone, and finished it once more.
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

    def test_a_retry_in_the_same_memory_leaves_alone_what_is_in_work(self, face: str) -> None:
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

    def test_it_is_off_unless_set(self, face: str) -> None:
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
    def test_the_next_add_finishes_what_waits_in_its_ledger_first(
        self, face: str, wait: bool
    ) -> None:
        async def script() -> None:
            extractor = GatedExtractor(face)
            async with opened(face, {"retry_on_add": True}, extractor=extractor) as memory:
                # Given messages that wait, in this ledger and in another
                for text, user in (("I moved.", "ann"), ("I sold it.", "ben")):
                    extractor.failing[text] = DOWN
                    with pytest.raises(AdapterUnavailable):
                        await memory.add(text, user_id=user)
                extractor.begun.clear()
                # When something is added
                receipt = await memory.add("I like tea.", wait=wait, **ANN)
                done = receipt if wait else await final(receipt)
                # Then those of the same ledger are done first
                assert extractor.begun == ["I moved.", "I like tea."]
                assert [verdict.text for verdict in done.verdicts] == ["I like tea."]
                assert done.lagging == ()
                assert (await memory.stats(**ANN)).pending == 0
                assert (await memory.stats(user_id="ben")).pending == 1

        asyncio.run(script())

    @pytest.mark.parametrize(
        ("trouble", "tried"), [(REFUSED, 3), (DOWN, 2)], ids=["refused", "down"]
    )
    def test_what_fails_again_costs_the_new_message_nothing_and_is_told(
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
                # When the first of those that wait fails again
                receipt = await memory.add("I like tea.", **ANN)
                # Then the new one is done; after an outage the others are not even tried
                assert [verdict.text for verdict in receipt.verdicts] == ["I like tea."]
                assert receipt.lagging == ("messages",)
                assert len(extractor.begun) == tried
                assert (await memory.stats()).pending == 4 - tried

        asyncio.run(script())

    def test_what_is_stored_word_for_word_asks_no_model(self, face: str) -> None:
        async def script() -> None:
            extractor = GatedExtractor(face)
            extractor.failing["I moved."] = DOWN
            async with opened(face, {"retry_on_add": True}, extractor=extractor) as memory:
                with pytest.raises(AdapterUnavailable):
                    await memory.add("I moved.", **ANN)
                await memory.add("I like tea.", infer=False, **ANN)
                assert (await memory.stats()).pending == 1

        asyncio.run(script())


def test_an_interrupt_is_not_kept_waiting(face: str, tmp_path: Path) -> None:
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
