"""Words that end something: without one of them, an end date of a model is a guess.

English, and what the commonest other languages have for "until", "end" and "for two weeks".
"""

from __future__ import annotations

import re

_ENDS = re.compile(
    r"\b(?:until|till?|thr(?:ough|u)|by|end(?:s|ed|ing)?|expir\w*|over|lasts?|lasting|"
    r"temporar\w*|leav(?:e|es|ing)|stop\w*|quit\w*|finish\w*|cancel\w*|resign\w*|retir\w*|"
    r"(?:mov|giv|sell|hand)(?:e|es|ing|s)? (?:out|away|up|it|my|the)|due|deadline|only|"
    r"(?:for|within) (?:the|an?|next|another|one|two|three|four|five|six|seven|eight|nine|ten|\d+)|"
    r"(?:this|next) (?:week|weekend|month|year|spring|summer|autumn|fall|winter|semester|term)|"
    r"from\b.+\bto\b|between\b.+\band|today|tonight|tomorrow|"
    r"bis|endet?|läuft|laufen|noch|nur|kündig\w*|für (?:eine?n?|zwei|drei|vier|\d+)|"
    r"hasta|termin\w*|venc\w*|solo|sólo|por (?:un|una|dos|tres|\d+)|durante|"
    r"jusqu\w*|expire\w*|fini\w*|pendant|pour (?:une?|deux|trois|\d+)|"
    r"fino|scad\w*|finisc\w*|até|acab\w*|tot|duurt|eindig\w*|do|до|по|kadar)\b"
    r"|\d\s*[-–—]\s*\d|[到至止期完]|まで|終わ|限り|까지|끝",
    re.IGNORECASE | re.DOTALL,
)


def ends_something(text: str) -> bool:
    """Whether a text has a word that ends something."""
    return _ENDS.search(text) is not None
