"""Documents as an engine holds them, and what comes back as what a search needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from attrs import frozen

from remembrancer.adapters.index_scoring.analysis import analyse
from remembrancer.adapters.index_scoring.names import folded
from remembrancer.adapters.vector_index.remote.clamped_times import clamped, held_end, held_start
from remembrancer.adapters.vector_index.remote.tokens import ledger_token, marks, token
from remembrancer.adapters.vector_index.remote.translation import MARKS, time_property
from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.facts.fact import FactId, FactKey, Interval
from remembrancer.domain.filters.ast import TIME_FIELDS
from remembrancer.domain.ports.vector_index import Document

FIELDS = ("words", "around")
"""The properties with the terms of the text and of the context, repetitions included."""


def digest(text: str) -> str:
    """What documents are looked up by that say the same."""
    return token("text", text)


def properties(document: Document) -> dict[str, Any]:
    """What is held of a document besides its vector; what is absent is left out."""
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
    """What ``row_of`` makes a row of, without its terms."""
    return {
        "row": _packed(document),
        "attributes": _packed_attributes(document.attributes),
    }


def _packed(document: Document) -> str:
    def microseconds(moment: datetime | None) -> int | None:
        return None if moment is None else to_microseconds(moment)

    return json.dumps(
        [
            *document.key,
            document.speaker,
            microseconds(document.occurred_at),
            microseconds(document.visible.start),
            microseconds(document.visible.end),
            microseconds(document.valid.start),
            microseconds(document.valid.end),
            sorted(set(map(folded, document.entities))),
        ]
    )


def _packed_attributes(attributes: Mapping[str, Any]) -> str:
    """As JSON; a time, which JSON has not, as microseconds."""
    times = {
        name: to_microseconds(value)
        for name, value in attributes.items()
        if isinstance(value, datetime)
    }
    rest = {name: value for name, value in attributes.items() if name not in times}
    return json.dumps([rest, times], default=dict)


@frozen(kw_only=True)
class Row:
    """What came back of a document. Its times and attributes are made when they are asked for:
    most candidates are dropped before. ``attributes`` and ``terms`` are there if asked for.
    """

    key: FactKey
    speaker: str | None
    times: Sequence[Any]
    names: frozenset[str]
    packed: str | None
    terms: Mapping[str, Sequence[str]]

    @property
    def occurred_at(self) -> datetime:
        """When it was said."""
        return from_microseconds(self.times[0])

    @property
    def visible(self) -> Interval:
        """When reads see it."""
        return _interval(self.times[1], self.times[2])

    @property
    def valid(self) -> Interval:
        """When it holds."""
        return _interval(self.times[3], self.times[4])

    @property
    def attributes(self) -> dict[str, Any]:
        """What filters see."""
        return {} if self.packed is None else _unpacked_attributes(self.packed)


def row_of(found: Mapping[str, Any]) -> Row:
    """A row from the properties of a document."""
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


def _interval(start: int | None, end: int | None) -> Interval:
    if start is None and end is None:
        return Interval()
    return Interval(
        start=None if start is None else from_microseconds(start),
        end=None if end is None else from_microseconds(end),
    )
