"""Tell a speaker's own words from quoted, pasted, translated, fictional and transcribed text.

A passage that is not the speaker's own is kept whole, with the words that introduce it: "Translate
to German: I live in Rome." says what it is, "I live in Rome." alone would not. It fills no slot,
has no date, and ends nothing. Nobody says where pasted text ends, so that it goes to the end of the
message. When unsure, a passage is not the speaker's own. Block quotes and fenced code are kept
whole by ``sentences``. English words, quotation marks of any language.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache

from attrs import frozen

from remembrancer.application.extraction.rules.contractions import straight
from remembrancer.application.extraction.rules.gazetteer import NameKind, kinds_of
from remembrancer.application.extraction.rules.sentences import LONGEST, split


@frozen(kw_only=True)
class Passage:
    """A part of a message. ``own``: it is in the speaker's own words. ``inside_line``: it does not
    begin a line.
    """

    text: str
    own: bool
    inside_line: bool = False


_MARKS = re.compile('[:：\\n"“«„「『\u2018]')
_WORDS = frozenset(
    "translate proofread paraphrase rephrase reword transcribe summarise summarize fix correct "
    "improve check edit polish rewrite shorten revise continue format how pretend role roleplay "
    "imagine suppose say assume play act behave respond answer reply talk speak write now once "
    "chapter scene here character dream novel story game videogame rpg simulation campaign say "
    "says said wrote writes told tells asked replied".split()
)
"""Each expression below has one of these marks or words; most messages have none."""

_OPENING = r"(?:(?:^|\n|(?<=[.!?:。！？)]))[ \t]*(?:[-*>#]+ )?)"
_ASKING = (
    r"(?:(?:hi|hey|hello|ok(?:ay)?|so|now|please|pls|kindly|can you|could you|would you|will you|"
    r"help me(?: to)?|i (?:want|need|would like) you to|i'd like you to|let's|let us),? )*"
)
_TEXTS = (
    r"(?:grammar|spelling|wording|punctuation|text|sentences?|paragraphs?|e-?mail|letter|essay|"
    r"prompt|message|draft|translation|english|german|french|spanish|cv|resume|bio|post|article|"
    r"story|poem|following|below|above)"
)
_THIS = r"(?:this|that|it|these|the (?:above|following)|all (?:of )?(?:this|that))"

_REQUEST = (
    rf"{_OPENING}{_ASKING}(?:(?:translate|proofread|paraphrase|rephrase|reword|transcribe|"
    rf"summari[sz]e)\b|(?:fix|correct|improve|check|edit|polish|rewrite|shorten|revise|continue|"
    rf"format)\b[^.!?:\n]{{0,40}}\b{_TEXTS}\b"
    rf"|how (?:do|would|can|should) (?:i|you|we) (?:say|write|put|express|translate)\b"
    rf"[^.!?\n]{{0,60}}\bin [A-Z]\w+)"
)
"""A request to work on a text, which follows or comes before."""

_FICTION = (
    rf"{_OPENING}{_ASKING}(?:pretend\b|role-?play\b"
    r"|(?:imagine|suppose|say|assume)(?: that)? (?:i|you|we|he|she|they|there)\b"
    r"|play (?:a game|the (?:role|part))\b"
    r"|(?:act|behave|respond|answer|reply|talk|speak|write) (?:as|like) "
    r"(?:if\b|though\b|(?-i:[A-Z]))"
    r"|you(?:'re| are) now (?-i:[A-Z])|once upon a time\b"
    r"|(?:chapter|scene) (?:\d+|one|[ivx]+)\b"
    r"|here(?:'s| is) (?:a|an|my|the) (?:\w+ ){0,2}"
    r"(?:story|poem|chapter|scene|lyrics|dialog(?:ue)?|script|screenplay)\b)"
)

_IN_CHARACTER = r"\b(?:answer|stay|speak|respond|reply|remain|be) in character\b"
_INVENTED = (
    r"\bin (?:my|the|this|that|our|a) (?:dream|novel|story|game|video ?game|role-?play|rpg|"
    r"simulation|campaign)\b"
)
"""A sentence about something invented."""


_SAYS = (
    r"(?:says?|said|saying|writes?|wrote|tells|told|texts|texted|messaged|e-?mailed|replie[sd]|"
    r"answer(?:s|ed)|asks|asked|posted|tweeted|announced|insist(?:s|ed)|claim(?:s|ed)|"
    r"explain(?:s|ed)|goes|reads|was like|is like)"
)
_ADDED = r",[\"']? (?:says|said|writes|wrote) (?:my|the|his|her|our|their|an?|(?-i:[A-Z])\w*)\b"
"""A sentence that says at its end who says it: ", said the fox"."""

_REPORTED = (
    rf"(?<!\bI )(?<!\bI just )(?<!\bI always )(?<!\bI also )\b{_SAYS}(?: \w+){{0,3}}:"
    r"(?=[ \t]+[^\s\"'“„«])"
)
"""Somebody else's words after a colon, up to the end of the line."""

_PASTED = (
    r"^(?=[^\n]{0,200}:[ \t]{0,4}\n\s{0,9}\S)[^\n]{0,200}?"
    rf"(?:\b{_SAYS}\b|\bfrom (?-i:[A-Z])|\b(?:readme|e-?mail|mail|letter|message|text|article|post|"
    r"tweet|story|poem|lyrics|song|chapter|prompt|transcript|log|chat|conversation|dialog(?:ue)?|"
    r"script|quote|review|paragraph|sentences?|essay|profile|slack|whatsapp|telegram|discord|"
    r"snippet|excerpt|template|draft|screenshot|document|file|page|abstract|caption|exercise|"
    r"passage|scene|subtitles?|voice ?mail)\b)"
)
"""A line that announces pasted text: "Here is the README:"."""

_CLOCK = (
    r"\[?(?:\d{1,4}[./-]\d{1,2}[./-]\d{2,4},? )?(?:today |yesterday )?(?:at )?"
    r"\d{1,2}:\d\d(?::\d\d)?"
)
_NAME = r"(?-i:[A-Z])[\w.'-]{0,30}(?: (?-i:[A-Z])[\w.'-]{0,30}){0,2}"
_HEADER = (
    rf"^[ \t]{{0,4}}(?:{_NAME} ?[,|—–(-]{{0,2}} ?{_CLOCK}(?: ?[ap]\.?m\.?)?"
    r"[\])]{0,2}[ \t]{0,4}$"
    rf"|{_CLOCK}(?: ?[ap]\.?m\.?)?[\])]{{0,2}} ?[-–—]? ?{_NAME}(?:[ \t]{{0,4}}$|: ))"
)
"""The first line of a chat message: "Bob 3:45 PM"."""

_LABEL = (
    r"^[ \t]{0,4}(?:[-*•] )?(?:\*\*)?(?P<label>[^\W\d_][\w.'-]{0,30}(?: [\w.'-]{1,30}){0,2})"
    r"(?: ?\([^)\n]{1,20}\))?(?:\*\*)? ?[:：](?:\*\*)?[ \t]{0,4}(?=\S)[^\n]*$"
)
"""A line of a transcript: "Anna: I moved to Rome."."""

_ROLE = re.compile(
    r"(?:user|assistant|human|ai|bot|me|you|system|interviewer|interviewee|doctor|patient|agent|"
    r"customer|host|guest|teacher|student|mom|mum|mother|dad|father|he|she|they|narrator|speaker|"
    r"[qa])(?: \d+)?"
)

_PAIR = (
    r"(?<![\w\"])\"(?=\S)[^\"]{1,1500}(?<=\S)\"(?!\w)|“[^“”]{1,1500}”|«[^«»]{1,1500}»"
    r"|„[^„“”]{1,1500}[“”]|「[^「」]{1,1500}」(?:と[^。\n]{0,40}。?)?|『[^『』]{1,1500}』"
    r"|(?:^|(?<=[:,] ))'(?=\w)(?:[^']|'(?=\w)){1,500}[.!?,]'(?!\w)"
)
"""A quotation."""

_MARKED = re.compile(r"\s*(?:>|```|~~~|[\"“„«「『‘].*[\"“”»」』’]\W*$)", re.DOTALL)
"""A sentence that is a block quote, fenced code or in quotation marks."""

_LAST = (
    rf"(?:{_REQUEST}|(?:translate|rephrase|proofread|correct|fix|rewrite) {_THIS}\b)"
    r"[^.!?\n]*\W*\Z"
)
_LOOKED_AT = 200
"""Characters at the end of a message that are searched for a request about what comes before."""


def sentences_in(text: str) -> list[str]:
    """The sentences of a message in order; a passage that is not the speaker's own stays whole."""
    found: list[str] = []
    for passage in passages(text):
        if passage.own:
            found += split(passage.text, inside_line=passage.inside_line)
        else:
            found += _pieces(passage.text)
    return found


@lru_cache(maxsize=256)
def is_own(sentence: str) -> bool:
    """Whether all of a sentence of ``sentences_in`` is in the speaker's own words."""
    return _MARKED.match(sentence) is None and all(passage.own for passage in passages(sentence))


def passages(text: str) -> list[Passage]:
    """The passages of a message in order, each a substring without white space around it."""
    if _MARKS.search(text) is None and _WORDS.isdisjoint(re.findall("[a-z]+", text.lower())):
        return [Passage(text=text, own=True)]
    spans = _joined(_spans(text))
    if not spans:
        return [Passage(text=text, own=True)]
    found: list[Passage] = []
    starts, ends = _places(text)
    done = 0
    for first, last in spans:
        # Whole sentences: what introduces a quotation belongs to it.
        start = starts[max(0, bisect_right(starts, first) - 1)]
        end = ends[min(bisect_left(ends, last), len(ends) - 1)]
        found.append(_own(text, starts, ends, done, start))
        found.append(Passage(text=text[max(start, done) : end].strip(), own=False))
        done = max(end, done)
    found.append(_own(text, starts, ends, done, len(text)))
    return [passage for passage in found if passage.text]


def _own(text: str, starts: list[int], ends: list[int], first: int, last: int) -> Passage:
    """The sentences that start from ``first`` until before ``last``."""
    one, other = bisect_left(starts, first), bisect_left(starts, last)
    if one >= other:
        return Passage(text="", own=True)
    # The marker of a list that begins the line is left out by now, and another one is text.
    inside = text[: starts[one]].rpartition("\n")[2].strip() != ""
    return Passage(text=text[starts[one] : ends[other - 1]], own=True, inside_line=inside)


def _pieces(passage: str) -> Iterator[str]:
    """Pieces of similar length: none so short that it could be taken for a sentence."""
    left = passage
    while len(left) > LONGEST:
        count = -(-len(left) // LONGEST)
        even = len(left) // count
        gap = max(left.rfind(space, even * 3 // 4, even) for space in " \n")
        end = gap if gap > 0 else even
        yield left[:end].strip()
        left = left[end:].strip()
    yield left


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where something starts and ends that is not the speaker's own; not in order."""
    plain = straight(text)
    length = len(text)
    first = _pattern(_REQUEST, _FICTION, _PASTED, _HEADER).search(plain)
    if first is not None:
        yield first.end() - len(first[0].lstrip()), length
    for match in _pattern(_REPORTED).finditer(plain):
        end = plain.find("\n", match.end())
        yield match.start(), length if end < 0 else end
    for match in _pattern(_INVENTED, _ADDED).finditer(plain):
        yield match.span()
    for match in _pattern(_PAIR).finditer(text):
        if len(split(match[0][1:-1])) > 1:
            yield match.span()
    yield from _transcribed(plain)
    last = _pattern(_LAST).search(plain.rstrip()[-_LOOKED_AT:])
    before = last is not None and _pattern(rf"\b{_THIS}\b").search(last[0]) is not None
    if before or _pattern(_IN_CHARACTER).search(plain):
        yield 0, length


def _transcribed(text: str) -> Iterator[tuple[int, int]]:
    lines = list(_pattern(_LABEL).finditer(text))
    times = Counter(line["label"] for line in lines)
    for line in lines:
        label = line["label"]
        named = all(word[0].isupper() for word in label.split()) and (
            times[label] > 1 or NameKind.PERSON in kinds_of(label)
        )
        if named or _ROLE.fullmatch(label.casefold()):
            yield line.span()


def _joined(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _places(text: str) -> tuple[list[int], list[int]]:
    """Where the sentences of a text start, and where they end."""
    starts: list[int] = []
    ends: list[int] = []
    for sentence in split(text):
        starts.append(text.index(sentence, ends[-1] if ends else 0))
        ends.append(starts[-1] + len(sentence))
    return starts, ends


@cache
def _pattern(*alternatives: str) -> re.Pattern[str]:
    # Compiled on first use, to keep the import fast.
    return re.compile("|".join(alternatives), re.IGNORECASE | re.MULTILINE)
