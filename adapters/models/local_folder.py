"""Embedder that runs a model from a folder of this machine: ``model.onnx`` and ``tokenizer.json``.

Sentence transformers in ONNX form, on the processor, by onnxruntime and tokenizers. Nothing is
downloaded, and nothing leaves the machine. No GPU, no prefixes for queries.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from attrs.validators import ge

from remembrancer.adapters.models.unit_length import unit_vectors
from remembrancer.domain.errors import InvalidRequest, ModelError
from remembrancer.domain.ports.embedder import Purpose, Vector

LIBRARIES = ("onnxruntime", "tokenizers")
HOW = "see docs/how-to/embed-locally.md"


@frozen(kw_only=True)
class LocalFolderSettings:
    """A model and its use of the machine.

    Args:
        path: folder with ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json``; a leading
            ``~`` is the home folder.
        longest: tokens of a text that are read; the rest is ignored.
        threads: threads per text; 0 for one per core.

    Raises:
        ValueError: a number out of range.
    """

    path: str = ""
    longest: int = field(default=256, validator=ge(8))
    threads: int = field(default=0, validator=ge(0))


class LocalFolderEmbedder:
    """An ``Embedder``. The model is loaded when it is made, as its dimension is in its file.

    ``local`` is false: a text takes milliseconds, so a cache lookup is faster and a transaction
    should not wait for it.

    Args:
        settings: the settings.

    Raises:
        InvalidRequest: libraries or files are missing, all of which it names, or the files are no
            such model.
    """

    def __init__(self, settings: LocalFolderSettings) -> None:
        folder = Path(settings.path).expanduser()
        self._settings = settings
        model = _existing(settings, folder)
        try:
            self._session, self._tokenizer = _loaded(model, folder / "tokenizer.json", settings)
            self._dimension = len(self._row("a"))
        # The errors of both libraries have no common base class.
        except Exception as error:
            raise InvalidRequest(
                "embedder.path", f"{folder} can't be used as a model: {error}; {HOW}"
            ) from error
        digest = hashlib.sha256(model.read_bytes())
        digest.update((folder / "tokenizer.json").read_bytes())
        self._name = f"local/{digest.hexdigest()[:16]}/{settings.longest}"

    @property
    def model(self) -> str:
        """Identifies the two files by their content, and ``longest``."""
        return self._name

    @property
    def dimension(self) -> int:
        """Components per vector."""
        return self._dimension

    @property
    def local(self) -> bool:
        """``False``: computing a vector is slower than a cache lookup."""
        return False

    def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        """Return one vector of length 1 per text, in order, the mean of its tokens' vectors."""
        if not texts:
            return []
        try:
            rows = [self._row(text) for text in texts]
        except Exception as error:
            raise ModelError(f"{self.model}: {error}") from error
        return unit_vectors(rows, len(texts), self._dimension, self.model)

    def _row(self, text: str) -> Any:
        # One at a time: int8 models scale by the largest value of a batch, so that the vector of a
        # text would depend on the others. tokenizers refuses unpaired surrogates.
        encoded = self._tokenizer.encode(text.encode("utf-8", "replace").decode())
        ids = np.array([encoded.ids or [0]], dtype=np.int64)
        given = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        wanted = {each.name: given[each.name] for each in self._session.get_inputs()}
        vectors = self._session.run(None, wanted)[0]
        return vectors[0] if vectors.ndim == 2 else vectors[0].mean(axis=0)


def _existing(settings: LocalFolderSettings, folder: Path) -> Path:
    """The file of the model, once nothing is missing."""
    models = [folder / "model.onnx", folder / "onnx" / "model.onnx"]
    missing = [f"the library {name}" for name in LIBRARIES if find_spec(name) is None]
    if missing:
        missing[-1] += " (pip install 'remembrancer[local]')"
    found = [file for file in models if file.is_file()]
    if not settings.path:
        missing.append("a folder in embedder.path")
    elif not folder.is_dir():
        missing.append(f"the folder {folder}")
    else:
        missing += [] if found else [f"{models[0]}"]
        missing += [] if (folder / "tokenizer.json").is_file() else [f"{folder / 'tokenizer.json'}"]
    if missing:
        raise InvalidRequest("embedder", f"the local model needs {', '.join(missing)}; {HOW}")
    return found[0]


def _loaded(model: Path, tokenizer: Path, settings: LocalFolderSettings) -> tuple[Any, Any]:
    # Otherwise onnxruntime (1.32) writes an id into the home folder and sends events. It reads the
    # variable at import only.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    runtime, tokenizers = map(import_module, LIBRARIES)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    session = runtime.InferenceSession(
        os.fspath(model), options, providers=["CPUExecutionProvider"]
    )
    reading = tokenizers.Tokenizer.from_file(os.fspath(tokenizer))
    reading.enable_truncation(max_length=settings.longest)
    reading.no_padding()
    return session, reading
