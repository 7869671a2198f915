"""The rankings of the stand-in: cosine distance in single precision, and BM25 over a shard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from remembrancer.testing.weaviate.filtering import Test, tokens
from remembrancer.testing.weaviate.stored import Refusal, Shard, StoredCollection, StoredObject

Ranked = list[tuple[StoredObject, float]]


def best(ranked: Ranked, count: int) -> Ranked:
    """The first ``count`` by rank, lowest first. Ties are ordered differently for every count, as
    on the real server.
    """

    def order(each: tuple[StoredObject, float]) -> tuple[float, int]:
        stored, rank = each
        return rank, stored.document * 2_654_435_761 * (2 * count + 1) % 2**32

    return sorted(ranked, key=order)[:count]


def nearest(shard: Shard, wanted: npt.NDArray[np.float32], test: Test) -> Ranked:
    """Objects that have a vector, with their cosine distances.

    Raises:
        Refusal: the dimension does not match.
    """
    if shard.dimension not in (None, wanted.size):
        raise Refusal(
            f"vector search: knn search: distance between entrypoint and query node: "
            f"{shard.dimension} vs {wanted.size}: vector lengths don't match"
        )
    unit = _unit(wanted)
    return [
        (stored, float(np.float32(1) - np.dot(_unit(stored.vector), unit)))
        for stored in shard.objects.values()
        if stored.vector is not None and test(stored)
    ]


def _unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The unit vector as the server computes it: lengths over- and underflow in float32."""
    with np.errstate(over="ignore", under="ignore"):
        length = np.sqrt(np.sum(vector * vector, dtype=np.float32))
        return vector if not length else (vector / length).astype(np.float32)


def best_worded(
    collection: StoredCollection, shard: Shard, query: str, properties: Sequence[str], test: Test
) -> Ranked:
    """Objects that contain a query term, with their BM25 scores. Document frequencies and lengths
    are those of the whole shard. Objects without the property count as documents, but not in the
    mean length.

    Raises:
        Refusal: a property has no keyword index.
    """
    scores: dict[StoredObject, float] = {}
    for name in properties:
        config = collection.property(name)
        if not config["indexSearchable"]:
            raise Refusal(
                f"Searching by property '{name}' requires inverted index. Is `indexSearchable` "
                f"option of property '{name}' enabled? Set it to `true` or leave empty"
            )
        for stored, score in _scores(collection, shard, query, config):
            scores[stored] = scores.get(stored, 0.0) + score
    return [(stored, score) for stored, score in scores.items() if score and test(stored)]


def _scores(collection: StoredCollection, shard: Shard, query: str, config: Any) -> Ranked:
    constants = collection.config["invertedIndexConfig"]["bm25"]
    k1, b = constants["k1"], constants["b"]
    terms = {
        stored: tokens(text, config["tokenization"])
        for stored in shard.objects.values()
        if (text := stored.properties.get(config["name"])) is not None
    }
    average = sum(map(len, terms.values())) / max(1, len(terms))
    scores = dict.fromkeys(terms, 0.0)
    for term in dict.fromkeys(tokens(query, config["tokenization"])):
        counts = {stored: found.count(term) for stored, found in terms.items() if term in found}
        holders = len(counts)
        rarity = math.log(1 + (len(shard.objects) - holders + 0.5) / (holders + 0.5))
        for stored, count in counts.items():
            length = len(terms[stored]) / average
            scores[stored] += rarity * count / (count + k1 * (1 - b + b * length))
    return list(scores.items())
