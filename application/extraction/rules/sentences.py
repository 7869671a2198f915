"""Sentence segmentation by punctuation, without grammar.

The punctuation of many scripts is supported. A line break always ends a sentence; a full stop does
too, except after a title, an abbreviation, an initial, or in a number or address. Fenced code and
quoted lines are not split. Every result is a substring of the text; only white space and list
markers are left out. Time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from remembrancer.domain.recall.function_words import FUNCTION_WORDS

LONGEST = 2_000
"""Characters; a longer sentence is split at white space."""

_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# A fence that opens and closes on one line is inline code.
_FENCE = re.compile(r"\s*+(?:```[^`]*+$|~~~[^~]*+$)")
_MARKER = re.compile(r"\s*+(?:(?:[-*+•‣◦–—]|#{1,6}|\d{1,3}[.)])\s++)?")

_PICTURES = "[\u20e3\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\U0001f000-\U0001faff]"
_AFTER = rf"(?:\s*+(?:{_PICTURES}++|[:;=]-?[)(DPp](?![^\W_])|<3))*+"
_CLOSERS = r"(?P<closers>[\"'”’»)\]】」』）*_~`]{0,4}+)"
# The look-behind matches a run of marks only once, at its start.
_END = re.compile(
    rf"(?:(?<![.!?…])(?P<marks>[.!?…]++){_CLOSERS}{_AFTER}(?=\s|$)"
    rf"|(?<![。！？｡؟।॥።။।])[。！？｡؟।॥።။]++[\"'”’»)\]】」』）]{{0,4}}+{_AFTER})"
)

_NEVER_LAST = frozenset(
    "dr mr mrs ms mx prof rev hon sgt capt lt col gen gov sen rep st ste mt ft fr sra dra hr "
    "vs cf e.g i.e eg ie approx ca bzw z.b d.h u.a".split()
)
_SELDOM_LAST = frozenset(
    "etc inc ltd co corp jr sr dept est no nr fig vol pp al ext max min ave blvd rd jan feb mar "
    "apr jun jul aug sep sept oct nov dec usw".split()
)
_OPENERS = FUNCTION_WORDS | {"now", "also", "yes", "no", "later", "yesterday", "today"}
_FIRST_WORD = re.compile(r"[\W_]")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_GERMAN_MONTH = re.compile(
    r"\s*(?:januar|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember)\b",
    re.IGNORECASE,
)


def split(text: str, *, inside_line: bool = False) -> list[str]:
    """The sentences of ``text`` in order, each a substring of it without white space around it.

    Args:
        text: a message, or a part of one.
        inside_line: it begins inside a line, where "1." marks no item of a list.
    """
    return [piece for block in _blocks(text, inside_line) for piece in _cut(block)]


def _blocks(text: str, inside_line: bool) -> Iterator[str]:
    fenced: list[re.Match[str]] = []
    for line in _LINE.finditer(text):
        if _FENCE.match(line.group()) is None:
            if fenced:
                fenced.append(line)
            else:
                yield from _sentences(line.group(), inside_line and line.start() == 0)
        elif fenced:
            yield text[fenced[0].start() : line.end()].strip()
            fenced = []
        else:
            fenced.append(line)
    # A fence without an end is plain text.
    for line in fenced:
        yield from _sentences(line.group(), inside_line and line.start() == 0)


def _sentences(line: str, inside: bool) -> Iterator[str]:
    if line.lstrip().startswith(">"):
        # The whole line is a quotation.
        yield line.strip()
        return
    marker = None if inside else _MARKER.match(line)
    start = marker.end() if marker is not None else 0
    for end in _END.finditer(line, start):
        if end["marks"] is not None and _goes_on(line, end):
            continue
        yield line[start : end.end()].strip()
        start = end.end()
    yield line[start:].strip()


def _goes_on(line: str, end: re.Match[str]) -> bool:
    """Whether the sentence continues after this mark."""
    # A bounded window keeps the time linear.
    following = line[end.end() : end.end() + 24].lstrip()
    if not following:
        return False
    lower = following[0].islower()
    if end["marks"] != ".":
        inner = (len(end["marks"]) > 1 and set(end["marks"]) == {"."}) or "…" in end["marks"]
        return lower and (inner or any(mark in end["closers"] for mark in "\"'”’»"))
    before = line[max(0, end.start() - 24) : end.start()].split()
    word = before[-1].lstrip("([\"'“‘").casefold() if before else ""
    if word in _NEVER_LAST:
        return True
    if word in _SELDOM_LAST or _DOTTED.fullmatch(word):
        return lower or following[0].isdigit()
    if word.isdecimal() and len(word) <= 2:
        return lower or _GERMAN_MONTH.match(following) is not None
    if len(word) == 1 and word.isalpha() and word != "i" and len(before) > 1:
        # An initial comes before a name, "vitamin C" before the next sentence.
        return _FIRST_WORD.split(following, maxsplit=1)[0].casefold() not in _OPENERS
    return False


def _cut(block: str) -> Iterator[str]:
    start = 0
    while len(block) - start > LONGEST:
        gap = max(block.rfind(space, start + 1, start + LONGEST) for space in " \n")
        end = gap if gap > start else start + LONGEST
        yield from filter(None, [block[start:end].strip()])
        start = end
    yield from filter(None, [block[start:].strip()])
