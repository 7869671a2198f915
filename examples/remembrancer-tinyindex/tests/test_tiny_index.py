"""The index passes ``ExternalIndexContract`` and the tests of its own file."""

from pathlib import Path

import pytest
from remembrancer_tinyindex import TinyIndex, TinyIndexSettings

from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.scope import LedgerId
from remembrancer.testing import ExternalIndexContract
from remembrancer.testing.vector_index import DIMENSION, document

ALICE = LedgerId("user:alice")


def index_in(folder: Path, model: str = "letters-1", name: str = "index.db") -> TinyIndex:
    return TinyIndex(TinyIndexSettings(path=str(folder / name)), model, DIMENSION)


class TestTinyIndex(ExternalIndexContract):
    def make_index(self, tmp_path: Path) -> TinyIndex:
        return index_in(tmp_path)

    def make_worker(self, tmp_path: Path) -> TinyIndex:
        return index_in(tmp_path)

    def make_neighbour(self, tmp_path: Path) -> TinyIndex:
        return index_in(tmp_path, name="neighbour.db")


def test_document_is_found_after_reopening(tmp_path: Path) -> None:
    first = index_in(tmp_path)
    first.put([document("tea")])
    first.close()
    assert index_in(tmp_path).count(ALICE) == 1


def test_constructor_creates_no_file(tmp_path: Path) -> None:
    index_in(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_vectors_of_another_embedder_are_refused_until_clear(tmp_path: Path) -> None:
    index_in(tmp_path).put([document("tea")])
    other = index_in(tmp_path, model="letters-2")
    with pytest.raises(InvalidRequest, match="rebuild vector_index"):
        other.put([document("coffee")])
    other.clear()
    other.put([document("coffee")])
    assert other.count(ALICE) == 1


def test_ping_names_the_index_and_creates_no_file(tmp_path: Path) -> None:
    assert index_in(tmp_path).ping().startswith("tinyindex 0.1.0 (SQLite 3.")
    assert list(tmp_path.iterdir()) == []


def test_file_that_cannot_be_opened_is_adapter_unavailable(tmp_path: Path) -> None:
    (tmp_path / "index.db").mkdir()
    with pytest.raises(AdapterUnavailable, match=r"tinyindex: .*index\.db"):
        index_in(tmp_path).ping()
