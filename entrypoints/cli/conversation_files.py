"""Read conversation files in batches of messages.

Two formats: JSON lines, one message per line, streamed; and LoCoMo's JSON, one sample or a list,
read as a whole. Only the shape is checked here; the memory validates the messages.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, BinaryIO

from attrs import frozen

from remembrancer import InvalidRequest
from remembrancer.entrypoints.cli.invocation import in_utc

BATCH_LINES = 50
MAX_LINE_BYTES = 16 * 1024 * 1024
"""More than the longest message that the memory accepts, with every character escaped."""

LOCOMO_TIME = "%I:%M %p on %d %B, %Y"


@frozen(kw_only=True)
class Batch:
    """Messages that are remembered in one call.

    ``places`` is the place of each message in the file, ``number`` the index of this batch among
    those of its ``owner``, ``done`` the position in the file after it, in bytes or sessions.
    """

    owner: str | None
    number: int
    messages: list[dict[str, Any]]
    places: list[str]
    done: int


@frozen(kw_only=True)
class ConversationFile:
    """An open file. ``owned``: every batch has an owner; ``whole``: the file was read to its end;
    ``total``: ``done`` of the last batch (0 if unknown).
    """

    format: str
    owned: bool
    whole: bool
    total: int
    batches: Iterator[Batch]


def open_conversation(stream: BinaryIO, size: int) -> ConversationFile:
    """Open a file; its first line decides the format.

    Args:
        stream: the file, at its start; need not be seekable.
        size: its size in bytes, 0 if unknown.

    Raises:
        InvalidRequest: it is neither format, or a LoCoMo sample is invalid. An invalid line after
            the first one raises when it is reached.
    """
    lines = _Lines(stream)
    first = lines.next_filled()
    if first is None:
        raise InvalidRequest("file", "is empty; expected JSON lines or LoCoMo samples")
    if not _begins_document(first):
        _message(first)
        return ConversationFile(
            format="jsonl",
            owned=False,
            whole=False,
            total=size,
            batches=_line_batches(first, lines),
        )
    sessions = list(_locomo_batches(_document(first, stream)))
    return ConversationFile(
        format="locomo",
        owned=all(session.owner is not None for session in sessions),
        whole=True,
        total=len(sessions),
        batches=iter(sessions),
    )


@frozen(kw_only=True)
class _Line:
    number: int
    raw: bytes
    end: int

    @property
    def place(self) -> str:
        return f"line {self.number}"


class _Lines:
    """The lines of a stream, numbered from 1, each cut at ``MAX_LINE_BYTES``."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._number = self._end = 0

    def next_filled(self) -> _Line | None:
        """The next line that is not blank, ``None`` at the end."""
        while raw := self._stream.readline(MAX_LINE_BYTES):
            self._number += 1
            self._end += len(raw)
            raw = raw.removeprefix(codecs.BOM_UTF8) if self._number == 1 else raw
            if raw.strip():
                return _Line(number=self._number, raw=raw, end=self._end)
        return None


def _begins_document(first: _Line) -> bool:
    """Whether the first line starts LoCoMo's JSON and is not a message."""
    start = first.raw.strip()
    if start.startswith(b"["):
        return True
    if not start.startswith(b"{"):
        return False
    try:
        return "conversation" in json.loads(start)
    except (ValueError, RecursionError):
        # Not valid JSON: an object over several lines, or, if it has "content", a broken message.
        return b'"content"' not in start


def _line_batches(first: _Line, lines: _Lines) -> Iterator[Batch]:
    """Batches of messages of one day, at most ``BATCH_LINES`` each."""
    numbers = count()
    messages: list[dict[str, Any]] = []
    places: list[str] = []
    line: _Line | None = first
    today, end = None, 0
    while line is not None:
        message = _message(line)
        day = _day(message) or today
        if messages and (len(messages) == BATCH_LINES or (today is not None and day != today)):
            yield Batch(
                owner=None, number=next(numbers), messages=messages, places=places, done=end
            )
            messages, places = [], []
        messages.append(message)
        places.append(line.place)
        today, end = day, line.end
        line = lines.next_filled()
    yield Batch(owner=None, number=next(numbers), messages=messages, places=places, done=end)


def _message(line: _Line) -> dict[str, Any]:
    if len(line.raw) == MAX_LINE_BYTES:
        raise InvalidRequest(line.place, f"is longer than {MAX_LINE_BYTES >> 20} MiB; split it")
    message = _parsed(line.raw, line.place)
    if not isinstance(message, dict):
        raise InvalidRequest(line.place, f"expected an object, got {type(message).__name__}")
    if isinstance(message.get("timestamp"), str):
        try:
            message["timestamp"] = in_utc(message["timestamp"])
        except ValueError as error:
            raise InvalidRequest(
                f"{line.place}.timestamp", f"{message['timestamp'][:40]!r} is not an ISO 8601 time"
            ) from error
    return message


def _parsed(raw: bytes, place: str) -> Any:
    try:
        return json.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise InvalidRequest(place, f"is not UTF-8 ({error.reason}); convert the file") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(place, f"is not JSON: {error}") from error


def _day(message: Mapping[str, Any]) -> object:
    moment = message.get("timestamp")
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else None


def _document(first: _Line, stream: BinaryIO) -> Any:
    return _parsed(first.raw + stream.read(), "file")


def _locomo_batches(document: Any) -> Iterator[Batch]:
    samples = document if isinstance(document, list) else [document]
    sessions = count(1)
    for index, sample in enumerate(samples):
        place = f"samples[{index}]"
        conversation = _part(sample, "conversation", dict, place)
        owner = sample.get("sample_id")
        if owner is not None and not isinstance(owner, str):
            raise InvalidRequest(f"{place}.sample_id", "expected a string")
        for number in _session_numbers(conversation):
            yield _session(
                conversation, number, f"{place}.conversation", owner=owner, done=next(sessions)
            )


def _session_numbers(conversation: Mapping[str, Any]) -> list[int]:
    numbers = (key.removeprefix("session_") for key, turns in conversation.items() if turns)
    return sorted(int(number) for number in numbers if number.isdecimal())


def _session(
    conversation: dict[str, Any], number: int, place: str, *, owner: str | None, done: int
) -> Batch:
    name = f"session_{number}"
    written = _part(conversation, f"{name}_date_time", str, place)
    try:
        moment = datetime.strptime(written, LOCOMO_TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidRequest(
            f"{place}.{name}_date_time", f"{written!r} is not like '1:56 pm on 8 May, 2023'"
        ) from error
    turns = _part(conversation, name, list, place)
    places = [f"{place}.{name}[{index}]" for index in range(len(turns))]
    return Batch(
        owner=owner,
        number=number,
        messages=[_turn(turn, moment, where) for turn, where in zip(turns, places, strict=True)],
        places=places,
        done=done,
    )


def _turn(turn: Any, moment: datetime, place: str) -> dict[str, Any]:
    text = _part(turn, "text", str, place)
    caption = turn.get("blip_caption")
    if caption:
        # Questions often ask for what a picture shows.
        text = f"{text}\n[shows {caption}]"
    return {
        "content": text,
        "name": _part(turn, "speaker", str, place),
        "timestamp": moment,
        "metadata": {key: turn[key] for key in ("dia_id",) if key in turn},
    }


def _part(parent: Any, key: str, kind: type[Any], place: str) -> Any:
    if not isinstance(parent, dict):
        raise InvalidRequest(place, f"expected an object, got {type(parent).__name__}")
    value = parent.get(key)
    if not isinstance(value, kind):
        raise InvalidRequest(
            f"{place}.{key}", f"expected {_SHAPES[kind]}; is this LoCoMo's own JSON?"
        )
    return value


_SHAPES: dict[type[Any], str] = {dict: "an object", list: "a list", str: "a string"}
