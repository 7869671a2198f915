"""Embedder by feature hashing: texts that share words or parts of words get similar vectors.

It needs no model and no download, and works in any language. It tolerates inflection, compounds
and typing errors, but not synonyms: "car" and "automobile" are unrelated. After Weinberger et
al., "Feature Hashing for Large Scale Multitask Learning", 2009.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from math import sqrt
from operator import mul

from attrs import frozen

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.embedder import Purpose, Vector
from remembrancer.domain.recall.analysis import ANALYSIS_VERSION, analyse
from remembrancer.domain.recall.function_words import FUNCTION_WORDS

VERSION = 1
DEFAULT_DIMENSION = 256
SMALLEST_DIMENSION, LARGEST_DIMENSION = 8, 1 << 16

# Integer weights: their sums are exact, so that a vector is bit-identical on every machine and
# for every order of additions.
WORD = 1_000
PAIR = 1_000
"""Weight of two neighbouring words: "dog bites man" is not "man bites dog"."""

PARTS = 2_000
"""Norm of the features of one word's character n-grams (3 to 5 characters) together."""

FUNCTION_WORD_SHARE = 0.2
"""Factor for function words; without it all questions have similar vectors."""

_FUNCTION_TERMS = frozenset(term for word in FUNCTION_WORDS for term in analyse(word))
_CACHED_FEATURES = 1 << 15

Features = tuple[tuple[int, int], ...]
"""Pairs of a component and the signed weight that is added to it."""


@frozen(kw_only=True)
class HashingSettings:
    """``dimension``: components per vector, 8 to 65536. Twice as many gained nothing on LoCoMo."""

    dimension: int = DEFAULT_DIMENSION


class HashingEmbedder:
    """An ``Embedder`` that hashes words, word pairs and parts of words into ``dimension``
    components.

    Documents and queries are embedded in the same way. A text without letters or digits maps to
    the zero vector.

    Raises:
        InvalidRequest: ``dimension`` is not in 8 to 65536.
    """

    def __init__(self, dimension: int = DEFAULT_DIMENSION) -> None:
        if not SMALLEST_DIMENSION <= dimension <= LARGEST_DIMENSION:
            raise InvalidRequest(
                "embedder.dimension",
                f"expected {SMALLEST_DIMENSION} to {LARGEST_DIMENSION}, got {dimension}",
            )
        self._dimension = dimension

    @classmethod
    def from_settings(cls, settings: HashingSettings) -> HashingEmbedder:
        """Create an embedder from settings."""
        return cls(settings.dimension)

    @property
    def model(self) -> str:
        """Name with the versions of the features and of the tokenizer, and the dimension."""
        return f"remembrancer-hashing-{VERSION}.{ANALYSIS_VERSION}/{self._dimension}"

    @property
    def dimension(self) -> int:
        """Components per vector."""
        return self._dimension

    @property
    def local(self) -> bool:
        """``True``: computing a vector is faster than a cache lookup."""
        return True

    def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        """Return one vector of length 1 per text, in order; ``purpose`` is ignored."""
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> Vector:
        sums = [0] * self._dimension
        terms = analyse(text)
        for term in terms:
            for component, weight in _term_features(term, self._dimension):
                sums[component] += weight
        for pair in pairwise(terms):
            component, weight = _pair_feature(*pair, self._dimension)
            sums[component] += weight
        length = sqrt(sum(map(mul, sums, sums))) or 1.0
        return array("f", [value / length for value in sums])


@lru_cache(maxsize=_CACHED_FEATURES)
def _term_features(term: str, dimension: int) -> Features:
    if term in _FUNCTION_TERMS:
        return (_feature("w", term, round(WORD * FUNCTION_WORD_SHARE), dimension),)
    framed = f"<{term}>"
    parts = [framed[start : start + n] for n in (3, 4, 5) for start in range(len(framed) - n + 1)]
    weight = round(PARTS / sqrt(len(parts)))
    return (
        _feature("w", term, WORD, dimension),
        *(_feature("c", part, weight, dimension) for part in parts),
    )


@lru_cache(maxsize=_CACHED_FEATURES)
def _pair_feature(first: str, second: str, dimension: int) -> tuple[int, int]:
    grammatical = first in _FUNCTION_TERMS or second in _FUNCTION_TERMS
    weight = round(PAIR * FUNCTION_WORD_SHARE) if grammatical else PAIR
    return _feature("p", f"{first} {second}", weight, dimension)


def _feature(kind: str, text: str, weight: int, dimension: int) -> tuple[int, int]:
    """Return the component of a feature and its weight, with a sign from the same hash."""
    digest = blake2b(f"{kind}{text}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little")
    return (number >> 1) % dimension, weight if number & 1 else -weight
