"""Score facts against a query without an index, for those that no index holds: withdrawn ones.

Facts with another status than the default are few, so they are read from the fact store and scored
one by one: by similarity, by the share of the query's words, and by the names that it mentions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remembrancer.application.embedding import NO_VECTOR, Embedding
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Hit
from remembrancer.domain.recall.analysis import analyse, query_terms
from remembrancer.domain.recall.query import Query

READ = 1000
"""Facts that are read and scored, the latest ones."""


async def score_facts(
    facts: Sequence[Fact], query: Query, vector: Vector | None, embedding: Embedding
) -> list[Hit]:
    """A hit for each fact that has something in common with the query.

    Args:
        facts: the facts.
        query: the query.
        vector: its vector; ``None`` leaves out the similarity.
        embedding: vectors of the facts.
    """
    vectors = await _vectors(facts, embedding) if vector is not None else {}
    terms = set(query_terms(query.text_for_keywords))
    hits = [_hit(fact, terms, vector, vectors.get(fact.text)) for fact in facts]
    return [hit for hit in hits if (hit.keyword or 0) > 0 or (hit.similarity or 0) > 0]


async def _vectors(facts: Sequence[Fact], embedding: Embedding) -> Mapping[str, Vector]:
    try:
        return await embedding.documents([fact.text for fact in facts])
    except NO_VECTOR:
        return {}


def _hit(fact: Fact, terms: set[str], wanted: Vector | None, own: Vector | None) -> Hit:
    shared = terms & set(analyse(fact.text))
    return Hit(
        key=fact.key,
        similarity=None if wanted is None or own is None else _cosine(wanted, own),
        keyword=len(shared) / len(terms) if terms else 0.0,
        speaker=fact.speaker,
        occurred_at=fact.occurred_at,
        valid=fact.valid,
    )


def _cosine(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
