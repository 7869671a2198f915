"""Delimiters around content that the content can't forge.

A mark is derived from the very texts that it encloses, so it is the same in every replay, and
nobody who writes a text can know it while writing; should it stand in a text all the same, the
next one is taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from itertools import count

from attrs import frozen

MARK_CHARACTERS = 16
"""Hex digits: 64 bits, too many to hit upon by trying."""


@frozen
class PromptFence:
    """Encloses texts in tags that end in ``mark``."""

    mark: str

    @classmethod
    def around(cls, texts: Iterable[str]) -> PromptFence:
        """A fence whose mark is in none of ``texts``."""
        content = json.dumps(list(texts))
        for number in count():
            digest = hashlib.sha256(f"{number}:{content}".encode()).hexdigest()
            if digest[:MARK_CHARACTERS] not in content:
                return cls(digest[:MARK_CHARACTERS])
        raise AssertionError("there are more marks than any text can hold")

    def enclose(self, tag: str, attributes: Mapping[str, object], text: str) -> str:
        """``text`` as it is, between two tags on lines of their own."""
        shown = "".join(
            f' {name}="{escape(" ".join(str(value).split()))}"'
            for name, value in attributes.items()
            if value is not None
        )
        return f"<{tag}-{self.mark}{shown}>\n{text}\n</{tag}-{self.mark}>"
