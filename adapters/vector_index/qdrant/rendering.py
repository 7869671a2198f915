"""Conditions and documents in Qdrant's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from remembrancer.adapters.index_scoring import bm25
from remembrancer.adapters.index_scoring.names import folded
from remembrancer.adapters.vector_index.remote.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Marked,
    NotSo,
    Within,
)
from remembrancer.adapters.vector_index.remote.rows import FIELDS, properties
from remembrancer.adapters.vector_index.remote.tokens import object_id
from remembrancer.domain.ports.vector_index import Document


def filter_of(condition: Condition) -> Any:
    """A condition as Qdrant's filter, ``None`` for the one that lets everything through."""
    from qdrant_client import models

    if condition is True:
        return None
    rendered = _rendered(condition)
    return rendered if isinstance(rendered, models.Filter) else models.Filter(must=[rendered])


def _rendered(condition: Condition) -> Any:
    from qdrant_client import models

    match condition:
        case Marked():
            return models.FieldCondition(
                key=condition.field, match=models.MatchAny(any=list(condition.tokens))
            )
        case Within():
            return models.FieldCondition(
                key=condition.field, range=models.Range(gte=condition.least, lte=condition.most)
            )
        case AllOf():
            return models.Filter(must=[_rendered(part) for part in condition.parts])
        case AnyOf():
            return models.Filter(should=[_rendered(part) for part in condition.parts])
        case NotSo():
            return models.Filter(must_not=[_rendered(condition.part)])
        case bool():
            raise AssertionError("a condition that is always true or false is never a part")


def point_of(document: Document, vector: npt.NDArray[np.float32] | None) -> Any:
    """The point that holds a document."""
    from qdrant_client import models

    payload = {
        **properties(document),
        "speaker": document.speaker,
        "names": sorted(set(map(folded, document.entities))),
    }
    vectors: dict[str, Any] = {
        field: models.SparseVector(**sparse)
        for field in FIELDS
        if (sparse := _weights(payload[field]))
    }
    if vector is not None:
        unit = unit_of(vector)
        vectors["text"] = unit.tolist()
        if not np.array_equal(unit, vector):
            # What is searched by has length 1; what came in is given back as it came.
            payload["vector"] = vector.tolist()
    return models.PointStruct(id=str(object_id(document.key)), vector=vectors, payload=payload)


def unit_of(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The vector with length 1; the zero vector, and one that has length 1, as it is."""
    wide = vector.astype(np.float64)
    length = float(np.linalg.norm(wide))
    if not length or abs(length - 1) < 1e-6:
        return vector
    return (wide / length).astype(np.float32)


def place_of(term: str) -> int:
    """The component of a sparse vector that stands for a term. Two terms may share one: what
    comes up by it is a candidate, and is scored by its terms.
    """
    return crc32(term.encode("utf-8", "surrogatepass"))


def sparse_query(weights: Mapping[str, float]) -> Any:
    """The sparse vector to search with, from the rarity of every term."""
    from qdrant_client import models

    places: dict[int, float] = {}
    for term, rarity in weights.items():
        places[place_of(term)] = places.get(place_of(term), 0.0) + rarity
    return models.SparseVector(indices=list(places), values=list(places.values()))


def _weights(terms: list[str]) -> dict[str, list[Any]]:
    """What every term of a text adds to its score, as far as it is known when it is written: as
    if the text had the average length.
    """
    counts: dict[int, int] = {}
    for term in terms:
        counts[place_of(term)] = counts.get(place_of(term), 0) + 1
    if not counts:
        return {}
    return {
        "indices": list(counts),
        "values": [
            bm25.weight(float(min(count, bm25.MAX_FREQUENCY)), 1.0, 1.0)
            for count in counts.values()
        ],
    }
