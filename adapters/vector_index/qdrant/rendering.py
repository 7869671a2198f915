"""Convert conditions to Qdrant filters, and documents to Qdrant points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from remembrancer.adapters.index_scoring import bm25
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
from remembrancer.domain.text import name_keys

REVISION = "revision"


def not_newer_than(revision: int) -> Any:
    """A filter for points that a put with this revision may replace: those of older releases have
    none.
    """
    from qdrant_client import models

    return models.Filter(
        should=[
            models.IsEmptyCondition(is_empty=models.PayloadField(key=REVISION)),
            models.FieldCondition(key=REVISION, range=models.Range(lte=revision)),
        ]
    )


def filter_of(condition: Condition) -> Any:
    """Return a condition as a Qdrant filter; ``None`` if it matches everything."""
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
    """Return the point of a document."""
    from qdrant_client import models

    payload = {
        **properties(document),
        "speaker": document.speaker,
        "names": sorted(name_keys(document.entities)),
        REVISION: document.revision,
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
            # Searches use the unit vector; ``vectors_for`` must return the original.
            payload["vector"] = vector.tolist()
    return models.PointStruct(id=str(object_id(document.key)), vector=vectors, payload=payload)


def unit_of(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Normalise a vector to length 1; a zero or unit vector is returned unchanged."""
    wide = vector.astype(np.float64)
    length = float(np.linalg.norm(wide))
    if not length or abs(length - 1) < 1e-6:
        return vector
    return (wide / length).astype(np.float32)


def place_of(term: str) -> int:
    """Return the sparse vector component of a term. Collisions are harmless: they only add
    candidates, which are scored by their terms.
    """
    return crc32(term.encode("utf-8", "surrogatepass"))


def sparse_query(weights: Mapping[str, float]) -> Any:
    """Return the sparse query vector from the rarity (IDF) of every term."""
    from qdrant_client import models

    places: dict[int, float] = {}
    for term, rarity in weights.items():
        places[place_of(term)] = places.get(place_of(term), 0.0) + rarity
    return models.SparseVector(indices=list(places), values=list(places.values()))


def _weights(terms: list[str]) -> dict[str, list[Any]]:
    """Return the sparse vector of a text: the BM25 weight of each term, computed as if the text
    had average length, because the average is unknown when it is written.
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
