"""Limits in bytes of messages, metadata and requests."""

from __future__ import annotations

from typing import Any

import pytest

from remembrancer import InvalidRequest, Memory
from remembrancer.domain.events import MessageObserved
from remembrancer.domain.recorded import Position
from remembrancer.wiring.settings import load_settings

BOB: dict[str, Any] = {"user_id": "bob"}


def limited(**limits: int) -> Memory:
    config = {"audit_log": "memory", "limits": limits}
    return Memory(settings=load_settings(config, environment={}))


def problem_of(memory: Memory, messages: Any, **options: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        memory.add(messages, **BOB, **options)
    assert memory.stats().events == 0
    return str(caught.value)


def test_message_is_limited_in_bytes_of_utf_8() -> None:
    with limited(message=9) as memory:
        assert problem_of(memory, ["ok", "四个汉字"]) == (
            "messages[1].content: has 12 bytes; at most 9 are allowed (limits.message); make it "
            "shorter, or raise the limit"
        )
        memory.add("三汉字", **BOB)


@pytest.mark.parametrize("infer", [True, False])
def test_metadata_of_a_call_and_of_a_message_is_limited(*, infer: bool) -> None:
    fits, too_long = {"k": "1234"}, {"k": "12345"}
    with limited(metadata=12) as memory:
        found = problem_of(memory, "I like tea.", metadata=too_long, infer=infer)
        assert found.startswith("metadata: has 13 bytes; at most 12 are allowed (limits.metadata)")
        messages = [{"content": "I like tea.", "metadata": too_long}]
        found = problem_of(memory, messages, infer=infer)
        assert found.startswith("messages[0].metadata: has 13 bytes")
        receipt = memory.add("I like tea.", metadata=fits, infer=infer, **BOB)
        fact_id = receipt.verdicts[0].fact_id
        assert fact_id is not None
        with pytest.raises(InvalidRequest, match=r"metadata: has 13 bytes.*limits\.metadata"):
            memory.update(fact_id, metadata=too_long)
        assert memory.get(fact_id).metadata == fits


def test_texts_and_metadata_of_a_request_are_limited_together() -> None:
    with limited(request=30) as memory:
        messages = [{"content": "0123456789", "metadata": {"a": 1}}, "0123456789"]
        found = problem_of(memory, messages, metadata={"b": 2})
        assert found.startswith("messages: has 34 bytes; at most 30 are allowed (limits.request)")
        memory.add(messages, **BOB)


def test_conversation_of_add_many_that_is_too_long_is_named_and_none_is_written() -> None:
    conversations: list[Any] = [
        {"messages": "I like tea.", **BOB},
        {"messages": "x" * 100, **BOB},
    ]
    with limited(message=50) as memory:
        with pytest.raises(InvalidRequest, match=r"^conversations\[1\]\.messages\[0\]\.content"):
            memory.add_many(conversations)
        assert memory.stats().events == 0


@pytest.mark.parametrize("limits", [{"message": 0}, {"metadata": 1}, {"request": -1}, {"x": 1}])
def test_limits_that_allow_nothing_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match=f"limits.*{next(iter(limits))}"):
        limited(**limits)


def test_metadata_of_a_request_is_in_the_log_once_however_many_messages_there_are() -> None:
    with limited() as memory:
        memory.add(["Hello!", "Hi!", "Good morning!"], metadata={"k": "needle"}, **BOB)
        log = memory._inner._container.audit_log().read(Position(0), 100)
        observed = [item for item in log if isinstance(item.event, MessageObserved)]
        assert [b"needle" in item.payload for item in observed] == [True, False, False]


def test_every_fact_of_a_request_has_its_metadata_after_a_retry() -> None:
    with limited() as memory:
        memory.add(
            ["I like tea.", "I live in Rome."], metadata={"k": "v"}, wait=False, **BOB
        ).wait()
        assert [fact.metadata for fact in memory.get_all(**BOB)] == [{"k": "v"}] * 2
