"""Similarities without pgvector: the vectors of a ledger are compared in numpy.

Exact, in double precision, and as slow as reading the vectors from the server.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen

from remembrancer.adapters.index_scoring.hit_order import DIGITS
from remembrancer.adapters.stores.postgres.sessions import Reader, Row
from remembrancer.adapters.stores.postgres.vector_index.statements import Plan, eligible, spliced
from remembrancer.adapters.stores.postgres.vector_index.vectors import Components


@frozen(eq=False)
class Similarities:
    """Cosines of all eligible documents by document id, and the ids of the nearest."""

    by_number: dict[int, float]
    nearest: Sequence[int]


async def similarities(connection: Reader, plan: Plan, vector: Components) -> Similarities:
    """Compare a vector of length 1 with the vectors of a plan's eligible documents."""
    asked = spliced("SELECT d.id, d.fact_id, d.version, d.length, d.vector {}", eligible(plan))
    rows = await (await connection.execute(asked.text, asked.values)).fetchall()
    if not rows:
        return Similarities({}, ())
    matrix = np.frombuffer(b"".join([row[4] for row in rows]), "<f4").reshape(len(rows), -1)
    lengths = np.array([row[3] for row in rows])
    # Not "@": see ``stores.sqlite.vector_index.embeddings.products``.
    products = np.vecdot(matrix.astype(np.float64), vector.astype(np.float64))
    scores = np.round(products / lengths, DIGITS).tolist()
    by_number = {row[0]: score for row, score in zip(rows, scores, strict=True)}
    return Similarities(by_number, _best(rows, scores, plan.query.limit))


def _best(rows: Sequence[Row], scores: Sequence[float], limit: int) -> list[int]:
    ranked = sorted(
        (-score, row[1], row[2], row[0]) for row, score in zip(rows, scores, strict=True)
    )
    return [number for *_, number in ranked[:limit]]
