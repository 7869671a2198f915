"""A removed document leaves no bytes in the index file, inside or outside a segment."""

from __future__ import annotations

from array import array
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.vector_index import Sizes, SqliteVectorIndex
from remembrancer.adapters.stores.sqlite.vector_index.schema import create
from remembrancer.adapters.stores.sqlite.vector_index.terms import number_of
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.scope import Scope

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
SECRET = 17


def document(number: int) -> Document:
    """A document with a unique word, name and vector."""
    return Document(
        key=(FactId(f"fact {number}"), 1),
        scope=Scope(user_id="alice"),
        text=f"secret{number} of Alice",
        context=f"around{number}",
        speaker=f"Speaker{number}",
        entities=(f"Entity{number}",),
        occurred_at=NOON,
        visible=Interval(start=NOON),
        attributes={"text": f"secret{number}", "metadata": {"code": f"metadata{number}"}},
        vector=array("f", [1.0, number, 1.0 / (number + 1)]),
    )


def traces(path: Path) -> set[str]:
    """The parts of the secret document that are found in the bytes of the file."""
    content = path.read_bytes()
    words = [f"{kind}{SECRET}" for kind in ("secret", "around", "Speaker", "Entity", "metadata")]
    needles = {word: word.encode() for word in words}
    for term in (f"secret{SECRET}", f"around{SECRET}", f"entity{SECRET}"):
        for order in ("little", "big"):
            number = number_of(term).to_bytes(8, order, signed=True)
            needles[f"number of {term}, {order} endian"] = number
    vector = document(SECRET).vector
    assert vector is not None
    needles["vector"] = vector.tobytes()
    needles["key"] = f"fact {SECRET}".encode()
    return {name for name, needle in needles.items() if needle in content}


@pytest.mark.parametrize("in_segment", [True, False])
def test_removed_document_leaves_no_bytes_in_the_file(tmp_path: Path, in_segment: bool) -> None:
    path = tmp_path / "index.db"
    sizes = Sizes(first=8 if in_segment else 1000, tail=8, segment=64)
    database = Database(SqliteSettings(path=str(path)), [create])
    index = SqliteVectorIndex(database, model="m", dimension=3, sizes=sizes)
    with closing(database):
        for number in range(40):
            index.put([document(number)])
        with database.reader() as connection:
            segments = connection.execute("SELECT count(*) FROM index_segment").fetchone()[0]
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert bool(segments) == in_segment
        assert "vector" in traces(path)
        with database.transaction() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            index.remove_in(connection, [document(SECRET).key])
        with database.reader() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert traces(path) == set()
