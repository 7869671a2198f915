"""Parameters that trade speed for memory and recall. They never change exact scores."""

from __future__ import annotations

from attrs import frozen

MAX_SEGMENT = 1 << 16
"""A posting has 16 bits for the offset of a document in its segment."""


@frozen(kw_only=True)
class Sizes:
    """Sizes of the index. ``bench/scale.py`` measured the defaults.

    Args:
        first: documents in a ledger before its first segment is built; until then all of them are
            searched exactly, from memory.
        tail: documents outside segments before another segment is built.
        segment: documents in a full segment, at most ``MAX_SEGMENT``.
        postings: maximum postings to read per field to find candidates, rarest terms first; the
            remaining terms only affect the scores of the candidates.
        cache: bytes of memory for the snapshots of all ledgers.
    """

    first: int = 16_384
    tail: int = 4_096
    segment: int = MAX_SEGMENT
    postings: int = 500_000
    cache: int = 256 << 20


DEFAULT_SIZES = Sizes()
