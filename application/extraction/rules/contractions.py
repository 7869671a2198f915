"""Expand English contractions ("don't", "I'm", "ive"), so that rules match one form only."""

from __future__ import annotations

import re

_STRAIGHT = str.maketrans("\u2018\u2019\u02bc\uff07\u201c\u201d\u00ab\u00bb", "''''\"\"\"\"")

_IRREGULAR = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not",
    "im": "I am", "ive": "I have", "dont": "do not", "doesnt": "does not", "isnt": "is not",
    "didnt": "did not", "cant": "can not", "it's": "it is", "he's": "he is", "she's": "she is",
    "that's": "that is", "there's": "there is", "what's": "what is", "let's": "let us",
    "name's": "name is", "birthday's": "birthday is", "gonna": "going to", "wanna": "want to",
}  # fmt: skip
_ENDINGS = {
    "n't": " not", "'m": " am", "'ve": " have", "'re": " are", "'ll": " will", "'d": " would",
}  # fmt: skip
_IRREGULAR_WORD = re.compile(rf"\b(?:{'|'.join(_IRREGULAR)})\b", re.IGNORECASE)
_ENDING = re.compile(rf"(?<=\w)(?:{'|'.join(_ENDINGS)})\b", re.IGNORECASE)


def straight(text: str) -> str:
    """``text`` with straight quotes instead of curly ones; the length is the same."""
    return text.translate(_STRAIGHT)


def written_out(text: str) -> str:
    """``text`` with straight quotes and without contractions."""
    plain = _IRREGULAR_WORD.sub(lambda match: _IRREGULAR[match.group().lower()], straight(text))
    return _ENDING.sub(lambda match: _ENDINGS[match.group().lower()], plain)
