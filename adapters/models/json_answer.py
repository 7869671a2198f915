"""The JSON value in what a model said, around which there may be anything, and which may be broken.

Whatever is returned stands in the text, complete: a list that breaks off keeps its complete items
and no half ones; nothing is repaired but trailing commas and line ends in strings. It is no
validator: whether a value means anything is for others to say. The work grows with the length of
the text, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from json import JSONDecodeError, JSONDecoder
from math import isfinite
from typing import Any

from attrs import frozen

DEEPEST = 64
"""Lists and objects in one another; hostile output goes deeper, and Python's stack ends."""

LONGEST_NUMBER = 400
"""Digits, more than any float has; Python refuses whole numbers of some thousand."""

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


class _BrokenError(Exception):
    """A value that ends too early or goes on wrongly.

    ``at`` is where; ``value`` is what is complete in it, ``None`` for nothing. ``keyed`` says
    that an object in it had begun for sure: it is no stray bracket in a sentence.
    """

    def __init__(self, at: int, value: Any = None, *, keyed: bool = False) -> None:
        super().__init__(at)
        self.at = at
        self.value = value
        self.keyed = keyed


def parse(text: str, schema: Mapping[str, Any]) -> Any:
    """The list or object that answers a request for JSON of a schema, ``None`` if there is none.

    What stands around it is ignored: code fences, thoughts (``<think>…</think>``), chatter. Of
    several values the last one that fits is meant, for drafts come before the answer; one that
    does not fit is taken only if there is no other.

    Args:
        text: what the model said.
        schema: a JSON schema; looked at are ``type``, ``required`` and ``properties`` of the
            value, and of the items of a list.
    """
    found = _outermost(text, listed=schema.get("type") == "array")
    fitting = [each for each in found if _fits(each.value, schema, whole=each.whole)]
    if fitting:
        return fitting[-1].value
    return found[0].value if len(found) == 1 else None


def without_surrogates(text: str) -> str:
    """The text with halves of characters replaced: providers send them, no file takes them."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _outermost(text: str, *, listed: bool) -> list[_Found]:
    """The outermost lists and objects outside of thoughts, in order.

    The search ends at a value that broke after it had begun for sure, which a list of plain items
    has only if a list is looked for. What follows may be the inside of one of its strings, and
    those hold what strangers said.
    """
    found: list[_Found] = []
    position = 0
    while mark := _MARK.search(text, position):
        position = mark.end()
        if mark[1]:
            # A thought that began before the text did.
            found.clear()
        elif mark[0] not in "[{":
            end = _END_OF_THOUGHT.search(text, position)
            position = end.end() if end else len(text)
        else:
            try:
                value, position = _container(text, mark.start(), 1)
            except _BrokenError as broken:
                if broken.value is not None:
                    found.append(_Found(value=broken.value, whole=False))
                if broken.keyed or (listed and broken.value is not None):
                    break
                position = broken.at
            else:
                found.append(_Found(value=value, whole=True))
    return found


def _fits(value: Any, schema: Mapping[str, Any], *, whole: bool) -> bool:
    """Whether a value has the outer form of a schema; a broken one may lack some of its keys."""
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
    """The value that begins at a position, and where it ends."""
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
        # Where it would have ended is unknown, so that all the rest may be inside of it.
        raise _BrokenError(len(text)) from None
    return without_surrogates(value), end


def _plain(text: str, at: int) -> tuple[Any, int]:
    """A number or a word; not at the very end of the text, where it may be half of one."""
    found = _PLAIN.match(text, at)
    if found is None or found.end() == len(text):
        raise _BrokenError(at)
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
