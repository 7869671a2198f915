"""Documents packed into string metadata, for engines that only store it and cannot query it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from remembrancer.adapters.damage import decoding
from remembrancer.adapters.index_scoring.hit_order import DIGITS
from remembrancer.adapters.vector_index.remote.prefilter import Eligibility
from remembrancer.adapters.vector_index.remote.rows import packed, row_of
from remembrancer.adapters.vector_index.remote.tokens import ledger_token
from remembrancer.domain.ports.vector_index import Document, Hit
from remembrancer.domain.scope import Scope


def carried(document: Document, vector: npt.NDArray[np.float32]) -> dict[str, str]:
    """Return the metadata of a document for similarity search; ``ledger`` separates owners."""
    return {
        **packed(document),
        "ledger": ledger_token(document.scope.ledger),
        "scope": json.dumps(document.scope.ids()),
        "vector": base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii"),
    }


def similarity(held: Mapping[str, str], asked: npt.NDArray[np.float64]) -> float:
    """Return the cosine of a stored vector and ``asked``, which has length 1 or 0."""
    vector = np.frombuffer(base64.b64decode(held["vector"]), dtype="<f4")
    return round(float(unit(vector) @ asked), DIGITS)


def hit(held: Mapping[str, str], similar: float, eligible: Eligibility) -> Hit | None:
    """Return stored metadata as a hit; ``None`` if the document is not eligible."""
    row, scope = row_of(held), eligible.query.scope
    with decoding(f"the metadata of {row.key[0]}", checked=True):
        owner = Scope(**json.loads(held["scope"]))
    if (
        held["ledger"] != ledger_token(scope.ledger)
        or not scope.covers(owner)
        or not eligible.admits(row)
    ):
        return None
    return Hit(
        key=row.key,
        similarity=similar,
        speaker=row.speaker,
        occurred_at=row.occurred_at,
        valid=row.valid,
    )


def unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Normalise a vector to length 1; the zero vector stays zero."""
    wide = vector.astype(np.float64)
    length = float(np.linalg.norm(wide))
    return wide / length if length else wide
