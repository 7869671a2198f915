"""The port to an embedding model."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from remembrancer.domain.errors import ModelError, SettingsError

Vector: TypeAlias = "array[float]"
"""float32 components (``array('f')``); numpy wraps it without a copy."""

Purpose: TypeAlias = Literal["document", "query"]


class Embedder(Protocol):
    """Turns texts into vectors, the same text always into the same vector.

    Contract:
        * ``model`` changes whenever the vectors change: vectors of two models are never mixed.
        * ``embed`` returns one vector per text, in order, each of ``dimension`` finite components
          and of length 1 (so that a dot product is a cosine in [-1, 1]); a text without content
          may map to the zero vector.
        * An empty sequence of texts returns an empty list and calls nothing.
        * It can be called from several threads or tasks at once.

    Raises:
        AdapterUnavailable: the model could not be reached; a retry may succeed.
        SettingsError: the provider refuses the settings, or all vectors have another dimension.
        ModelError: the model returned the wrong number of vectors, vectors of several dimensions,
            or values that are not finite.
    """

    @property
    def model(self) -> str:
        """Identifies the model, its version and its settings."""
        ...

    @property
    def dimension(self) -> int:
        """Components per vector."""
        ...

    @property
    def local(self) -> bool:
        """Whether it computes in this process, fast and without cost: then it may be called inside
        a transaction, and no cache of vectors is read first.
        """
        ...

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        """Embed ``texts``, to be stored (``document``) or to search with (``query``)."""
        ...


def check_dimension(model: str, expected: int, vectors: Sequence[Sequence[float]]) -> None:
    """Check the number of components of each vector.

    Raises:
        SettingsError: all have the same other number, as those of another model.
        ModelError: they have several, or none.
    """
    found = {len(vector) for vector in vectors} or {expected}
    if found == {expected}:
        return
    if len(found) > 1 or found == {0}:
        sizes = " and ".join(map(str, sorted(found)))
        raise ModelError(f"{model} returned vectors of {sizes} components, expected {expected}")
    raise SettingsError(
        "embedder.dimension",
        f"expected vectors of {expected} components, {model} returned {found.pop()}; set it to the "
        "dimension of the model, or choose the model that it belongs to",
    )
