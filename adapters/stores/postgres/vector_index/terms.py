"""Terms and names in the forms in which PostgreSQL indexes them.

The terms are ours (``analysis``): no text search configuration of the server has a part in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from remembrancer.adapters.index_scoring.bm25 import MAX_FREQUENCY


def to_tsvector(terms: Sequence[str]) -> str:
    """The text of a ``tsvector`` that has each term at as many positions as it comes.

    A position says nothing here but that there is one: ``ts_rank_cd`` counts them, which is the
    fastest way to a frequency. PostgreSQL keeps 255 of a lexeme, and so many are counted.
    """
    return " ".join(
        f"'{term}':{','.join(map(str, range(1, min(count, MAX_FREQUENCY) + 1)))}"
        for term, count in Counter(terms).items()
    )


def to_tsquery(terms: Iterable[str]) -> str:
    """The text of a ``tsquery`` for any of the terms."""
    return " | ".join(f"'{term}'" for term in terms)


def number_of(name: str) -> int:
    """The number of a name, in the range of ``bigint``. Two of a million names share one with a
    probability of 3e-8.
    """
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
