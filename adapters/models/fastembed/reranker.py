"""Reranker that runs a local ONNX cross-encoder through fastembed.

The model is downloaded once, unless ``path`` names a folder with its files; after that nothing
leaves the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from attrs import field, frozen
from attrs.validators import min_len

from remembrancer.adapters.models.fastembed.local_model import (
    LocalModel,
    LocalModelSettings,
    quiet_fastembed,
)
from remembrancer.domain.errors import InvalidRequest, ModelError


@frozen(kw_only=True)
class FastembedRerankerSettings(LocalModelSettings):
    """``LocalModelSettings`` with the default model of the reranker.

    Args:
        model: one of ``TextCrossEncoder.list_supported_models()``, or one that the host added
            with ``add_custom_model``. The licence of some models forbids commercial use.

    Raises:
        ValueError: a number out of range.
    """

    model: str = field(default="Xenova/ms-marco-MiniLM-L-6-v2", validator=min_len(1))


class FastembedReranker:
    """A ``Reranker``. The library and the model are loaded at first use.

    The cross-encoder returns a logit per text; the relevance is its logistic function.

    Args:
        settings: the settings.

    Raises:
        InvalidRequest: fastembed is not installed, or (at first use) does not support the model.
    """

    def __init__(self, settings: FastembedRerankerSettings) -> None:
        self._model = LocalModel("reranker", settings, self._supporting_class)
        self._settings = settings

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._model.name

    def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """See ``Reranker.rerank``."""
        if not texts:
            return []
        logits = self._model.compute("rerank", question, list(texts))
        if not all(map(math.isfinite, logits)):
            raise ModelError(f"{self.model}: returned a relevance that is not finite")
        return [_logistic(float(logit)) for logit in logits]

    def _supporting_class(self) -> Any:
        # First, because it disables telemetry before the libraries are imported.
        quiet_fastembed()
        kind = import_module("fastembed.rerank.cross_encoder").TextCrossEncoder
        model = self._settings.model
        known = {each["model"].lower() for each in kind.list_supported_models()}
        if model.lower() not in known:
            raise InvalidRequest("reranker.model", f"{model} is not a cross-encoder of fastembed")
        return kind


def _logistic(logit: float) -> float:
    # Two forms, because each one overflows on one side of zero.
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1.0 + grown)
