"""Parser that extracts JSON from a model's answer, with surrounding text and truncation tolerated.

Every returned value is complete in the text: of a truncated list the complete items are kept.
Repairs are limited to trailing commas and line breaks in strings. It does not validate against the
schema. Run time is linear in the length of the text, for any text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from json import JSONDecodeError, JSONDecoder
from math import isfinite
from typing import Any

from attrs import frozen

DEEPEST = 64
"""Maximum nesting of lists and objects; hostile output could overflow Python's stack."""

LONGEST_NUMBER = 400
"""Maximum characters of a number: more than any float needs. Python refuses very long integers."""

_STRINGS = JSONDecoder(strict=False)
_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r"-?[0-9][-+.0-9eE]*|[a-z]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_MARK = re.compile(r"[\[{]|<(/?)(?:think|thinking|reasoning)>", re.IGNORECASE)
_END_OF_THOUGHT = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)


@frozen(kw_only=True)
class _Found:
    value: Any
    whole: bool
    cut_off: bool = False


class _BrokenError(Exception):
    """A value is truncated or has a syntax error.

    ``at`` is the position; ``value`` is the complete part of the value, ``None`` if there is none.
    ``keyed``: the value certainly contains an object, so it is not a stray bracket in a sentence.
    """

    def __init__(self, at: int, value: Any = None, *, keyed: bool = False) -> None:
        super().__init__(at)
        self.at = at
        self.value = value
        self.keyed = keyed


@frozen(kw_only=True)
class Answer:
    """The value in an answer. ``cut_off``: the text ends inside it; ``None`` without a value."""

    value: Any = None
    cut_off: bool | None = None


def parse(text: str, schema: Mapping[str, Any]) -> Any:
    """The value of ``read``."""
    return read(text, schema).value


def read(text: str, schema: Mapping[str, Any]) -> Answer:
    """Read the list or object that answers a request for JSON, ``None`` if there is none.

    Surrounding text is ignored: code fences, reasoning (``<think>…</think>``), chatter. Of several
    values, the last one that fits the schema is returned, because drafts come before the answer. A
    value that does not fit is returned only if it is the only one.

    Args:
        text: the answer of the model.
        schema: a JSON schema; only ``type``, ``required`` and ``properties`` of the value, and of
            the items of a list, are used.
    """
    found = _outermost(text, listed=schema.get("type") == "array")
    fitting = [each for each in found if _fits(each.value, schema, whole=each.whole)]
    chosen = fitting[-1:] or (found if len(found) == 1 else [])
    return Answer(value=chosen[0].value, cut_off=chosen[0].cut_off) if chosen else Answer()


def without_surrogates(text: str) -> str:
    """Replace lone surrogates: some providers send them, and they cannot be encoded as UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _outermost(text: str, *, listed: bool) -> list[_Found]:
    """Return the outermost lists and objects outside of reasoning, in order.

    The search stops at a broken value that certainly began as JSON (see ``_BrokenError.keyed``; a
    list of plain items counts only with ``listed``). The rest of the text may be inside one of its
    strings, and strings hold untrusted text.
    """
    found: list[_Found] = []
    position = 0
    while mark := _MARK.search(text, position):
        position = mark.end()
        if mark[1]:
            # The reasoning began before the text.
            found.clear()
        elif mark[0] not in "[{":
            end = _END_OF_THOUGHT.search(text, position)
            position = end.end() if end else len(text)
        else:
            try:
                value, position = _container(text, mark.start(), 1)
            except _BrokenError as broken:
                if broken.value is not None:
                    cut = _skip(text, broken.at) == len(text)
                    found.append(_Found(value=broken.value, whole=False, cut_off=cut))
                if broken.keyed or (listed and broken.value is not None):
                    break
                position = broken.at
            else:
                found.append(_Found(value=value, whole=True))
    return found


def _fits(value: Any, schema: Mapping[str, Any], *, whole: bool) -> bool:
    """Return whether a value has the outer form of a schema; a broken one may lack keys."""
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items", {})
        return isinstance(value, list) and all(_fits(item, items, whole=True) for item in value)
    if kind == "object":
        required = schema.get("required", ())
        if not isinstance(value, dict) or (whole and not all(key in value for key in required)):
            return False
        return whole or any(key in value for key in schema.get("properties", value))
    return True


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    """Return the value that begins at a position, and the position after it."""
    first = text[at : at + 1]
    if first == '"':
        return _string(text, at)
    if first and first in "[{":
        return _container(text, at, depth)
    return _plain(text, at)


def _container(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise _BrokenError(at)
    return _list(text, at, depth) if text[at] == "[" else _object(text, at, depth)


def _list(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    position = _skip(text, at + 1)
    while not text.startswith("]", position):
        try:
            item, position = _value(text, position, depth + 1)
        except _BrokenError as broken:
            raise _BrokenError(
                broken.at, items or None, keyed=broken.keyed or _keyed(items)
            ) from None
        items.append(item)
        position = _skip(text, position)
        if text.startswith(",", position):
            position = _skip(text, position + 1)
        elif not text.startswith("]", position):
            raise _BrokenError(position, items, keyed=_keyed(items))
    return items, position + 1


def _keyed(items: list[Any]) -> bool:
    return any(isinstance(item, dict | list) for item in items)


def _object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    position = _skip(text, at + 1)
    while not text.startswith("}", position):
        if not text.startswith('"', position):
            raise _BrokenError(position, members or None, keyed=bool(members))
        try:
            key, position = _string(text, position)
        except _BrokenError as broken:
            raise _BrokenError(broken.at, members or None, keyed=bool(members)) from None
        position = _skip(text, position)
        if not text.startswith(":", position):
            raise _BrokenError(position, members or None, keyed=bool(members))
        begin = _skip(text, position + 1)
        try:
            members[key], position = _value(text, begin, depth + 1)
        except _BrokenError as broken:
            if text.startswith("[", begin):
                members[key] = broken.value or []
            raise _BrokenError(broken.at, members or None, keyed=True) from None
        position = _skip(text, position)
        if text.startswith(",", position):
            position = _skip(text, position + 1)
        elif not text.startswith("}", position):
            raise _BrokenError(position, members, keyed=True)
    return members, position + 1


def _string(text: str, at: int) -> tuple[str, int]:
    try:
        value, end = _STRINGS.raw_decode(text, at)
    except JSONDecodeError:
        # The end of the string is unknown: all the rest may be inside it.
        raise _BrokenError(len(text)) from None
    return without_surrogates(value), end


def _plain(text: str, at: int) -> tuple[Any, int]:
    """Parse a number or a word. Broken at the very end of the text, where it may be cut."""
    found = _PLAIN.match(text, at)
    if found is None:
        raise _BrokenError(at)
    if found.end() == len(text):
        raise _BrokenError(len(text))
    if found[0] in _WORDS:
        return _WORDS[found[0]], found.end()
    number = _NUMBER.fullmatch(found[0])
    if number is None or len(found[0]) > LONGEST_NUMBER:
        raise _BrokenError(at)
    value = float(found[0]) if number[1] or number[2] else int(found[0])
    if not isfinite(value):
        raise _BrokenError(at)
    return value, found.end()


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
