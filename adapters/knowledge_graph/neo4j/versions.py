"""Convert versions of links to Neo4j properties and back."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from attrs import asdict, define

from remembrancer.domain.epoch_micros import (
    bounds_of,
    interruptions_from,
    interval_from,
    optional_microseconds,
    optional_moment,
    to_microseconds,
)
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
        "valid_from": optional_microseconds(link.valid.start),
        "valid_to": optional_microseconds(link.valid.end),
        "gaps": bounds_of(link.interruptions) or None,
        "recorded_from": optional_microseconds(link.recorded.start),
        "recorded_to": optional_microseconds(link.recorded.end),
        "expires_at": optional_microseconds(link.expires_at),
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
        "valid": interval_from(kept.get("valid_from"), kept.get("valid_to")),
        "interruptions": interruptions_from(kept.get("gaps") or ()),
        "recorded": interval_from(kept["recorded_from"], recorded_to),
        "expires_at": optional_moment(kept.get("expires_at")),
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
        "as_of": optional_microseconds(view.as_of),
        "begun_by": optional_microseconds(view.valid_at),
        "lasting": optional_microseconds(view.valid_at or lasting),
    }
