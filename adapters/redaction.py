"""Remove secrets from text: the values of settings fields with ``repr=False``.

Adapters cut them from the messages of libraries and servers. The doctor replaces them in its
report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import attrs

T = TypeVar("T")

HIDDEN = "***"

SHORTEST = 4
"""Characters. Shorter secrets and shorter parts of secrets are not removed: they occur inside of
other words.
"""

_IN_DSN = re.compile(r"(?:ssl)?password\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)+)", re.DOTALL)
_IN_QUERY = re.compile(r"[?&](?:ssl)?password=([^&#]*)")
_HEADER = re.compile(r"[A-Za-z0-9-]+:\s*(.+)", re.DOTALL)


class Secrets:
    """The secrets in a tree of settings.

    Args:
        texts: each a secret, or a connection string, URL or header that contains one.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        texts = list(texts)
        self._parts = [form for text in texts for part in _parts(text) for form in _forms(part)]
        # Longest first: a secret may contain another one.
        known = {each for each in (*texts, *self._parts) if len(each) >= SHORTEST}
        self._whole = sorted(known, key=len, reverse=True)
        self._runs = {
            part[start : start + SHORTEST]
            for part in self._parts
            for start in range(len(part) - SHORTEST + 1)
        }

    @classmethod
    def of(cls, settings: Any, *others: str) -> Secrets:
        """Collect all secrets of a tree of settings, and ``others``."""
        return cls([*_secrets(settings), *others])

    def hidden_in(self, value: T) -> T:
        """``value`` with each complete secret replaced in all of its strings."""
        hidden: Any = value
        if isinstance(value, str):
            for secret in self._whole:
                hidden = hidden.replace(secret, HIDDEN)
        elif isinstance(value, Mapping):
            hidden = {key: self.hidden_in(item) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            hidden = type(value)(self.hidden_in(item) for item in value)
        elif attrs.has(type(value)):
            names = [each.name for each in attrs.fields(type(hidden))]
            changes = {name: self.hidden_in(getattr(hidden, name)) for name in names}
            hidden = attrs.evolve(hidden, **changes)
        result: T = hidden
        return result

    def cut_from(self, foreign: object) -> str:
        """The text of a library or server, without any ``SHORTEST`` consecutive characters of a
        secret: servers quote a part of a refused key.
        """
        text = str(foreign)
        secret = [False] * len(text)
        for start in range(len(text) - SHORTEST + 1):
            if text[start : start + SHORTEST] in self._runs:
                secret[start : start + SHORTEST] = [True] * SHORTEST
        shown = (
            char if not hide else HIDDEN * (not before)
            for char, hide, before in zip(text, secret, [False, *secret], strict=False)
        )
        return "".join(shown)

    def cause(self, error: BaseException) -> BaseException | None:
        """The error to raise another one ``from``: ``None`` if its text, or the text of an error
        that led to it, contains a part of a secret.
        """
        for each in _chain(error):
            text = "\n".join([str(each), *getattr(each, "__notes__", ())])
            if self.cut_from(text) != text:
                return None
        return error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _secrets(value: Any) -> Iterator[str]:
    if not attrs.has(type(value)):
        return
    for each in attrs.fields(type(value)):
        found = getattr(value, each.name)
        if each.repr is False:
            yield from _texts(found)
        else:
            yield from _secrets(found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _parts(text: str) -> Iterator[str]:
    """The secret parts of a text; the text itself if it is neither URL, DSN nor header."""
    scheme, in_url, rest = text.partition("://")
    if in_url and scheme.isidentifier():
        user, at, _ = rest.rpartition("@")
        if at:
            yield user.partition(":")[2]
        yield from _IN_QUERY.findall(text)
    elif passwords := _IN_DSN.findall(text):
        for password in passwords:
            bare = password[1:-1] if password.startswith("'") else password
            yield bare
            yield re.sub(r"\\(.)", r"\1", bare, flags=re.DOTALL)
    elif header := _HEADER.fullmatch(text):
        yield header[1].strip()
    else:
        yield text


def _forms(part: str) -> set[str]:
    """The ways in which messages write a secret: as it is, percent-encoded or not, escaped."""
    return {part, unquote(part), quote(part, safe=""), repr(part)[1:-1]}
