"""Contract tests of the fastembed reranker, with a tiny model that is made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remembrancer.adapters.models.fastembed.local_model import quiet_fastembed
from remembrancer.adapters.models.fastembed.reranker import (
    FastembedReranker,
    FastembedRerankerSettings,
)
from remembrancer.domain.errors import InvalidRequest, ModelError
from remembrancer.testing.reranker import ANSWER, BESIDES, QUESTION, RerankerContract

LONGEST = 128
WORDS: Sequence[str] = (
    "where does caroline live lives in zürich the stock market fell sharply word a".split()
)
SAME = {"lives": "live"}
MODEL = "remembrancer/tiny-cross"


def write_model(folder: Path, bias: float = -1.0) -> None:
    """Write a model whose logit is the number of pairs of equal words in question and text."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    size = len(WORDS) + 2
    rows = np.zeros((size, size), dtype=np.float32)
    for number, word in enumerate(WORDS, 2):
        rows[number, WORDS.index(SAME.get(word, word)) + 2] = 1
    axes = ["texts", "tokens"]
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["words"]),
        helper.make_node("Cast", ["token_type_ids"], ["of_text"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "of_text"], ["of_question"]),
        helper.make_node("Unsqueeze", ["of_text", "last"], ["text_mask"]),
        helper.make_node("Unsqueeze", ["of_question", "last"], ["question_mask"]),
        helper.make_node("Mul", ["words", "text_mask"], ["text_words"]),
        helper.make_node("Mul", ["words", "question_mask"], ["question_words"]),
        helper.make_node("ReduceSum", ["text_words", "tokens_axis"], ["text"], keepdims=0),
        helper.make_node("ReduceSum", ["question_words", "tokens_axis"], ["question"], keepdims=0),
        helper.make_node("Mul", ["text", "question"], ["shared"]),
        helper.make_node("ReduceSum", ["shared", "tokens_axis"], ["count"], keepdims=1),
        helper.make_node("Add", ["count", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, axes)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", 1])],
        [
            numpy_helper.from_array(rows, "rows"),
            numpy_helper.from_array(np.array(1, dtype=np.float32), "one"),
            numpy_helper.from_array(np.array(bias, dtype=np.float32), "bias"),
            numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "tokens_axis"),
        ],
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
    quiet_fastembed()
    from fastembed.common.model_description import ModelSource
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    folder = tmp_path_factory.mktemp("tiny")
    write_model(folder)
    write_tokenizer(folder)
    if MODEL not in {model["model"] for model in TextCrossEncoder.list_supported_models()}:
        TextCrossEncoder.add_custom_model(
            MODEL, sources=ModelSource(hf=MODEL), model_file="model.onnx"
        )
    return folder


def reranker(folder: Path) -> FastembedReranker:
    return FastembedReranker(FastembedRerankerSettings(model=MODEL, path=str(folder), threads=1))


class TestFastembedReranker(RerankerContract):
    @pytest.fixture(autouse=True)
    def _folder(self, model_folder: Path) -> None:
        self.folder = model_folder

    def make_reranker(self) -> FastembedReranker:
        return reranker(self.folder)


def test_relevance_is_the_logistic_function_of_the_logit(model_folder: Path) -> None:
    # "Caroline" and "live" are shared, and the bias is -1: a logit of 1.
    relevances = reranker(model_folder).rerank(QUESTION, [ANSWER, BESIDES])
    assert relevances == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])


@pytest.mark.parametrize(("bias", "expected"), [(-5e4, 0.0), (5e4, 1.0)])
def test_extreme_logits_give_relevances_in_range(
    model_folder: Path, tmp_path: Path, bias: float, expected: float
) -> None:
    write_model(tmp_path, bias)
    write_tokenizer(tmp_path)
    assert reranker(tmp_path).rerank(QUESTION, [ANSWER]) == [expected]


def test_logit_that_is_not_finite_raises_model_error(model_folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path, float("nan"))
    write_tokenizer(tmp_path)
    with pytest.raises(ModelError, match="not finite"):
        reranker(tmp_path).rerank(QUESTION, [ANSWER])


def test_unknown_model_is_refused_before_any_download() -> None:
    unknown = FastembedReranker(FastembedRerankerSettings(model="unknown/model"))
    with pytest.raises(InvalidRequest, match=r"reranker\.model"):
        unknown.rerank("?", ["a"])


def test_folder_without_a_model_is_refused(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"reranker\.path: cannot load a model"):
        reranker(tmp_path).rerank("?", ["a"])


USE = """
import os, sys
reached = set()
def connect(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        reached.add(str(arguments))
sys.addaudithook(connect)
from remembrancer.adapters.models.fastembed.reranker import *
reranker = FastembedReranker(FastembedRerankerSettings(path=sys.argv[1]))
assert "fastembed" not in sys.modules, "imported before first use"
try:
    reranker.rerank("?", ["a"])
except (InvalidRequest, ModelError):
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
