"""Reranker that runs a local ONNX cross-encoder through fastembed.

The model is downloaded once, unless ``path`` names a folder with its files; after that nothing
leaves the machine.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, min_len

from remembrancer.adapters.models.fastembed.embedder import ADAPTER, quiet_fastembed
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError


@frozen(kw_only=True)
class FastembedRerankerSettings:
    """Settings of the fastembed reranker.

    Args:
        model: one of ``TextCrossEncoder.list_supported_models()``, or one that the host added
            with ``add_custom_model``. The licence of some models forbids commercial use.
        path: folder with the model files; nothing is downloaded then. Empty to download.
        cache_dir: folder for downloaded models; empty for fastembed's default, a temporary
            folder.
        threads: threads per batch; 0 for one per core.
        batch: texts per batch.

    Raises:
        ValueError: a number out of range.
    """

    model: str = field(default="Xenova/ms-marco-MiniLM-L-6-v2", validator=min_len(1))
    path: str = ""
    cache_dir: str = ""
    threads: int = field(default=0, validator=ge(0))
    batch: int = field(default=32, validator=ge(1))


class FastembedReranker:
    """A ``Reranker``. The library and the model are loaded at first use.

    The cross-encoder returns a logit per text; the relevance is its logistic function.

    Args:
        settings: the settings.

    Raises:
        InvalidRequest: fastembed is not installed, or (at first use) does not support the model.
    """

    def __init__(self, settings: FastembedRerankerSettings) -> None:
        if find_spec("fastembed") is None:
            raise InvalidRequest(
                "reranker.provider", "needs fastembed; pip install 'remembrancer[fastembed]'"
            )
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: Any = None

    @property
    def model(self) -> str:
        """The name of the model."""
        return f"fastembed/{self._settings.model}"

    def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """See ``Reranker.rerank``."""
        if not texts:
            return []
        model = self._model()
        try:
            logits = list(model.rerank(question, list(texts), batch_size=self._settings.batch))
        # onnxruntime's errors have no common base class.
        except Exception as error:
            raise ModelError(f"{self.model}: {error}") from error
        if not all(map(math.isfinite, logits)):
            raise ModelError(f"{self.model}: returned a relevance that is not finite")
        return [_logistic(float(logit)) for logit in logits]

    def _model(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> Any:
        settings = self._settings
        # First, because it disables telemetry before the libraries are imported.
        quiet_fastembed()
        kind = import_module("fastembed.rerank.cross_encoder").TextCrossEncoder
        known = {model["model"].lower() for model in kind.list_supported_models()}
        if settings.model.lower() not in known:
            raise InvalidRequest(
                "reranker.model", f"{settings.model} is not a cross-encoder of fastembed"
            )
        where = {"specific_model_path": settings.path} if settings.path else {}
        try:
            return kind(
                settings.model,
                cache_dir=settings.cache_dir or None,
                threads=settings.threads or None,
                **where,
            )
        except Exception as error:
            if settings.path:
                raise InvalidRequest(
                    "reranker.path", f"cannot load a model from {settings.path}: {error}"
                ) from error
            raise AdapterUnavailable(ADAPTER, f"{settings.model}: {error}") from error


def _logistic(logit: float) -> float:
    # Two forms, because each one overflows on one side of zero.
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1.0 + grown)
