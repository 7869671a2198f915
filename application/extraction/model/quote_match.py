"""Match a model's quote against the original text.

White space, quotation marks and dashes may differ, since models normalise them. Of a paraphrase the
nearest span is found. The result is always the original wording.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from remembrancer.application.extraction.rules.sentences import split
from remembrancer.domain.recall.function_words import FUNCTION_WORDS

LONGEST_QUOTE = 2_000
"""Characters; a longer quote is no evidence for one fact."""

NEAR = 0.75
"""The part of the content words of a paraphrase that must be in the span, and of a fact that must
be in a message for it to be evidence without a quote."""

LONGEST_PARAPHRASE = 300
"""Characters."""

_ALIKE = (
    "'’‘‛`´ʼ",
    '"“”„‟«»',
    "-‐‑‒–—−",
)
_CLASS = {mark: f"[{re.escape(marks)}]" for marks in _ALIKE for mark in marks}
_MARGINS = ' \t\r\n"“”„«»…'
_DENIALS = re.compile(
    r"n['’]t\b|\b(?:not|no|never|none|nobody|nothing|nor|neither|without|hardly|cannot|dont|doesnt|"
    r"stop\w*|quit\w*|ceas\w*|gave up|given up|used to|former\w*|ex|fals\w*|wrong|un\w+able|"
    r"nicht|keine?\w*|nie|niemals|ohne|aufgehört|pas|jamais|rien|sans|aucune?|nunca|jamás|sin|"
    r"nada|ningun\w*|não|nem|non|mai|senza|niet|geen|nooit|не|нет|ни|никогда)\b"
    r"|[不没沒未别無无]|ない|ません|않|안 ",
    re.IGNORECASE,
)

_BORDER = re.compile(r"[,;:.!?\n。，；！？、]|\b(?:and|but|so|und|aber|y|pero|et|mais)\b")

_STEM = 4
"""Leading characters of a word that are compared."""

_UNSPACED = "\u2e80"
"""From this character on, scripts write without spaces, so words have no visible borders."""


def find_quote(quote: str, text: str) -> str | None:
    """The part of ``text`` that ``quote`` matches, ``None`` if there is no match.

    A quote must begin and end at word borders: "art" does not match in "start".
    """
    wanted = quote.strip() if quote.strip() in text else quote.strip(_MARGINS)
    if not any(character.isalnum() for character in wanted) or len(wanted) > LONGEST_QUOTE:
        return None
    pattern = r"\s+".join(
        "".join(_CLASS.get(character, re.escape(character)) for character in word)
        for word in wanted.split()
    )
    for match in re.finditer(pattern, text):
        if not _torn(text, match.start()) and not _torn(text, match.end()):
            return match.group()
    return None


def nearest_span(quote: str, text: str, apart: Collection[str] = ()) -> str | None:
    """The shortest span of ``text`` with the most content words of a paraphrase.

    Args:
        quote: the paraphrase.
        text: the original.
        apart: names of the speakers, which a paraphrase has for "I".

    Returns:
        ``None`` if less than ``NEAR`` of the words are in the span, or less than ``NEAR`` of its
        own are among them, or if only one of the two denies something.
    """
    if len(quote) > LONGEST_PARAPHRASE:
        return None
    wanted = content_of(quote) - content_of(" ".join(apart))
    if len(wanted) < 2:
        return None
    words, most = _places(text), int(len(wanted) / NEAR)
    held: Counter[str] = Counter()
    best = (0, 0, 0)
    first = 0
    for last, (stem, _, end) in enumerate(words):
        held[stem] += stem in wanted
        while first < last and (last - first >= most or held[words[first][0]] != 1):
            held[words[first][0]] -= words[first][0] in wanted
            first += 1
        start = words[first][1]
        count = sum(number > 0 for number in held.values())
        if (count, start - end) > (best[0], best[1] - best[2]):
            best = (count, start, end)
    _, start, end = best
    if best[0] < NEAR * len(wanted) or denies(_clause(text, start, end)) != denies(quote):
        return None
    return text[start:end]


def _clause(text: str, start: int, end: int) -> str:
    """The span with the rest of its first and its last clause."""
    begun = max((mark.end() for mark in _BORDER.finditer(text, 0, start)), default=0)
    ended = _BORDER.search(text, end)
    return text[begun : ended.start() if ended else len(text)]


def covers(text: str, fact: str, apart: Collection[str] = ()) -> bool:
    """Whether ``text`` has at least ``NEAR`` of the content words of a fact, and two of them, in
    sentences that deny something if the fact does.

    Args:
        text: a message.
        fact: the fact.
        apart: names of the speakers.
    """
    told = content_of(fact) - content_of(" ".join(apart))
    sentences = [each for each in split(text) if not told.isdisjoint(content_of(each))]
    shared = told & content_of(" ".join(sentences))
    return len(shared) >= max(2, NEAR * len(told)) and all(
        denies(each) == denies(fact) for each in sentences
    )


def denies(text: str) -> bool:
    """Whether a text denies something, or says that it is over."""
    return _DENIALS.search(text) is not None


def content_of(text: str) -> set[str]:
    """The stems of the content words of a text."""
    return {stem for stem, _, _ in _places(text)}


def _places(text: str) -> list[tuple[str, int, int]]:
    """The stems of the content words with their places; characters in scripts without spaces."""
    found: list[tuple[str, int, int]] = []
    for match in re.finditer(r"[^\W_]+", text):
        word, start = match.group(), match.start()
        if word[0] >= _UNSPACED:
            found += [(sign, start + n, start + n + 1) for n, sign in enumerate(word)]
        elif word.casefold() not in FUNCTION_WORDS:
            found.append((word.casefold()[:_STEM], start, match.end()))
    return found


def _torn(text: str, place: int) -> bool:
    """Whether ``place`` is inside a word."""
    if not 0 < place < len(text):
        return False
    return all(
        character.isalnum() and character < _UNSPACED for character in text[place - 1 : place + 1]
    )
