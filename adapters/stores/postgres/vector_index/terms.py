"""Terms and names in the forms that PostgreSQL indexes.

Terms come from the tokenizer in ``analysis``, not from a text search configuration of the server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TypeAlias

from remembrancer.adapters.index_scoring.bm25 import MAX_FREQUENCY
from remembrancer.adapters.index_scoring.line_analysis import LineAnalysis
from remembrancer.domain.recall.analysis import analyse

WrittenTerms: TypeAlias = LineAnalysis[Counter[str], tuple[int, str]]
"""The number of terms of a text, and its ``tsvector`` in text form."""


def written_terms() -> WrittenTerms:
    """An empty ``WrittenTerms``."""
    return LineAnalysis(lambda line: Counter(analyse(line)), _written)


def _written(lines: Sequence[Counter[str]]) -> tuple[int, str]:
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line)
    return counts.total(), _to_tsvector(counts)


def _to_tsvector(counts: Counter[str]) -> str:
    """Text form of a ``tsvector`` with as many positions per term as the term occurs.

    The positions only encode the term frequency: counting them with ``ts_rank_cd`` is the fastest
    way to read it. PostgreSQL stores at most 255 per lexeme.
    """
    return " ".join(
        f"'{term}':{','.join(map(str, range(1, min(count, MAX_FREQUENCY) + 1)))}"
        for term, count in counts.items()
    )


def to_tsquery(terms: Iterable[str]) -> str:
    """Text form of a ``tsquery`` for any of the terms."""
    return " | ".join(f"'{term}'" for term in terms)


def number_of(name: str) -> int:
    """Hash of a name in the range of ``bigint``. Among a million names, the probability of a
    collision is 3e-8.
    """
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
