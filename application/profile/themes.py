"""The theme of a fact: its category, or what its words are about.

Words are English; a fact in another language without categories is under ``other``. Only the order
of a profile depends on it, never what is believed.
"""

from __future__ import annotations

from collections.abc import Mapping

from remembrancer.domain.facts.fact import Fact, FactKind
from remembrancer.domain.recall.analysis import analyse

OTHER = "other"
PROCEDURES = "procedures"

_WORDS: Mapping[str, str] = {
    "people": (
        "family mother mom father dad parent sister brother sibling wife husband partner spouse "
        "girlfriend boyfriend fiancé daughter son kid child baby grandmother grandfather aunt "
        "uncle cousin niece nephew friend neighbour neighbor married wedding dog cat pet"
    ),
    "work and study": (
        "work job employer company office boss manager colleague coworker career salary project "
        "client engineer developer teacher nurse doctor lawyer study student school college "
        "university degree course exam thesis class"
    ),
    "health": (
        "health doctor hospital allergy allergic medicine medication pill diagnosed illness sick "
        "injury surgery therapy therapist pain diet weight sleep pregnant asthma diabetes"
    ),
    "food and drink": (
        "eat food cook recipe restaurant vegetarian vegan breakfast lunch dinner coffee tea wine "
        "beer drink pizza pasta bread cake"
    ),
    "home and places": (
        "live home house apartment flat rent moved city town country address neighbourhood "
        "neighborhood garden travel trip flight vacation holiday visited"
    ),
    "free time": (
        "hobby hike run swim climb paint draw read book novel film movie music song guitar piano "
        "concert game chess sport football tennis yoga photography camping"
    ),
    "plans": "plan planning going appointment meeting deadline tomorrow next goal hope intend book",
    "likes and dislikes": "like love enjoy prefer favourite favorite hate dislike fan",
}


def _terms() -> dict[str, tuple[str, ...]]:
    themes: dict[str, tuple[str, ...]] = {}
    for theme, words in _WORDS.items():
        for term in set(analyse(words)):
            themes[term] = (*themes.get(term, ()), theme)
    return themes


_THEMES = _terms()

ORDER = (*_WORDS, PROCEDURES, OTHER)
"""Themes without categories, in the order of a profile."""


def themes_of(fact: Fact) -> tuple[str, ...]:
    """The themes of a fact: its categories, else the one that most of its words belong to."""
    categories = fact.metadata.get("categories")
    if isinstance(categories, list | tuple) and categories:
        return tuple(dict.fromkeys(str(category) for category in categories))
    if fact.kind is FactKind.PROCEDURAL:
        return (PROCEDURES,)
    counts: dict[str, int] = {}
    for term in analyse(fact.text):
        for theme in _THEMES.get(term, ()):
            counts[theme] = counts.get(theme, 0) + 1
    return (max(counts, key=lambda theme: counts[theme]),) if counts else (OTHER,)
