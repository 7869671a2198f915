"""Read slots and endings of a language from its file.

A sentence belongs to the first language whose ``own`` it contains. Its words of change and its
fillers (adverbs, times) are taken out; what is left must match a pattern from its first word on.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from attrs import frozen

from remembrancer.application.extraction.rules.contractions import straight
from remembrancer.application.extraction.rules.gazetteer import NameKind, kinds_of
from remembrancer.application.extraction.rules.passages import is_own
from remembrancer.application.extraction.rules.reading import SlotReading, Stance
from remembrancer.application.extraction.rules.value_kind import fits
from remembrancer.domain.text import normalised

_PACKAGE = "remembrancer.application.extraction.rules.languages"

LONGEST = 300
"""Characters; a longer sentence is not read."""

LONGEST_VALUE = 40
"""Characters of a value."""

_CLOSING = " .!?…。！？、"


@frozen(kw_only=True)
class SlotPattern:
    """A pattern of a whole sentence, and what it says about an attribute."""

    attribute: str
    stance: Stance
    regex: re.Pattern[str]
    kind: NameKind | None


@frozen(kw_only=True)
class Ending:
    """A sentence that something is over, and the sentences that it ends, with the groups of
    ``says`` in braces.
    """

    says: re.Pattern[str]
    ends: tuple[str, ...]


@frozen(kw_only=True)
class Language:
    """A language file, compiled. ``gap`` takes the place of what is taken out."""

    name: str
    gap: str
    own: re.Pattern[str]
    now: re.Pattern[str]
    fillers: re.Pattern[str]
    limits: re.Pattern[str]
    corrections: re.Pattern[str]
    slots: tuple[SlotPattern, ...]
    endings: tuple[Ending, ...]
    examples: tuple[Mapping[str, Any], ...]

    def plain(self, sentence: str) -> str:
        """A sentence without openings, fillers, words of change and closing marks."""
        text = self.corrections.sub("", _folded(sentence), count=1)
        text = self.now.sub(self.gap, self.fillers.sub(self.gap, text))
        return " ".join(text.split()).strip(_CLOSING + ",，")

    def slot_in(self, sentence: str, speaker: str) -> SlotReading | None:
        """The slot that a sentence fills."""
        if self.limits.search(_folded(sentence)):
            return None
        text = self.plain(sentence)
        for pattern in self.slots:
            match = pattern.regex.match(text)
            reading = None if match is None else self._reading(pattern, match, sentence, speaker)
            if reading is not None:
                return reading
        return None

    def _reading(
        self, pattern: SlotPattern, match: re.Match[str], sentence: str, speaker: str
    ) -> SlotReading | None:
        groups = match.groupdict()
        value = groups.get("value")
        if value is not None and not 0 < len(value) <= LONGEST_VALUE:
            return None
        # "seul" is French for alone, and Seoul: names of places have a capital where there is one.
        word = pattern.kind is NameKind.PLACE and (value or "").islower()
        fitting = value is None or (fits(value, pattern.kind) and not word)
        if not fitting and (pattern.stance is Stance.BEGAN or kinds_of(value or "")):
            return None
        text = _folded(sentence)
        announced = pattern.stance in (Stance.BEGAN, Stance.ENDED) or (
            self.now.search(text) or self.corrections.match(text)
        )
        thing = normalised(groups.get("thing") or "")
        return SlotReading(
            slot=f"{normalised(speaker)}/{pattern.attribute.format(thing=thing)}",
            stance=pattern.stance,
            value=None if value is None else normalised(value),
            more=bool(groups["tail"]),
            changes=bool(announced) and fitting,
            proper=None,
        )

    def ended_by(self, sentence: str) -> list[re.Pattern[str]]:
        """Patterns of the plain sentences that a sentence ends; none if it ends nothing."""
        if self.limits.search(_folded(sentence)):
            return []
        text = self.plain(sentence)
        return [
            re.compile(_filled(template, match.groupdict()), re.IGNORECASE)
            for ending in self.endings
            if (match := ending.says.fullmatch(text)) is not None
            for template in ending.ends
        ]


def _filled(template: str, groups: Mapping[str, str | None]) -> str:
    for name, said in groups.items():
        template = template.replace(f"{{{name}}}", re.escape(said or ""))
    return template


def read(sentence: str, speaker: str) -> SlotReading | None:
    """The slot that a sentence fills in its language, ``None`` if it fills none.

    Args:
        sentence: as it was said.
        speaker: the person that the first person means.
    """
    language = _of(sentence)
    return None if language is None else language.slot_in(sentence, speaker)


def ending_in(sentence: str) -> Callable[[str], bool] | None:
    """Whether a sentence ends another one of the same speaker, as a function of the other one;
    ``None`` if it ends nothing.
    """
    language = _of(sentence)
    patterns = [] if language is None else language.ended_by(sentence)
    if language is None or not patterns:
        return None
    plain = language.plain
    return lambda other: any(pattern.fullmatch(plain(other)) for pattern in patterns)


def _of(sentence: str) -> Language | None:
    if len(sentence) > LONGEST or sentence.rstrip()[-1:] in ("?", "？") or not is_own(sentence):
        return None
    text = _folded(sentence)
    name = next((name for own, name in _marks() if own.search(text)), None)
    return None if name is None else _loaded(name)


def _folded(sentence: str) -> str:
    return straight(unicodedata.normalize("NFC", sentence))


def languages() -> tuple[Language, ...]:
    """The languages that have a file, by file name."""
    return tuple(_loaded(name) for _, name in _marks())


@cache
def _marks() -> tuple[tuple[re.Pattern[str], str], ...]:
    """What marks the sentences of each language; the rest of a file is compiled when needed."""
    found = sorted(
        (file for file in files(_PACKAGE).iterdir() if file.name.endswith(".toml")),
        key=lambda file: file.name,
    )
    return tuple((re.compile(_data(file)["own"], re.IGNORECASE), file.name) for file in found)


@cache
def _loaded(name: str) -> Language:
    return load(files(_PACKAGE).joinpath(name))


def _data(file: Traversable) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def load(file: Traversable) -> Language:
    """A language from its file.

    Raises:
        KeyError, ValueError, re.error: the file is not as the how-to describes.
    """
    data = _data(file)
    value = f"(?P<value>{data['value']})"
    return Language(
        name=data["name"],
        gap=" " if data["spaces"] else "",
        own=re.compile(data["own"], re.IGNORECASE),
        now=_any(data["now"]),
        fillers=_any(data["fillers"]),
        limits=_any(data["limits"]),
        corrections=re.compile(rf"\s*(?:{'|'.join(data['corrections'])})", re.IGNORECASE),
        slots=tuple(
            SlotPattern(
                attribute=slot["attribute"],
                stance=stance,
                regex=re.compile(
                    f"{pattern.replace('{value}', value)}(?P<tail>(?:[,;:，、].*)?)$", re.IGNORECASE
                ),
                kind=NameKind(slot["kind"]) if "kind" in slot else None,
            )
            for slot in data["slots"]
            for stance in (Stance.ENDED, Stance.DENIED, Stance.BEGAN, Stance.HOLDS)
            for pattern in slot.get(stance.value, ())
        ),
        endings=tuple(
            Ending(says=re.compile(item["says"], re.IGNORECASE), ends=tuple(item["ends"]))
            for item in data["endings"]
        ),
        examples=tuple(data["examples"]),
    )


def _any(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
