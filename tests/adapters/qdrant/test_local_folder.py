"""Qdrant's local mode stays with the folder that it opened."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remembrancer.adapters.vector_index.qdrant import QdrantSettings, QdrantVectorIndex
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.testing.driving import Driven
from remembrancer.testing.vector_index import DIMENSION, document

ALICE = "user:alice"

CALLS: dict[str, Callable[[Any], object]] = {
    "put": lambda index: index.put([document("black tea")]),
    "remove": lambda index: index.remove([document("green tea").key]),
    "count": lambda index: index.count(ALICE),
    "clear": lambda index: index.clear(),
}

every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def index_in(path: Path | str) -> Any:
    return Driven(QdrantVectorIndex(QdrantSettings(path=str(path)), "m", DIMENSION))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def index(folder: Path) -> Iterator[Any]:
    """An open index with one document."""
    index = index_in(folder)
    index.put([document("green tea")])
    yield index
    index.close()


def documents(folder: Path) -> Path:
    return folder / "collection" / "remembrancer" / "storage.sqlite"


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    index = index_in("~/index")
    index.put([document("green tea")])
    index.close()

    assert [each.name for each in tmp_path.iterdir()] == ["index"]


@pytest.mark.skipif(os.name != "posix", reason="file modes need POSIX")
def test_folder_is_made_for_its_owner_alone(index: Any, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@every_call
def test_deleted_folder_is_an_error_and_is_not_made_again(
    index: Any, folder: Path, call: Callable[[Any], object]
) -> None:
    shutil.rmtree(folder)

    with pytest.raises(AdapterUnavailable, match="was deleted, replaced or cut"):
        call(index)

    assert not folder.exists()


@every_call
def test_replaced_folder_is_an_error_until_it_is_put_back(
    index: Any, folder: Path, call: Callable[[Any], object]
) -> None:
    aside = folder.with_name("aside")
    folder.rename(aside)
    shutil.copytree(aside, folder)
    with pytest.raises(AdapterUnavailable, match="was deleted, replaced or cut"):
        call(index)

    shutil.rmtree(folder)
    aside.rename(folder)
    assert index.count(ALICE) == 1


@pytest.mark.parametrize("loss", [Path.unlink, lambda file: os.truncate(file, 0)])
@every_call
def test_documents_that_are_gone_are_an_error(
    index: Any,
    folder: Path,
    loss: Callable[[Path], object],
    call: Callable[[Any], object],
) -> None:
    loss(documents(folder))

    with pytest.raises(AdapterUnavailable, match=r"storage\.sqlite was deleted, replaced or cut"):
        call(index)


def test_cleared_index_goes_on_in_its_folder(index: Any) -> None:
    index.clear()
    assert index.count(ALICE) == 0
    index.put([document("green tea")])
    assert index.count(ALICE) == 1


def test_relative_path_does_not_move_with_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    index = index_in("index")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    index.put([document("green tea")])
    index.close()

    assert documents(tmp_path / "index").exists()


def test_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    index = index_in(tmp_path / "file")
    with pytest.raises(InvalidRequest, match=r"vector_index\.path: .*can't be used as a folder"):
        index.count(ALICE)
    index.close()
