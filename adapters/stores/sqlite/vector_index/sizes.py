"""The numbers that trade speed for memory and recall. They change no result that is exact."""

from __future__ import annotations

from attrs import frozen

MAX_SEGMENT = 1 << 16
"""A posting has 16 bits for the place of a document in its segment."""


@frozen(kw_only=True)
class Sizes:
    """The defaults were measured by ``bench/scale.py``.

    Args:
        first: documents of a ledger that are searched exactly, from memory, before it gets its
            first segment.
        tail: documents beyond its segments before it gets another one.
        segment: documents of a full segment, at most ``MAX_SEGMENT``.
        postings: how many are read of one field, rarest terms first, to find documents; the
            terms that come after only score what was found.
        cache: bytes of all ledgers held in memory.
    """

    first: int = 16_384
    tail: int = 4_096
    segment: int = MAX_SEGMENT
    postings: int = 500_000
    cache: int = 256 << 20


DEFAULT_SIZES = Sizes()
