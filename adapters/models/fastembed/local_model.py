"""A model that fastembed loads at first use, for the embedder and the reranker."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, min_len

from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError

ADAPTER = "fastembed"

log = logging.getLogger("remembrancer")


@frozen(kw_only=True)
class LocalModelSettings:
    """A model, its files and its use of the machine.

    Args:
        model: name of the model.
        path: folder with the model files; nothing is downloaded then. Empty to download.
        cache_dir: folder for downloaded models; empty for fastembed's default, a temporary
            folder.
        threads: threads per batch; 0 for one per core.
        batch: texts per batch.

    Raises:
        ValueError: a number out of range.
    """

    model: str = field(validator=min_len(1))
    path: str = ""
    cache_dir: str = ""
    threads: int = field(default=0, validator=ge(0))
    batch: int = field(default=32, validator=ge(1))


class LocalModel:
    """A model. The library and the model are loaded at first use.

    Args:
        port: first part of the names of the settings, for errors.
        settings: the settings.
        find_class: imports and returns fastembed's class for the model. It raises
            ``InvalidRequest`` if the class does not support the model.

    Raises:
        InvalidRequest: fastembed is not installed.
    """

    def __init__(
        self, port: str, settings: LocalModelSettings, find_class: Callable[[], Any]
    ) -> None:
        if find_spec("fastembed") is None:
            raise InvalidRequest(
                f"{port}.provider", "needs fastembed; pip install 'remembrancer[fastembed]'"
            )
        self.name = f"fastembed/{settings.model}"
        self._port = port
        self._settings = settings
        self._find_class = find_class
        self._lock = threading.Lock()
        self._loaded: Any = None
        self._warned = False

    def compute(self, method: str, *arguments: object) -> list[Any]:
        """Call a method of the model, which computes in batches, and return one result per text.

        Raises:
            InvalidRequest: fastembed does not support the model, or can't load it from ``path``.
            AdapterUnavailable: the model can't be downloaded or loaded.
            ModelError: the computation failed.
        """
        model = self._model()
        try:
            return list(getattr(model, method)(*arguments, batch_size=self._settings.batch))
        # onnxruntime's errors have no common base class.
        except Exception as error:
            raise ModelError(f"{self.name}: {error}") from error

    def _model(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> Any:
        settings = self._settings
        # Raises for an unknown model before anything is downloaded.
        model_class = self._find_class()
        where = {"specific_model_path": settings.path} if settings.path else {}
        try:
            return model_class(
                settings.model,
                cache_dir=settings.cache_dir or None,
                threads=settings.threads or None,
                **where,
            )
        except Exception as error:
            if settings.path:
                raise InvalidRequest(
                    f"{self._port}.path", f"cannot load a model from {settings.path}: {error}"
                ) from error
            self._warn(error)
            raise AdapterUnavailable(ADAPTER, f"{settings.model}: {error}") from error

    def _warn(self, error: Exception) -> None:
        """Once: without the model, searches go on with keywords, and nobody would notice."""
        if not self._warned:
            self._warned = True
            log.warning(
                "the model %s can't be loaded: %s. Until it can, searches use keywords. Without a "
                "network, set %s.path to a folder with its files, or use the provider local",
                self._settings.model,
                error,
                self._port,
            )


def quiet_fastembed() -> Any:
    """Import and return the fastembed module, with the telemetry of its libraries disabled."""
    for name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
        # Otherwise onnxruntime (1.32) writes an id into the home folder and sends events. It
        # reads the variable at import only.
        os.environ.setdefault(name, "1")
    return import_module("fastembed")
