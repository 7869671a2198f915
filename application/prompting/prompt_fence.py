"""Unforgeable delimiters around untrusted content in a prompt.

The mark in the delimiters is a hash of the enclosed texts: every replay has the same mark, and an
author can't predict it. If a text contains the mark, the next one is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from itertools import count

from attrs import frozen

MARK_CHARACTERS = 16
"""Hex digits: 64 bits, too many to guess."""


@frozen
class PromptFence:
    """Encloses texts in tags that end in ``mark``."""

    mark: str

    @classmethod
    def around(cls, texts: Iterable[str]) -> PromptFence:
        """A fence with a mark that no text contains."""
        content = json.dumps(list(texts))
        for number in count():
            digest = hashlib.sha256(f"{number}:{content}".encode()).hexdigest()
            if digest[:MARK_CHARACTERS] not in content:
                return cls(digest[:MARK_CHARACTERS])
        raise AssertionError("no free mark")

    def enclose(self, tag: str, attributes: Mapping[str, object], text: str) -> str:
        """``text`` unchanged between an opening and a closing tag, each on its own line."""
        shown = "".join(
            f' {name}="{escape(" ".join(str(value).split()))}"'
            for name, value in attributes.items()
            if value is not None
        )
        return f"<{tag}-{self.mark}{shown}>\n{text}\n</{tag}-{self.mark}>"
