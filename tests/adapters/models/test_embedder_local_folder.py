"""Contract tests of the embedder that reads a folder, with a tiny model that is made here."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from remembrancer import InvalidRequest, Memory, load_settings
from remembrancer.adapters.models import local_folder
from remembrancer.adapters.models.fastembed.local_model import LocalModel, LocalModelSettings
from remembrancer.adapters.models.local_folder import LocalFolderEmbedder, LocalFolderSettings
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.testing.embedder import EmbedderContract
from tests.adapters.models.test_embedder_fastembed import (
    DIMENSION,
    write_model,
    write_tokenizer,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("local")
    write_model(made)
    write_tokenizer(made)
    return made


def embedder(folder: Path, **settings: int) -> LocalFolderEmbedder:
    return LocalFolderEmbedder(LocalFolderSettings(path=str(folder), threads=1, **settings))


class TestContract(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def make_embedder(self) -> LocalFolderEmbedder:
        return embedder(self.folder)


def test_a_memory_finds_by_the_vectors_of_the_model(folder: Path) -> None:
    config = {"audit_log": "memory", "embedder": {"provider": "local", "path": str(folder)}}
    with Memory(settings=load_settings(config, environment={})) as memory:
        memory.add("Caroline lives in Zürich", user_id="ann", infer=False)
        (found,) = memory.search("where does caroline live", user_id="ann", explain=True)

    assert (found.signals or {})["similarity"] > 0


def test_the_model_is_named_by_its_content(folder: Path, tmp_path: Path) -> None:
    moved, other = tmp_path / "moved", tmp_path / "other"
    shutil.copytree(folder, moved)
    shutil.copytree(folder, other)
    tokenizer = other / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text("utf-8") + "\n", "utf-8")

    name = embedder(folder).model

    assert embedder(moved).model == name
    assert embedder(other).model != name
    assert embedder(folder, longest=8).model != name
    assert embedder(folder).dimension == DIMENSION


def test_a_model_below_the_folder_onnx_is_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    shutil.copy(folder / "model.onnx", tmp_path / "onnx")
    shutil.copy(folder / "tokenizer.json", tmp_path)

    assert embedder(tmp_path).embed(["a"], "query") == embedder(folder).embed(["a"], "query")


class TestMissing:
    def test_everything_that_is_missing_is_named_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local_folder, "find_spec", lambda name: None)

        with pytest.raises(InvalidRequest) as refused:
            LocalFolderEmbedder(LocalFolderSettings())

        for part in ("onnxruntime", "tokenizers", "'remembrancer[local]'", "embedder.path"):
            assert part in str(refused.value)

    def test_both_files_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequest, match=r"model\.onnx, .*tokenizer\.json"):
            embedder(tmp_path)

    def test_a_folder_that_does_not_exist_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequest, match=r"the folder .*nowhere"):
            embedder(tmp_path / "nowhere")

    def test_files_that_are_no_model_are_refused(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"no model")
        shutil.copy(folder / "tokenizer.json", tmp_path)

        with pytest.raises(InvalidRequest, match="can't be used as a model"):
            embedder(tmp_path)


def test_a_model_that_can_not_be_downloaded_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def offline(*_arguments: object, **_options: object) -> object:
        raise OSError("no network")

    model = LocalModel("embedder", LocalModelSettings(model="some/model"), lambda: offline)

    with caplog.at_level(logging.WARNING, "remembrancer"):
        for _ in range(2):
            with pytest.raises(AdapterUnavailable):
                model.compute("embed", ["a"])

    (warning,) = caplog.messages
    assert "some/model can't be loaded: no network" in warning
    assert "embedder.path" in warning
