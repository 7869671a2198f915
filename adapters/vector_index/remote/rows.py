"""Convert documents to stored properties, and properties of results to rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from attrs import frozen

from remembrancer.adapters.vector_index.remote.clamped_times import clamped, held_end, held_start
from remembrancer.adapters.vector_index.remote.tokens import ledger_token, marks, token
from remembrancer.adapters.vector_index.remote.translation import MARKS, time_property
from remembrancer.domain.epoch_micros import (
    from_microseconds,
    interval_from,
    optional_microseconds,
    to_microseconds,
)
from remembrancer.domain.facts.fact import FactId, FactKey, Interval
from remembrancer.domain.filters.ast import TIME_FIELDS
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.analysis import analyse
from remembrancer.domain.text import name_keys

FIELDS = ("words", "around")
"""Properties with the terms of the text and of the context, repetitions included."""


def digest(text: str) -> str:
    """Return the token by which documents with this text are looked up."""
    return token("text", text)


def properties(document: Document) -> dict[str, Any]:
    """Return the stored properties of a document without its vector; absent values are left out."""
    words, around = analyse(document.text), analyse(document.context)
    return {
        "ledger": ledger_token(document.scope.ledger),
        MARKS: marks(document),
        "digest": digest(document.text),
        "words": words,
        "around": around,
        "words_length": len(words),
        "around_length": len(around),
        "visible_from": held_start(document.visible.start),
        "visible_to": held_end(document.visible.end),
        "holds_from": held_start(document.valid.start),
        "holds_to": held_end(document.valid.end),
        **{
            time_property(name): clamped(to_microseconds(value))
            for name in TIME_FIELDS
            if isinstance(value := document.attributes.get(name), datetime)
        },
        **packed(document),
    }


def packed(document: Document) -> dict[str, str]:
    """Return the properties that ``row_of`` reads, without the terms."""
    return {
        "row": _packed(document),
        "attributes": _packed_attributes(document.attributes),
    }


def _packed(document: Document) -> str:
    return json.dumps(
        [
            *document.key,
            document.speaker,
            optional_microseconds(document.occurred_at),
            optional_microseconds(document.visible.start),
            optional_microseconds(document.visible.end),
            optional_microseconds(document.valid.start),
            optional_microseconds(document.valid.end),
            sorted(name_keys(document.entities)),
        ]
    )


def _packed_attributes(attributes: Mapping[str, Any]) -> str:
    """Return attributes as JSON, times as microseconds."""
    times = {
        name: to_microseconds(value)
        for name, value in attributes.items()
        if isinstance(value, datetime)
    }
    rest = {name: value for name, value in attributes.items() if name not in times}
    return json.dumps([rest, times], default=dict)


@frozen(kw_only=True)
class Row:
    """A document of a search result.

    Times and attributes are decoded lazily: most candidates are dropped before. ``attributes`` and
    ``terms`` are empty if the search did not request them.
    """

    key: FactKey
    speaker: str | None
    times: Sequence[Any]
    names: frozenset[str]
    packed: str | None
    terms: Mapping[str, Sequence[str]]

    @property
    def occurred_at(self) -> datetime:
        """Time of the message."""
        return from_microseconds(self.times[0])

    @property
    def visible(self) -> Interval:
        """Transaction time in which reads see it."""
        return interval_from(self.times[1], self.times[2])

    @property
    def valid(self) -> Interval:
        """Valid time."""
        return interval_from(self.times[3], self.times[4])

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes for filters."""
        return {} if self.packed is None else _unpacked_attributes(self.packed)


def row_of(found: Mapping[str, Any]) -> Row:
    """Return a row from the properties of a document."""
    fact, version, speaker, *times, names = msgspec.json.decode(found["row"])
    return Row(
        key=(FactId(fact), version),
        speaker=speaker,
        times=times,
        names=frozenset(names),
        packed=found.get("attributes"),
        terms={name: found[name] for name in FIELDS if name in found},
    )


def _unpacked_attributes(packed: str) -> dict[str, Any]:
    rest, times = json.loads(packed)
    return {**rest, **{name: from_microseconds(value) for name, value in times.items()}}
