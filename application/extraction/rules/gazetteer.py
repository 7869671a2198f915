"""Tell places, organisations and persons apart by lists of names, not by capital letters.

The lists in ``data/`` have places from GeoNames and the Unicode CLDR, and given names from the
census of the United States; ``data/README.md`` has sources and licences. Organisations are
recognised by words in their names ("GmbH", "University of"). A name in no list is of no known kind:
the rules then stay silent. The lists are loaded at the first name that is looked up.
"""

from __future__ import annotations

import gzip
import re
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files

from remembrancer.domain.text import normalised


class NameKind(StrEnum):
    """The kind of the thing that a name names."""

    PLACE = "place"
    ORGANISATION = "organisation"
    PERSON = "person"
    UNKNOWN = "unknown"


LONGEST = 80
"""Characters; a longer value is no name."""

_TITLE = re.compile(
    r"(?:dr|mr|mrs|ms|mx|miss|prof|professor|sir|madam|uncle|aunt|auntie|grandma|grandpa|herr|frau|"
    r"monsieur|madame|señora?|sra?)\.? \w|\w+(?:さん|くん|ちゃん|先生|女士|小姐|阿姨|叔叔)$"
)
_ORGANISATION = (
    r".+ (?:inc|incorporated|ltd|limited|llc|llp|plc|corp|corporation|company|co|gmbh|ag|kg|kgaa|"
    r"ohg|ug|e\.?v|s\.?a|s\.?p\.?a|s\.?r\.?l|sarl|b\.?v|n\.?v|oyj?|ab|aps|a/s|pty|group|holdings?|"
    r"foundation|institute|university|college|school|academy|hospital|clinic|bank|agency|ministry|"
    r"council|museum|library|airlines|airways|motors|studios?|laborator(?:y|ies)|labs|technologies|"
    r"systems|software|solutions|consulting|partners|associates|ventures|capital|insurance|"
    r"pharmaceuticals|industries|press|publishing|records|times|stiftung|verlag|universität|"
    r"hochschule|krankenhaus|versicherung|sparkasse|werke|universidad|universidade|université)"
    r"|(?:the )?(?:university|bank|ministry|department|institute|college|academy|museum|church|"
    r"council|office|universität|universidad|universidade|université|università) "
    r"(?:of|for|von|de|di|du|des|zu)\b.+"
    r"|(?:universität|universidade?|université|università|fundación|banco|banque|banca) .+"
    r"|.+(?:公司|集团|集團|株式会社|大学|大學|银行|銀行|医院|病院|学校|研究所|協会|协会)|株式会社.+"
)
_AREA_BEFORE = re.compile(
    r"(?:the|downtown|central|inner|greater|metropolitan|rural|upstate|"
    r"(?:north|south|east|west)(?:ern)?) "
)
_AREA_AFTER = re.compile(
    r"(?: (?:area|city|county|province|state|region|proper|downtown)|市|県|省|州)$"
)
_PARTS = re.compile(r"\s*[,/()]\s*")
_MOST_PARTS = 4
_MOST_PERSON_WORDS = 3


def kind_of(value: str) -> NameKind:
    """The kind of a name; ``UNKNOWN`` if it is in no list.

    A name that is a place and a given name ("Florence") is the place if it is a large one. Where
    the context tells which kind to expect, ask ``kinds_of``.

    Args:
        value: a name without the words around it, as it was said.
    """
    kinds = kinds_of(value)
    if len(kinds) == 2:
        return NameKind.PLACE if _is_large(value) else NameKind.PERSON
    return next(iter(kinds), NameKind.UNKNOWN)


@lru_cache(maxsize=4096)
def kinds_of(value: str) -> frozenset[NameKind]:
    """All kinds that a name may have: "Florence" is a place and a person. Empty if unknown.

    Args:
        value: a name without the words around it, as it was said. In lower case, only large places
            and no persons are recognised: "reading" and "nice" are words.
    """
    if not value or len(value) > LONGEST:
        return frozenset()
    name = normalised(value)
    lower = value.islower()
    place = _is_place(name, lower=lower)
    if not place and _organisation().fullmatch(name):
        return frozenset((NameKind.ORGANISATION,))
    kinds = (NameKind.PLACE, place), (NameKind.PERSON, _is_person(name, lower=lower))
    return frozenset(kind for kind, holds in kinds if holds)


def _is_place(name: str, *, lower: bool) -> bool:
    """Whether a name is a place, or several in descending order of precision: "Paris, France"."""
    parts = [part for part in _PARTS.split(name) if part]
    listed = _large_places() if lower else _places()
    return 0 < len(parts) <= _MOST_PARTS and all(_listed(part, listed) for part in parts)


def _listed(part: str, listed: frozenset[str]) -> bool:
    if part in listed:
        return True
    bare = _AREA_AFTER.sub("", _AREA_BEFORE.sub("", part))
    return bare != part and bare in listed


def _is_large(value: str) -> bool:
    return _is_place(normalised(value), lower=True)


def _is_person(name: str, *, lower: bool) -> bool:
    if _TITLE.match(name):
        return True
    if lower or len(_PARTS.split(name)) > 1:
        return False
    first, *others = name.split() or [""]
    return len(others) < _MOST_PERSON_WORDS and first in _given_names()


@cache
def _organisation() -> re.Pattern[str]:
    # Compiled on first use, to keep the import fast.
    return re.compile(_ORGANISATION)


@cache
def _large_places() -> frozenset[str]:
    return frozenset(_lines("places.txt.gz")[0])


@cache
def _places() -> frozenset[str]:
    return frozenset(name for part in _lines("places.txt.gz") for name in part)


@cache
def _given_names() -> frozenset[str]:
    return frozenset(_lines("given_names.txt.gz")[0])


@cache
def _lines(file: str) -> list[list[str]]:
    """The names of each part of a file; an empty line separates parts."""
    data = files("remembrancer.application.extraction.rules").joinpath("data", file).read_bytes()
    parts = gzip.decompress(data).decode("utf-8").split("\n\n")
    return [part.strip().split("\n") for part in parts]
