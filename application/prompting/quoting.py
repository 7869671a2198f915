"""Quote an untrusted text on one line of a prompt, so that it can neither end its quotation nor
begin anything else.
"""

from __future__ import annotations

import json
import re

from remembrancer.application.prompting.cleaning import cleaned

LONGEST_NAME = 60
"""Characters of a name beside a quotation."""

_OF_MARKUP = re.compile(r"[<>]|\[(?=/?[A-Z_]+\])|`{3,}|~{3,}")
"""Tags, chat templates' tokens such as ``<|im_start|>`` and ``[INST]``, and fences of code."""

# They are left by ``cleaned``, and can carry a hidden message in their order.
_RUN_OF_INVISIBLE = re.compile(
    "[\u200c\u200d\ufe0e\ufe0f]{3,}|[\ufe00-\ufe0d\U000e0100-\U000e01ef]+"
)
_PLAIN_NAME = re.compile(r"[^\W_][\w.'\-]*(?: [\w.'\-]+){0,2}\Z")


def quoted(text: str) -> str:
    """``text`` as a JSON string on one line, without invisible characters; markup is escaped."""
    plain = _RUN_OF_INVISIBLE.sub("", cleaned(text))
    return _escaped(json.dumps(plain, ensure_ascii=False))


def named(name: str) -> str:
    """A name, cut to ``LONGEST_NAME``; quoted unless it is one to three words."""
    plain = _RUN_OF_INVISIBLE.sub("", cleaned(name))[:LONGEST_NAME].strip()
    return plain if _PLAIN_NAME.match(plain) else quoted(plain)


def _escaped(string: str) -> str:
    return _OF_MARKUP.sub(
        lambda found: "".join(f"\\u{ord(character):04x}" for character in found[0]), string
    )
