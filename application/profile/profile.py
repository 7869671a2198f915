"""Profile: what is known of a person, by slot and by theme.

It is derived from the facts at each call and stored nowhere, so it never lags, and a past one is
the profile of that time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from remembrancer.application.context.styles import bullets, fenced, grouped, item
from remembrancer.application.profile.themes import ORDER, themes_of
from remembrancer.application.prompting.quoting import named
from remembrancer.application.recall.browse import Browse
from remembrancer.domain.conversation import Role
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.ports.fact_store import FactQuery

PAGE = 1000
PER_THEME = 10
"""Facts of a theme, the latest ones."""

_NOT_A_PERSON = frozenset({Role.ASSISTANT.value, Role.SYSTEM.value, Role.TOOL.value})


@frozen(kw_only=True)
class Attribute:
    """The answer to a question that has one answer at a time, such as a residence.

    ``subject``: the person, as normalised (``user`` for a speaker without a name). ``facts``: the
    fact, or rivals, the one told last first.
    """

    subject: str
    name: str
    facts: tuple[Fact, ...]


@frozen(kw_only=True)
class Theme:
    """Facts about one theme, the latest first. ``left_out``: how many earlier ones there are."""

    name: str
    facts: tuple[Fact, ...]
    left_out: int = 0


@frozen(kw_only=True)
class Profile:
    """What is known of a person at ``as_of``; ``str`` writes it for a prompt, as data.

    ``attributes`` by subject and name, ``themes`` in a fixed order, categories first. A fact with a
    slot is an attribute; any other one is in its themes. ``fact_ids``: all facts in it.
    ``degraded``: see ``Page``.
    """

    as_of: datetime
    attributes: tuple[Attribute, ...]
    themes: tuple[Theme, ...]
    degraded: tuple[str, ...] = ()

    @property
    def fact_ids(self) -> tuple[FactId, ...]:
        """The ids of its facts, each once, in the order of its text."""
        parts = [
            *(attribute.facts for attribute in self.attributes),
            *(theme.facts for theme in self.themes),
        ]
        return tuple(dict.fromkeys(fact.fact_id for facts in parts for fact in facts))

    def __str__(self) -> str:
        return _written(self)

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {
            "as_of": self.as_of.isoformat(),
            "attributes": [
                {
                    "subject": attribute.subject,
                    "name": attribute.name,
                    "facts": [fact.to_dict() for fact in attribute.facts],
                }
                for attribute in self.attributes
            ],
            "themes": [
                {
                    "name": theme.name,
                    "facts": [fact.to_dict() for fact in theme.facts],
                    "left_out": theme.left_out,
                }
                for theme in self.themes
            ],
            "degraded": list(self.degraded),
        }


class DescribePerson:
    """Derives a profile.

    Args:
        browse: listings of the facts.
    """

    def __init__(self, *, browse: Browse) -> None:
        self._browse = browse

    async def __call__(self, query: FactQuery) -> Profile:
        """The profile of the person that a scope names; of an agent's scope, all that is known.

        Raises:
            AdapterUnavailable: the facts did not answer.
        """
        query = evolve(query, limit=PAGE)
        facts: list[Fact] = []
        degraded: set[str] = set()
        cursor: str | None = None
        while True:
            page = await self._browse.get_all(query, cursor)
            facts += (fact for fact in page if _is_of(query, fact))
            degraded.update(page.degraded)
            cursor = page.cursor
            if cursor is None:
                break
        return profile_of(facts, as_of=query.as_of or query.now, degraded=tuple(sorted(degraded)))


def profile_of(
    facts: Iterable[Fact], *, as_of: datetime, degraded: tuple[str, ...] = ()
) -> Profile:
    """Arrange facts as a profile; a pure function of them."""
    latest = sorted(facts, key=_told_at, reverse=True)
    slots: dict[str, list[Fact]] = {}
    themes: dict[str, list[Fact]] = {}
    for fact in latest:
        if fact.slot is not None:
            slots.setdefault(fact.slot, []).append(fact)
        else:
            for theme in themes_of(fact):
                themes.setdefault(theme, []).append(fact)
    return Profile(
        as_of=as_of,
        attributes=tuple(
            Attribute(subject=_parts(slot)[0], name=_parts(slot)[1], facts=tuple(slots[slot]))
            for slot in sorted(slots, key=_parts)
        ),
        themes=tuple(
            Theme(
                name=name,
                facts=tuple(themes[name][:PER_THEME]),
                left_out=len(themes[name][PER_THEME:]),
            )
            for name in sorted(themes, key=_place)
        ),
        degraded=degraded,
    )


def _is_of(query: FactQuery, fact: Fact) -> bool:
    return query.scope.user_id is None or fact.speaker not in _NOT_A_PERSON


def _told_at(fact: Fact) -> tuple[datetime, datetime, FactId]:
    return (fact.occurred_at, fact.created_at, fact.fact_id)


def _parts(slot: str) -> tuple[str, str]:
    subject, _, name = slot.rpartition("/")
    return subject, name


def _place(theme: str) -> tuple[int, str]:
    return (ORDER.index(theme), "") if theme in ORDER else (-1, theme)


def _written(profile: Profile) -> str:
    if not profile.fact_ids:
        return ""
    lines: list[str] = []
    for attribute in profile.attributes:
        lines += _attribute(attribute)
    for theme in profile.themes:
        lines.append(f"{named(theme.name)}:")
        lines += (line for group in grouped(theme.facts) for line in bullets(group))
        if theme.left_out:
            lines.append(f"- and {theme.left_out:,} earlier notes")
    return fenced(lines)


def _attribute(attribute: Attribute) -> Sequence[str]:
    label = f"{named(attribute.subject)}, {named(attribute.name)}:"
    if len(attribute.facts) == 1:
        return [f"{label} {item(attribute.facts[0])}"]
    return [label, *bullets(attribute.facts)]
