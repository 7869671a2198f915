"""Callers' input, checked and turned into values. Whatever is wrong is refused here, by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeAlias

from attrs import frozen

from remembrancer.application.parsing.images import parse_image
from remembrancer.domain.conversation import Role
from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactKind, Metadata
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.image import Image

MessageInput: TypeAlias = Mapping[str, Any]
Messages: TypeAlias = str | MessageInput | Sequence[str | MessageInput]

MAX_TEXT_CHARACTERS = 1_000_000
MAX_QUERY_CHARACTERS = 100_000
MAX_MESSAGES = 10_000
MAX_LIMIT = 1_000
MAX_DEPTH = 5
MAX_METADATA_DEPTH = 16
MAX_METADATA_VALUES = 1_000
MAX_KEY_CHARACTERS = 256
MAX_INSTRUCTION_CHARACTERS = 10_000
MAX_TOPICS = 100
MAX_IMAGES = 100

_FORBIDDEN = re.compile("[\x00\ud800-\udfff]").search
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
_SHOWN = 80
_QUOTES = "'\""
_MESSAGE_KEYS = ("role", "content", "name", "timestamp", "metadata")


@frozen(kw_only=True)
class Turn:
    """One checked message, before it gets an id and a scope."""

    role: Role
    text: str
    name: str | None
    occurred_at: datetime | None
    metadata: Metadata
    images: tuple[Image, ...] = ()


def parse_text(value: object, path: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """A non-empty text that can be stored as UTF-8, at most ``limit`` characters long."""
    if not isinstance(value, str):
        raise InvalidRequest(path, f"expected a string, got {type(value).__name__}")
    if len(value) > limit:
        raise InvalidRequest(
            path, f"has {len(value):,} characters; split it, at most {limit:,} are allowed"
        )
    if not value.strip():
        raise InvalidRequest(path, "is empty; pass some text")
    bad = _FORBIDDEN(value)
    if bad is not None:
        name = "NUL byte" if bad.group() == "\x00" else "lone surrogate"
        raise InvalidRequest(path, f"{name} at index {bad.start()}; remove it")
    return str.__str__(value)


def parse_name(value: object, path: str) -> str | None:
    """A short label without control characters, or nothing."""
    if value is None:
        return None
    text = parse_text(value, path, MAX_KEY_CHARACTERS)
    if _CONTROL(text):
        raise InvalidRequest(path, "has a control character; remove it")
    return text


def parse_moment(value: object, path: str) -> datetime | None:
    """An aware datetime, an ISO 8601 string with an offset, or seconds since 1970 (UTC).

    The offset is kept, since "yesterday" is another day in another time zone.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _parse_iso(value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidRequest(path, f"{_shown(value)} is not a time in seconds") from error
    if not isinstance(value, datetime):
        raise InvalidRequest(path, f"expected a datetime, got {type(value).__name__}")
    offset = value.utcoffset()
    if offset is None:
        raise InvalidRequest(path, "is naive; give it a timezone, such as datetime.UTC")
    try:
        # Also makes a plain datetime of a subclass, which could not be stored.
        moment = from_microseconds(to_microseconds(value))
    except OverflowError as error:
        raise InvalidRequest(path, f"{value.isoformat()} is out of range in UTC") from error
    # RFC 3339, the stored form, has offsets in whole minutes.
    whole = offset and not offset % timedelta(minutes=1)
    return moment.astimezone(timezone(offset)) if whole else moment


def _parse_iso(text: str, path: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(path, f"{_shown(text)} is not an ISO 8601 date and time") from error


def parse_metadata(value: object, path: str = "metadata") -> Metadata:
    """A JSON object, bounded in depth and size; ``None`` is the empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(path, f"expected a mapping, got {type(value).__name__}")
    count = 0

    def check(item: object, where: str, depth: int) -> Any:
        nonlocal count
        count += 1
        if count > MAX_METADATA_VALUES:
            raise InvalidRequest(path, f"holds more than {MAX_METADATA_VALUES} values")
        if depth > MAX_METADATA_DEPTH:
            raise InvalidRequest(where, f"is nested deeper than {MAX_METADATA_DEPTH} levels")
        if item is None or isinstance(item, bool):
            return item
        if isinstance(item, str):
            return _parse_metadata_string(item, where)
        if isinstance(item, int | float):
            return _parse_number(item, where)
        if isinstance(item, Mapping):
            return {
                _parse_key(key, where): check(child, f"{where}.{key}", depth + 1)
                for key, child in item.items()
            }
        if isinstance(item, list | tuple):
            return [check(child, f"{where}[{i}]", depth + 1) for i, child in enumerate(item)]
        raise InvalidRequest(
            where, f"{type(item).__name__} is not a JSON value; convert it to a string or number"
        )

    checked: Metadata = check(value, path, 0)
    return checked


def _parse_metadata_string(item: str, where: str) -> str:
    if len(item) > MAX_TEXT_CHARACTERS or _FORBIDDEN(item):
        raise InvalidRequest(where, "has a NUL byte or a lone surrogate, or is too long")
    return str.__str__(item)


def _parse_number(item: float, where: str) -> float:
    """A plain number: the subclasses that numeric libraries return could not be stored."""
    if isinstance(item, float):
        if not math.isfinite(item):
            raise InvalidRequest(where, f"{item!r} is not a JSON number")
        return float(item)
    if not -(2**63) <= item < 2**63:
        raise InvalidRequest(where, "is beyond 64 bits; store it as a string")
    return int(item)


def _parse_key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise InvalidRequest(where, f"keys are strings, got {type(key).__name__}")
    if not key or len(key) > MAX_KEY_CHARACTERS or _CONTROL(key):
        raise InvalidRequest(where, f"the key {key[:40]!r} is empty, too long or not printable")
    return str.__str__(key)


def parse_turns(value: object, path: str = "messages") -> list[Turn]:
    """What was said: one string (by the user), one message, or a sequence of messages.

    A message is a mapping with ``content`` and, if wanted, ``role`` (user, assistant, system,
    tool), ``name``, ``timestamp`` and ``metadata``.
    """
    if isinstance(value, str):
        return [_parse_turn({"content": value}, path, text_path=path)]
    if isinstance(value, Mapping):
        return [_parse_turn(value, path)]
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        raise InvalidRequest(
            path, f"expected a string or a list of messages, got {type(value).__name__}"
        )
    if not value:
        raise InvalidRequest(path, "is empty; pass at least one message")
    if len(value) > MAX_MESSAGES:
        raise InvalidRequest(
            path, f"has {len(value):,} messages; pass at most {MAX_MESSAGES:,} at a time"
        )
    return [
        _parse_turn({"content": item} if isinstance(item, str) else item, f"{path}[{index}]")
        for index, item in enumerate(value)
    ]


def _parse_turn(value: object, path: str, text_path: str | None = None) -> Turn:
    if not isinstance(value, Mapping):
        raise InvalidRequest(path, f"expected a message, got {type(value).__name__}")
    unknown = [key for key in value if key not in _MESSAGE_KEYS]
    if unknown:
        raise InvalidRequest(
            f"{path}.{_shown(unknown[0]).strip(_QUOTES)}",
            f"is not part of a message; allowed are {', '.join(_MESSAGE_KEYS)}",
        )
    role = value.get("role", Role.USER)
    if role not in tuple(Role):
        raise InvalidRequest(
            f"{path}.role", f"{_shown(role)} is not a role; use one of {', '.join(Role)}"
        )
    text, images = _parse_content(value.get("content"), text_path or f"{path}.content")
    return Turn(
        role=Role(role),
        text=text,
        images=images,
        name=parse_name(value.get("name"), f"{path}.name"),
        occurred_at=parse_moment(value.get("timestamp"), f"{path}.timestamp"),
        metadata=parse_metadata(value.get("metadata"), f"{path}.metadata"),
    )


def _parse_content(value: object, path: str) -> tuple[str, tuple[Image, ...]]:
    """Text, or the list of text and image parts that chat APIs use."""
    if not isinstance(value, list):
        return parse_text(value, path), ()
    texts: list[str] = []
    images: list[Image] = []
    for index, part in enumerate(value):
        where = f"{path}[{index}]"
        if not isinstance(part, Mapping):
            raise InvalidRequest(where, f"expected a part, got {type(part).__name__}")
        if part.get("type") == "text":
            texts.append(parse_text(part.get("text"), f"{where}.text"))
        else:
            images.append(parse_image(part, where))
    if len(images) > MAX_IMAGES:
        raise InvalidRequest(
            path, f"has {len(images):,} images; at most {MAX_IMAGES} are allowed in a message"
        )
    return ("" if images and not texts else parse_text("\n".join(texts), path)), tuple(images)


def parse_guidance(
    instructions: object, include: object, exclude: object, categories: object
) -> Guidance | None:
    """What one call wants besides the settings; ``None`` if that is nothing."""
    guidance = Guidance(
        instructions=""
        if instructions is None
        else parse_text(instructions, "instructions", MAX_INSTRUCTION_CHARACTERS),
        include=_parse_topics(include, "include"),
        exclude=_parse_topics(exclude, "exclude"),
        categories=_parse_topics(categories, "categories"),
    )
    return None if guidance == Guidance() else guidance


def _parse_topics(value: object, path: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidRequest(path, f"expected a list of strings, got {type(value).__name__}")
    if len(value) > MAX_TOPICS:
        raise InvalidRequest(path, f"has {len(value):,} entries; at most {MAX_TOPICS} are allowed")
    topics: dict[str, None] = {}
    for index, item in enumerate(value):
        topic = parse_name(item, f"{path}[{index}]")
        if topic is None:
            raise InvalidRequest(f"{path}[{index}]", "expected a string, got NoneType")
        topics[topic] = None
    return tuple(topics)


def parse_kind(value: object, path: str = "kind") -> FactKind | None:
    """``procedural``, or nothing: what the messages are to become as a whole."""
    if value is None:
        return None
    if value != FactKind.PROCEDURAL:
        raise InvalidRequest(
            path, f"{_shown(value)} can't be asked for; use procedural or leave it out"
        )
    return FactKind.PROCEDURAL


def parse_limit(value: object, path: str = "limit") -> int:
    """A whole number from 1 to ``MAX_LIMIT``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
        raise InvalidRequest(
            path, f"expected a whole number from 1 to {MAX_LIMIT}, got {_shown(value)}"
        )
    return value


def parse_depth(value: object, path: str = "depth") -> int:
    """A whole number from 1 to ``MAX_DEPTH``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_DEPTH:
        raise InvalidRequest(
            path, f"expected a whole number from 1 to {MAX_DEPTH}, got {_shown(value)}"
        )
    return value


def parse_count(value: object, path: str) -> int:
    """A whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(path, f"expected a whole number from 1, got {_shown(value)}")
    return value


def parse_flag(value: object, path: str) -> bool:
    """True or false, and nothing that only counts as such."""
    if not isinstance(value, bool):
        raise InvalidRequest(path, f"expected true or false, got {type(value).__name__}")
    return value


def parse_threshold(value: object, path: str = "threshold") -> float | None:
    """A score from 0 to 1, or nothing."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidRequest(path, f"expected a number from 0 to 1, got {_shown(value)}")
    return float(value)


def parse_as_of(value: object, now: datetime, path: str = "as_of") -> datetime | None:
    """A moment that is not in the future: what will be believed then can't be told."""
    moment = parse_moment(value, path)
    if moment is not None and moment > now:
        raise InvalidRequest(
            path,
            f"{moment.isoformat()} is in the future; leave it out to read the latest, "
            "or use valid_at for what will be true then",
        )
    return moment


def parse_id(value: object, path: str) -> str:
    """An id as remembrancer hands them out: 32 hex digits."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{32}", value):
        raise InvalidRequest(path, f"expected 32 hex digits, got {_shown(value)}")
    return str.__str__(value)


def _shown(value: object) -> str:
    """A refused value, short enough for an error of one line."""
    if isinstance(value, str):
        return repr(value[:_SHOWN])
    # Python itself refuses to write out an integer of thousands of digits.
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64):
        return repr(value)
    return type(value).__name__
