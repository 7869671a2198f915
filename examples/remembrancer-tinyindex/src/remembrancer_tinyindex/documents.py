"""Conversion of documents to JSON and back. Vectors are in a separate column."""

import json
from array import array
from datetime import datetime
from typing import Any

from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.scope import Scope


def packed(document: Document) -> str:
    """A document as JSON, without its vector."""
    times = {
        name: value.isoformat()
        for name, value in document.attributes.items()
        if isinstance(value, datetime)
    }
    rest = {name: value for name, value in document.attributes.items() if name not in times}
    return json.dumps(
        {
            "key": document.key,
            "scope": document.scope.ids(),
            "text": document.text,
            "context": document.context,
            "speaker": document.speaker,
            "entities": document.entities,
            "occurred_at": document.occurred_at.isoformat(),
            "visible": _span(document.visible),
            "valid": _span(document.valid),
            "attributes": rest,
            "times": times,
        },
        # Metadata can be any mapping type.
        default=dict,
    )


def unpacked(body: str, vector: bytes | None) -> Document:
    """The document of ``packed`` JSON and a vector."""
    raw: dict[str, Any] = json.loads(body)
    fact_id, version = raw["key"]
    times = {name: datetime.fromisoformat(value) for name, value in raw["times"].items()}
    return Document(
        key=(FactId(fact_id), version),
        scope=Scope(**raw["scope"]),
        text=raw["text"],
        context=raw["context"],
        speaker=raw["speaker"],
        entities=tuple(raw["entities"]),
        occurred_at=datetime.fromisoformat(raw["occurred_at"]),
        visible=_interval(raw["visible"]),
        valid=_interval(raw["valid"]),
        attributes={**raw["attributes"], **times},
        vector=None if vector is None else array("f", vector),
    )


def _span(interval: Interval) -> list[str | None]:
    return [end and end.isoformat() for end in (interval.start, interval.end)]


def _interval(span: list[str | None]) -> Interval:
    start, end = (None if moment is None else datetime.fromisoformat(moment) for moment in span)
    return Interval(start=start, end=end)
