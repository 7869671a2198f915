"""Read the messages of a call, in the formats of chat APIs.

Whatever can't be remembered is reported, and does not keep the rest from being remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from remembrancer.application.parsing.arguments import parse_text
from remembrancer.application.parsing.chat_message import read_message
from remembrancer.application.parsing.content_parts import Unread
from remembrancer.application.parsing.request import Turn
from remembrancer.application.parsing.sdk_objects import SdkObject, as_mapping
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import InvalidRequest, NothingToRemember
from remembrancer.domain.facts.verdicts import Skipped

MessageInput: TypeAlias = Mapping[str, Any] | SdkObject | tuple[str, Any]
Messages: TypeAlias = str | MessageInput | Sequence[str | MessageInput]

MAX_MESSAGES = 10_000

_ENVELOPES = ("messages", "contents", "choices", "candidates", "output")
"""Keys of the requests and responses of APIs that hold a list of messages."""

_ALTERNATIVES = {"choices": "message", "candidates": "content"}
"""Lists of alternatives, of which the first one was said, with the key of the message in one."""


@frozen
class ParsedMessages:
    """The messages of a call, and what of it can't be remembered."""

    turns: tuple[Turn, ...]
    skipped: tuple[Skipped, ...] = ()


def parse_messages(value: object, path: str = "messages") -> ParsedMessages:
    """Read one string (by the user), one message, or a sequence of messages.

    A message is a mapping or an SDK's object with ``content``, a string or a list of parts, and,
    optionally, ``role`` (``user``), ``name``, ``timestamp`` and ``metadata``; a pair of role and
    content; or has another form of docs/how-to/add-any-chat.md. So may be a request or a response
    that holds messages.

    Raises:
        NothingToRemember: nothing can be remembered; names the first problem.
        InvalidRequest: it is neither, or has too many messages.
    """
    if isinstance(value, str):
        text = parse_text(value, path)
        turn = Turn(role=Role.USER, text=text, name=None, occurred_at=None, metadata={})
        return ParsedMessages((turn,))
    turns: list[Turn] = []
    unread: list[tuple[Unread, str, int]] = []
    for index, message, where in _listed(value, path):
        for found in read_message(message, where, index):
            if isinstance(found, Turn):
                turns.append(found)
            else:
                unread.append((found, where, index))
    if not turns:
        if not unread:
            raise NothingToRemember(path, "is empty; pass at least one message")
        first = unread[0][0].error
        raise NothingToRemember(first.path, first.problem) from first
    return ParsedMessages(tuple(turns), tuple(_skipped(*item) for item in unread))


def _listed(value: object, path: str) -> Iterator[tuple[int, object, str]]:
    """The messages, each with its index in the caller's list and its path."""
    fields = as_mapping(value)
    if fields is not None:
        for index, (message, where) in enumerate(_opened(value, fields, path)):
            yield index, message, where
        return
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        raise InvalidRequest(
            path, f"expected a string or a list of messages, got {type(value).__name__}"
        )
    _check_count(value, path)
    for index, item in enumerate(value):
        for message, where in _opened(item, as_mapping(item) or {}, f"{path}[{index}]"):
            yield index, message, where


def _opened(item: object, fields: Mapping[str, Any], path: str) -> list[tuple[object, str]]:
    """The messages in a request or a response, with their paths, or the message that it is."""
    key = next((key for key in _ENVELOPES if isinstance(fields.get(key), list)), None)
    if key is None or fields.keys() & {"role", "content", "type"}:
        return [(item, path)]
    held, where = fields[key], f"{path}.{key}"
    _check_count(held, where)
    if key in _ALTERNATIVES:
        inner = _ALTERNATIVES[key]
        return [
            ((as_mapping(choice) or {}).get(inner), f"{where}[0].{inner}") for choice in held[:1]
        ]
    return [(message, f"{where}[{number}]") for number, message in enumerate(held)]


def _check_count(messages: Sequence[object], path: str) -> None:
    if len(messages) > MAX_MESSAGES:
        raise InvalidRequest(
            path, f"has {len(messages):,} messages; pass at most {MAX_MESSAGES:,} at a time"
        )


def _skipped(unread: Unread, where: str, index: int) -> Skipped:
    problem, path = unread.error.problem, unread.error.path
    inner = path.removeprefix(where).lstrip(".")
    return Skipped(
        text=unread.label,
        reason=f"{inner}: {problem}" if inner else problem,
        index=index,
        part=unread.part,
    )
