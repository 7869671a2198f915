"""The port to whatever turns text into vectors."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

Vector: TypeAlias = "array[float]"
"""float32 components (``array('f')``); numpy wraps it without a copy."""

Purpose: TypeAlias = Literal["document", "query"]


class Embedder(Protocol):
    """Text to vectors, the same text always to the same vector.

    Contract:
        * ``model`` changes whenever the vectors would: vectors of two models are never mixed.
        * ``embed`` returns one vector per text, in order, each of ``dimension`` finite components
          and of length 1 (so that a dot product is a cosine in [-1, 1]); a text without content
          may map to the zero vector.
        * An empty sequence of texts returns an empty list and calls nothing.
        * It may be called from several threads or tasks at once.

    Raises:
        AdapterUnavailable: the model could not be reached; calling again may succeed.
        ModelError: the model answered with vectors of another count, dimension, or not finite.
    """

    @property
    def model(self) -> str:
        """Identity of the model, its version and its settings."""
        ...

    @property
    def dimension(self) -> int:
        """Components per vector."""
        ...

    @property
    def local(self) -> bool:
        """Whether it computes here, at once and for nothing: then it may be called inside a
        transaction, and its vectors are not looked up in a cache first.
        """
        ...

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        """Embed ``texts``, to be stored (``document``) or to search with (``query``)."""
        ...
