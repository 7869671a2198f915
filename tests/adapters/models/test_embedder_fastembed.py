"""Contract tests of the fastembed embedder, with a tiny model that is made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remembrancer.adapters.models.fastembed.embedder import FastembedEmbedder, FastembedSettings
from remembrancer.adapters.models.fastembed.local_model import quiet_fastembed
from remembrancer.domain.errors import InvalidRequest
from remembrancer.testing.embedder import EmbedderContract

DIMENSION = 24
LONGEST = 128
WORDS = (
    "where does caroline live lives in zürich the stock market fell sharply word a emoji".split()
)
MODEL = "remembrancer/tiny"


def write_model(folder: Path) -> None:
    """Write a model that maps each word to a row of a matrix; fastembed averages the rows."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows = np.random.default_rng(7).normal(size=(len(WORDS) + 2, DIMENSION)).astype(np.float32)
    axes = ["texts", "tokens"]
    graph = helper.make_graph(
        [helper.make_node("Gather", ["rows", "input_ids"], ["last_hidden_state"])],
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, axes)
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*axes, DIMENSION])],
        [numpy_helper.from_array(rows, "rows")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, folder / "model.onnx")


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer: Any = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"model_max_length": LONGEST, "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"unk_token": "[UNK]"}))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = quiet_fastembed().TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    folder = tmp_path_factory.mktemp("tiny")
    write_model(folder)
    write_tokenizer(folder)
    if MODEL not in {model["model"] for model in models.list_supported_models()}:
        models.add_custom_model(
            model=MODEL,
            pooling=PoolingType.MEAN,
            normalization=False,
            sources=ModelSource(hf=MODEL),
            dim=DIMENSION,
            model_file="model.onnx",
        )
    return folder


class TestFastembedEmbedder(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _folder(self, model_folder: Path) -> None:
        self.folder = model_folder

    def make_embedder(self) -> FastembedEmbedder:
        return FastembedEmbedder(FastembedSettings(model=MODEL, path=str(self.folder), threads=1))


def test_unknown_model_is_refused_before_any_download() -> None:
    embedder = FastembedEmbedder(FastembedSettings(model="unknown/model"))
    with pytest.raises(InvalidRequest, match=r"embedder\.model"):
        embedder.embed(["a"], "document")


def test_folder_without_a_model_is_refused(model_folder: Path, tmp_path: Path) -> None:
    embedder = FastembedEmbedder(FastembedSettings(model=MODEL, path=str(tmp_path)))
    with pytest.raises(InvalidRequest, match=r"embedder\.path: cannot load a model"):
        embedder.embed(["a"], "document")


def test_dimension_is_known_before_the_model_is_loaded(model_folder: Path, tmp_path: Path) -> None:
    embedder = FastembedEmbedder(FastembedSettings(model=MODEL, path=str(tmp_path)))
    assert embedder.dimension == DIMENSION


USE = """
import os, sys
reached = set()
def connect(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        reached.add(str(arguments))
sys.addaudithook(connect)
from remembrancer.adapters.models.fastembed.embedder import *
embedder = FastembedEmbedder(FastembedSettings(path=sys.argv[1]))
assert "fastembed" not in sys.modules, "imported before first use"
assert embedder.dimension == 384
try:
    embedder.embed(["a"], "document")
except InvalidRequest:
    pass
assert not reached, reached
print(*os.listdir(os.environ["HOME"]))
"""


@pytest.mark.slow
def test_local_model_uses_no_network_and_writes_nothing_to_the_home_folder(
    model_folder: Path, tmp_path: Path
) -> None:
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    others = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", USE, str(model_folder)],
        env={**others, **home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
