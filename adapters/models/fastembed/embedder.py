"""Embedder that runs a local ONNX model through fastembed.

The model is downloaded once, unless ``path`` names a folder with its files; after that nothing
leaves the machine. No support for GPUs or sparse vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import min_len

from remembrancer.adapters.models.fastembed.local_model import (
    LocalModel,
    LocalModelSettings,
    quiet_fastembed,
)
from remembrancer.adapters.models.unit_length import unit_vectors
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.embedder import Purpose, Vector


@frozen(kw_only=True)
class FastembedSettings(LocalModelSettings):
    """``LocalModelSettings`` with the default model of the embedder.

    Args:
        model: one of ``fastembed.TextEmbedding.list_supported_models()``, or one that the host
            added with ``add_custom_model``.

    Raises:
        ValueError: a number out of range.
    """

    model: str = field(default="BAAI/bge-small-en-v1.5", validator=min_len(1))


class FastembedEmbedder:
    """An ``Embedder``. The library and the model are loaded at first use.

    ``local`` is false: a text takes milliseconds, so a cache lookup is faster and a transaction
    should not wait for it.

    Args:
        settings: the settings.

    Raises:
        InvalidRequest: fastembed is not installed, or (at first use) does not support the model.
    """

    def __init__(self, settings: FastembedSettings) -> None:
        self._model = LocalModel("embedder", settings, self._supporting_class)
        self._settings = settings
        self._dimension = 0

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._model.name

    @property
    def dimension(self) -> int:
        """Components per vector. Imports the library, but loads no model."""
        if not self._dimension:
            kind = quiet_fastembed().TextEmbedding
            try:
                self._dimension = kind.get_embedding_size(self._settings.model)
            except ValueError as error:
                raise InvalidRequest(
                    "embedder.model", f"not supported by fastembed: {error}"
                ) from error
        return self._dimension

    @property
    def local(self) -> bool:
        """``False``: computing a vector is slower than a cache lookup."""
        return False

    def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        """Return one vector of length 1 per text, in order. ``purpose`` matters only to models
        that embed queries and documents differently.
        """
        if not texts:
            return []
        method = "query_embed" if purpose == "query" else "passage_embed"
        vectors = self._model.compute(method, list(texts))
        return unit_vectors(vectors, len(texts), self.dimension, self.model)

    def _supporting_class(self) -> Any:
        _ = self.dimension
        return quiet_fastembed().TextEmbedding
