"""Read conversation files in batches of messages.

Three formats: JSON lines, one message or conversation per line, streamed; a JSON array of messages
or of conversations; and LoCoMo's JSON, one sample or a list. The latter two are read as a whole.
Only the shape is checked here; the memory validates the messages.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, count, groupby
from typing import Any, BinaryIO

from attrs import evolve, frozen

from remembrancer import InvalidRequest
from remembrancer.entrypoints.cli.invocation import in_utc

BATCH_LINES = 50
MAX_LINE_BYTES = 16 * 1024 * 1024
"""More than the longest message that the memory accepts, with every character escaped."""

CONVERSATION_KEYS = ("messages", "contents")
"""Keys of an object that is a conversation, as in requests of OpenAI and Gemini."""

LOCOMO_TIME = "%I:%M %p on %d %B, %Y"


@frozen(kw_only=True)
class Batch:
    """Messages that are remembered in one call.

    ``places`` is the place of each message in the file, ``number`` the index of this batch among
    those of its ``owner``, ``done`` the position in the file after it, in bytes or sessions.
    """

    owner: str | None
    number: int
    messages: list[Any]
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
        raise InvalidRequest("file", "is empty; expected JSON")
    if not _begins_document(first):
        _message(_value(first), first.place)
        return _streamed(first, lines, size)
    document, second = _document(first, lines, stream)
    if second is not None:
        return _streamed(first, lines, size, second)
    conversations = _conversations(document)
    if conversations is None:
        sessions, owned = list(_locomo_batches(document)), True
    else:
        sessions, owned = list(_batches(conversations)), False
    return ConversationFile(
        format="json" if conversations is not None else "locomo",
        owned=owned and all(session.owner is not None for session in sessions),
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
    """Whether the first line may start a document: not if it is an object without LoCoMo's key."""
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


def _streamed(
    first: _Line, lines: _Lines, size: int, second: _Line | None = None
) -> ConversationFile:
    rest = iter(lines.next_filled, None)
    every = chain((first, second), rest) if second is not None else chain((first,), rest)
    return ConversationFile(
        format="jsonl",
        owned=False,
        whole=False,
        total=size,
        batches=_line_batches(line for line in every if line is not None),
    )


def _line_batches(lines: Iterable[_Line]) -> Iterator[Batch]:
    """Batches of the messages of following lines, or of the conversation in one line."""
    numbers = count()
    read = ((line, _value(line)) for line in lines)
    for alone, group in groupby(read, key=lambda pair: _held_by(pair[1], "") is not None):
        if not alone:
            yield from _cut(
                ((_message(value, line.place), line.place, line.end) for line, value in group),
                numbers,
            )
            continue
        for line, value in group:
            held = _held_by(value, line.place) or []
            yield from _cut(
                [(_timed(message, place), place, line.end) for message, place in held], numbers
            )


def _cut(messages: Iterable[tuple[Any, str, int]], numbers: Iterator[int]) -> Iterator[Batch]:
    """Batches of messages of one day, at most ``BATCH_LINES`` each."""
    batch: list[Any] = []
    places: list[str] = []
    today, end = None, 0
    for message, place, after in messages:
        day = _day(message) or today
        if batch and (len(batch) == BATCH_LINES or (today is not None and day != today)):
            yield Batch(owner=None, number=next(numbers), messages=batch, places=places, done=end)
            batch, places = [], []
        batch.append(message)
        places.append(place)
        today, end = day, after
    if batch:
        yield Batch(owner=None, number=next(numbers), messages=batch, places=places, done=end)


def _held_by(value: object, place: str) -> list[tuple[Any, str]] | None:
    """The messages of a conversation, with their places; ``None`` if it is none."""
    if isinstance(value, list):
        return [(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict) or "role" in value or "content" in value:
        return None
    for key in CONVERSATION_KEYS:
        if isinstance(value.get(key), list):
            return _held_by(value[key], f"{place}.{key}" if place else key)
    return None


def _conversations(document: Any) -> list[list[tuple[Any, str]]] | None:
    """The conversations in a document, ``None`` if it is LoCoMo's."""
    held = _held_by(document, "messages" if isinstance(document, list) else "")
    if not held or any(isinstance(item, dict) and "conversation" in item for item, _ in held):
        return None
    inner = [_held_by(item, place.replace("messages", "conversations", 1)) for item, place in held]
    if all(messages is not None for messages in inner):
        return [messages for messages in inner if messages is not None]
    return [held]


def _batches(conversations: list[list[tuple[Any, str]]]) -> Iterator[Batch]:
    numbers, done = count(), count(1)
    for messages in conversations:
        timed = [(_timed(message, place), place, 0) for message, place in messages]
        for batch in _cut(timed, numbers):
            yield evolve(batch, done=next(done))


def _value(line: _Line) -> Any:
    if len(line.raw) == MAX_LINE_BYTES:
        raise InvalidRequest(line.place, f"is longer than {MAX_LINE_BYTES >> 20} MiB; split it")
    return _parsed(line.raw, line.place)


def _message(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(place, f"expected an object, got {type(value).__name__}")
    message: dict[str, Any] = _timed(value, place)
    return message


def _timed(message: Any, place: str) -> Any:
    """The message with an aware timestamp: times without an offset are UTC."""
    if not isinstance(message, dict) or not isinstance(message.get("timestamp"), str):
        return message
    try:
        return {**message, "timestamp": in_utc(message["timestamp"])}
    except ValueError as error:
        raise InvalidRequest(
            f"{place}.timestamp", f"{message['timestamp'][:40]!r} is not an ISO 8601 time"
        ) from error


def _parsed(raw: bytes, place: str) -> Any:
    try:
        return json.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise InvalidRequest(place, f"is not UTF-8 ({error.reason}); convert the file") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(place, f"is not JSON: {error}") from error


def _day(message: object) -> object:
    moment = message.get("timestamp") if isinstance(message, dict) else None
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else None


def _document(first: _Line, lines: _Lines, stream: BinaryIO) -> tuple[Any, _Line | None]:
    """The document that ``first`` begins; if it is one line of several, also the second line."""
    try:
        document = json.loads(first.raw)
    except (ValueError, RecursionError):
        return _parsed(first.raw + stream.read(), "file"), None
    return document, lines.next_filled()


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
