"""Redact secrets: values of settings fields with ``repr=False``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import attrs

T = TypeVar("T")

HIDDEN = "***"

SHORTEST = 4
"""Characters. Shorter secrets are not redacted: they occur inside of other words."""

_PASSWORD = re.compile(r"password\s*=\s*('(?:[^'\\]|\\.)*'|\S+)")


class Secrets:
    """The secrets in a tree of settings."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        # Longest first: a secret may contain another one.
        self._secrets = sorted(set(secrets), key=len, reverse=True)

    @classmethod
    def of(cls, settings: Any) -> Secrets:
        """Collect all secrets of a tree of settings."""
        return cls([each for each in _secrets(settings) if len(each) >= SHORTEST])

    def hidden_in(self, value: T) -> T:
        """``value`` with the secrets replaced in all of its strings."""
        hidden: Any = value
        if isinstance(value, str):
            for secret in self._secrets:
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


def _secrets(value: Any) -> Iterator[str]:
    if not attrs.has(type(value)):
        return
    for each in attrs.fields(type(value)):
        found = getattr(value, each.name)
        if each.repr is False:
            several = found.values() if isinstance(found, Mapping) else found
            for text in [found] if isinstance(found, str) else several:
                yield from _parts(str(text))
        else:
            yield from _secrets(found)


def _parts(text: str) -> Iterator[str]:
    """A secret, and the parts of it that may be printed alone (password, header value)."""
    yield text
    for password in _PASSWORD.findall(text):
        yield password.strip("'")
    _, colon, header = text.partition(":")
    if colon and not header.startswith("//"):
        yield header.strip()
    try:
        in_url = urlsplit(text).password
    except ValueError:
        return
    if in_url:
        yield from (in_url, unquote(in_url))
