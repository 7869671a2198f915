"""Validate single arguments and convert them; errors have the path of the argument."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactKind, ListedStatus, Metadata
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.scope import Scope, ScopeIds

MAX_TEXT_CHARACTERS = 1_000_000
MAX_QUERY_CHARACTERS = 100_000
MAX_LIMIT = 1_000
MAX_DEPTH = 5
MAX_METADATA_DEPTH = 16
MAX_METADATA_VALUES = 1_000
MAX_KEY_CHARACTERS = 256
MAX_INSTRUCTION_CHARACTERS = 10_000
MAX_TOPICS = 100
MAX_REASON_CHARACTERS = 10_000

DEFAULT_ACTOR = "api"

_FORBIDDEN = re.compile("[\x00\ud800-\udfff]").search
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
MAX_SHOWN_CHARACTERS = 80


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
    """A short label without control characters, or ``None``."""
    if value is None:
        return None
    text = parse_text(value, path, MAX_KEY_CHARACTERS)
    if _CONTROL(text):
        raise InvalidRequest(path, "has a control character; remove it")
    return text


def parse_moment(value: object, path: str) -> datetime | None:
    """An aware datetime, an ISO 8601 string with an offset, or seconds since 1970 (UTC).

    The offset is kept: "yesterday" depends on the time zone.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _parse_iso(value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidRequest(path, f"{shown(value)} is not a time in seconds") from error
    if not isinstance(value, datetime):
        raise InvalidRequest(path, f"expected a datetime, got {type(value).__name__}")
    offset = value.utcoffset()
    if offset is None:
        raise InvalidRequest(path, "is naive; give it a timezone, such as datetime.UTC")
    try:
        # Also converts subclasses of datetime, which can't be stored.
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
        raise InvalidRequest(path, f"{shown(text)} is not an ISO 8601 date and time") from error


def parse_metadata(value: object, path: str = "metadata") -> Metadata:
    """A JSON object of limited depth and size; ``None`` becomes the empty one."""
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
    """A plain number: subclasses, as of numeric libraries, can't be stored."""
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


def parse_guidance(
    instructions: object, include: object, exclude: object, categories: object
) -> Guidance | None:
    """The guidance of one call, which adds to the settings; ``None`` if there is none."""
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
    """``procedural`` (one fact from all messages), or ``None``."""
    if value is None:
        return None
    if value != FactKind.PROCEDURAL:
        raise InvalidRequest(
            path, f"{shown(value)} can't be asked for; use procedural or leave it out"
        )
    return FactKind.PROCEDURAL


def parse_fact_kind(value: object, path: str = "kind") -> FactKind | None:
    """One of ``FactKind``, or ``None``."""
    if value is None:
        return None
    if not isinstance(value, str) or value not in tuple(FactKind):
        raise InvalidRequest(path, f"{shown(value)} is not one of {', '.join(FactKind)}")
    return FactKind(value)


def parse_status(value: object, path: str = "status") -> ListedStatus | None:
    """One of ``ListedStatus``, or ``None``."""
    if value is None:
        return None
    if not isinstance(value, str) or value not in tuple(ListedStatus):
        raise InvalidRequest(path, f"{shown(value)} is not one of {', '.join(ListedStatus)}")
    return ListedStatus(value)


def parse_limit(value: object, path: str = "limit") -> int:
    """A whole number from 1 to ``MAX_LIMIT``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
        raise InvalidRequest(
            path, f"expected a whole number from 1 to {MAX_LIMIT}, got {shown(value)}"
        )
    return value


def parse_depth(value: object, path: str = "depth") -> int:
    """A whole number from 1 to ``MAX_DEPTH``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_DEPTH:
        raise InvalidRequest(
            path, f"expected a whole number from 1 to {MAX_DEPTH}, got {shown(value)}"
        )
    return value


def parse_count(value: object, path: str) -> int:
    """A whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(path, f"expected a whole number from 1, got {shown(value)}")
    return value


def parse_flag(value: object, path: str) -> bool:
    """A boolean; other truthy or falsy values are refused."""
    if not isinstance(value, bool):
        raise InvalidRequest(path, f"expected true or false, got {type(value).__name__}")
    return value


def parse_threshold(value: object, path: str = "threshold") -> float | None:
    """A score from 0 to 1, or ``None``."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidRequest(path, f"expected a number from 0 to 1, got {shown(value)}")
    return float(value)


def parse_version(value: object, path: str) -> int | None:
    """The number of ``"@N"``, a version of a ledger; ``None`` if it is something else."""
    if not isinstance(value, str) or not value.startswith("@"):
        return None
    if not re.fullmatch("@[0-9]{1,18}", value):
        raise InvalidRequest(
            path, f"{shown(value)} is not a version; write @ and a number, such as @12"
        )
    return int(value[1:])


def parse_id(value: object, path: str) -> str:
    """An id that remembrancer assigned: 32 hex digits."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{32}", value):
        raise InvalidRequest(path, f"expected 32 hex digits, got {shown(value)}")
    return str.__str__(value)


def shown(value: object) -> str:
    """An invalid value, shortened for an error of one line."""
    if isinstance(value, str):
        return repr(value[:MAX_SHOWN_CHARACTERS])
    # Python refuses to format integers of thousands of digits.
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64):
        return repr(value)
    return type(value).__name__


def parse_scope(ids: ScopeIds) -> Scope:
    """The scope of a call.

    Raises:
        InvalidRequest: no owner is given, or an id is invalid.
    """
    return Scope(**ids)


def parse_guard(ids: ScopeIds) -> Scope | None:
    """The scope that a fact must be in; ``None`` if no id is given."""
    return Scope(**ids) if any(value is not None for value in ids.values()) else None


def parse_optional_flag(value: object, path: str) -> bool | None:
    """A boolean, or ``None``."""
    return None if value is None else parse_flag(value, path)


def parse_actor(value: object) -> str:
    """The actor of a call; ``DEFAULT_ACTOR`` if none is given."""
    return parse_name(value, "actor") or DEFAULT_ACTOR


def parse_reason(value: object) -> str:
    """A reason of at most ``MAX_REASON_CHARACTERS``, or an empty string."""
    return parse_text(value, "reason", MAX_REASON_CHARACTERS) if value else ""
