"""Embedder that runs a local ONNX model through fastembed.

The model is downloaded once, unless ``path`` names a folder with its files; after that nothing
leaves the machine. No support for GPUs or sparse vectors.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, min_len

from remembrancer.adapters.models.unit_length import unit_vectors
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.domain.ports.embedder import Purpose, Vector

ADAPTER = "fastembed"


@frozen(kw_only=True)
class FastembedSettings:
    """Settings of the fastembed embedder.

    Args:
        model: one of ``fastembed.TextEmbedding.list_supported_models()``, or one that the host
            added with ``add_custom_model``.
        path: folder with the model files; nothing is downloaded then. Empty to download.
        cache_dir: folder for downloaded models; empty for fastembed's default, a temporary
            folder.
        threads: threads per batch; 0 for one per core.
        batch: texts per batch.

    Raises:
        ValueError: a number out of range.
    """

    model: str = field(default="BAAI/bge-small-en-v1.5", validator=min_len(1))
    path: str = ""
    cache_dir: str = ""
    threads: int = field(default=0, validator=ge(0))
    batch: int = field(default=32, validator=ge(1))


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
        if find_spec("fastembed") is None:
            raise InvalidRequest(
                "embedder.provider", "needs fastembed; pip install 'remembrancer[fastembed]'"
            )
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: Any = None
        self._dimension = 0

    @property
    def model(self) -> str:
        """The name of the model."""
        return f"fastembed/{self._settings.model}"

    @property
    def dimension(self) -> int:
        """Components per vector. Imports the library, but loads no model."""
        if not self._dimension:
            kind = quiet_fastembed().TextEmbedding
            try:
                self._dimension = kind.get_embedding_size(self._settings.model)
            except ValueError as error:
                raise self._unknown(error) from error
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
        model = self._model()
        embed = model.query_embed if purpose == "query" else model.passage_embed
        return unit_vectors(
            self._computed(embed(list(texts), batch_size=self._settings.batch)),
            len(texts),
            self.dimension,
            self.model,
        )

    def _computed(self, vectors: Iterable[Any]) -> list[Any]:
        try:
            return list(vectors)
        except Exception as error:
            raise ModelError(f"{self.model}: {error}") from error

    def _model(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> Any:
        settings = self._settings
        # Raises for an unknown model before anything is downloaded.
        _ = self.dimension
        where = {"specific_model_path": settings.path} if settings.path else {}
        try:
            return quiet_fastembed().TextEmbedding(
                settings.model,
                cache_dir=settings.cache_dir or None,
                threads=settings.threads or None,
                **where,
            )
        # onnxruntime's errors have no common base class.
        except Exception as error:
            if settings.path:
                raise InvalidRequest(
                    "embedder.path", f"cannot load a model from {settings.path}: {error}"
                ) from error
            raise AdapterUnavailable(ADAPTER, f"{settings.model}: {error}") from error

    def _unknown(self, error: Exception) -> InvalidRequest:
        return InvalidRequest("embedder.model", f"not supported by fastembed: {error}")


def quiet_fastembed() -> Any:
    """Import and return the fastembed module, with the telemetry of its libraries disabled."""
    for name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
        # Otherwise onnxruntime (1.32) writes an id into the home folder and sends events. It
        # reads the variable at import only.
        os.environ.setdefault(name, "1")
    return import_module("fastembed")
