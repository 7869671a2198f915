"""Convert versions of links to Neo4j properties and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from attrs import asdict, define

from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.graph.graph import Link, Mention, Relation, View
from remembrancer.domain.graph.walk import Tie
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import SCOPE_IDS, LedgerId, Scope
from remembrancer.domain.text import normalised

MAX_KEY_CHARACTERS = 1000
"""Longer names get a key of their beginning and a digest: Neo4j indexes values up to 8 kB."""

KEPT_AS_THEY_ARE = ("position", "ended_by", "fact_id")
SAID = ("relation_id", "subject", "predicate", "object")


@define
class Version:
    """One version of a link, valid in the log positions [``since``, ``until``). ``stored``: the
    server already has it.
    """

    ledger: LedgerId
    link: Link
    since: Position
    until: Position | None = None
    stored: bool = False


def key_of(name: str) -> str:
    """Return the key of a name on the server."""
    folded = normalised(name)
    if len(folded) <= MAX_KEY_CHARACTERS:
        return folded
    return f"{folded[:MAX_KEY_CHARACTERS]}\n{sha256(folded.encode()).hexdigest()}"


def properties_of(version: Version) -> dict[str, Any]:
    """Return a version as properties."""
    link = version.link
    kept: dict[str, Any] = {
        "ledger": version.ledger,
        "since": version.since,
        "until": version.until,
        "valid_from": _integer(link.valid.start),
        "valid_to": _integer(link.valid.end),
        "gaps": _bounds(link.interruptions),
        "recorded_from": _integer(link.recorded.start),
        "recorded_to": _integer(link.recorded.end),
        "expires_at": _integer(link.expires_at),
        **asdict(link.scope),
    }
    kept |= {name: getattr(link, name) for name in KEPT_AS_THEY_ARE}
    if isinstance(link, Relation):
        return kept | {name: getattr(link, name) for name in SAID}
    return kept | {"entities": list(link.entities)}


def version_of(kept: Mapping[str, Any], *, at: Position | None = None) -> Version:
    """Return the version with these properties.

    Args:
        kept: the properties; those that are ``None`` may be missing.
        at: log position: a version closed later is returned as open; ``None`` for the latest state.
    """
    until = kept.get("until")
    if until is not None and at is not None and until > at:
        until = None
    recorded_to = None if until is None else kept.get("recorded_to")
    shared: dict[str, Any] = {
        "scope": Scope(**{name: kept.get(name) for name in SCOPE_IDS}),
        "valid": _interval(kept.get("valid_from"), kept.get("valid_to")),
        "interruptions": _gaps(kept.get("gaps") or ()),
        "recorded": _interval(kept["recorded_from"], recorded_to),
        "expires_at": _moment(kept.get("expires_at")),
        **{name: kept.get(name) for name in KEPT_AS_THEY_ARE},
    }
    link: Link
    if "relation_id" in kept:
        link = Relation(**shared, **{name: kept[name] for name in SAID})
    else:
        link = Mention(**shared, entities=tuple(kept["entities"]))
    return Version(ledger=kept["ledger"], link=link, since=kept["since"], until=until, stored=True)


def tie_of(kept: Mapping[str, Any], at: Position) -> Tie:
    """Return a link as a ``Tie`` at a log position; its nodes are the keys of the names."""
    link = version_of(kept, at=at).link
    return Tie(link, tuple((key_of(name), name) for name in link.ends))


def seen_in(view: View) -> dict[str, Any]:
    """Return a view as query parameters; ``None`` means no restriction."""
    lasting = None if view.ended else view.now
    return {
        **asdict(view.scope),
        "mentions": view.mentions,
        "now": to_microseconds(view.now),
        "as_of": _integer(view.as_of),
        "begun_by": _integer(view.valid_at),
        "lasting": _integer(view.valid_at or lasting),
    }


def _bounds(interruptions: Sequence[Interval]) -> list[int] | None:
    moments = [moment for gap in interruptions for moment in (gap.start, gap.end)]
    return [to_microseconds(moment) for moment in moments if moment is not None] or None


def _gaps(bounds: Sequence[int]) -> tuple[Interval, ...]:
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return tuple(_interval(start, end) for start, end in pairs)


def _interval(start: int | None, end: int | None) -> Interval:
    return Interval(start=_moment(start), end=_moment(end))


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)


def _integer(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)
