"""The vectors of an index, stored once per ledger, text and model.

The same table serves searches and is the cache that lets a rebuild run without embedding again.
Vectors of several models may be stored; only those of the current model are read. Each ledger has
its own copies, so that erasing the ledger erases them.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.stores.sqlite.vector_index.ledgers import Ledger
from remembrancer.adapters.stores.sqlite.vector_index.schema import first_of, last_of
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.scope import LedgerId

Vectors = npt.NDArray[np.float32]
"""Vectors of shape (count, dimension)."""

_ORDINARY = (1e-10, 1e10)
"""Lengths whose squares neither underflow nor overflow in single precision."""


@frozen
class Embeddings:
    """The vectors of one model.

    Args:
        model: its name, as in ``Embedder.model``.
        dimension: number of components of a vector.
    """

    model: str
    dimension: int

    def find(self, connection: sqlite3.Connection) -> int | None:
        """The number of the model in this file, ``None`` if it has stored no vector here."""
        row = connection.execute(
            "SELECT id FROM index_model WHERE name = ? AND dimension = ?",
            (self.model, self.dimension),
        ).fetchone()
        return None if row is None else int(row[0])

    def open(self, connection: sqlite3.Connection) -> int:
        """The number of the model; assigns one to a new model."""
        number = self.find(connection)
        if number is None:
            number = connection.execute(
                "INSERT INTO index_model (name, dimension) VALUES (?, ?)",
                (self.model, self.dimension),
            ).lastrowid
            assert number is not None
        return number

    def keep(
        self,
        connection: sqlite3.Connection,
        ledger: Ledger,
        model: int,
        text: str,
        vector: npt.NDArray[np.float32],
    ) -> int:
        """The number of a text's embedding in a ledger; stores the vector if it is missing."""
        digest, data = digest_of(text), vector.astype("<f4", copy=False).tobytes()
        # Compares the vector too: some remote embedders return different vectors for the same text.
        row = connection.execute(
            "SELECT id FROM index_embedding WHERE digest = ? AND model = ? "
            "AND id BETWEEN ? AND ? AND vector = ?",
            (digest, model, first_of(ledger.id), last_of(ledger.id), data),
        ).fetchone()
        if row is not None:
            return int(row[0])
        number = ledger.new_embedding()
        connection.execute(
            "INSERT INTO index_embedding VALUES (?, ?, ?, ?)", (number, model, digest, data)
        )
        return number

    def known(self, connection: sqlite3.Connection, texts: Sequence[str]) -> dict[str, Vector]:
        """The stored vectors of texts, from any ledger."""
        model = self.find(connection)
        found: dict[str, Vector] = {}
        for text in texts:
            row = connection.execute(
                "SELECT vector FROM index_embedding WHERE digest = ? AND model = ? "
                "ORDER BY id DESC LIMIT 1",
                (digest_of(text), model),
            ).fetchone()
            if row is not None:
                found[text] = array("f", np.frombuffer(row[0], "<f4"))
        return found

    def are_missing(self, connection: sqlite3.Connection, ledger: LedgerId) -> bool:
        """Whether a document of a ledger has no vector, or the newest has one of another model."""
        row = connection.execute("SELECT id FROM index_ledger WHERE name = ?", (ledger,)).fetchone()
        if row is None:
            return False
        bounds = (first_of(row[0]), last_of(row[0]))
        waiting, model = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM index_document "
            "WHERE pending IS NOT NULL AND id BETWEEN ?1 AND ?2), "
            # The documents of an index have vectors of one model.
            "(SELECT model FROM index_embedding WHERE id = (SELECT embedding FROM index_document "
            "WHERE embedding IS NOT NULL AND id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1))",
            bounds,
        ).fetchone()
        return bool(waiting) or model not in (None, self.find(connection))

    def load(
        self, connection: sqlite3.Connection, numbers: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], Vectors]:
        """Embeddings by number.

        Args:
            connection: to read from.
            numbers: shape (count,), in any order, duplicates allowed. Embeddings of other models
                are skipped.

        Returns:
            The numbers found, ascending, and their vectors.
        """
        model = self.find(connection)
        if model is None or not numbers.size:
            return np.empty(0, np.int64), np.empty((0, self.dimension), np.float32)
        wanted = np.unique(numbers)
        first, last = int(wanted[0]), int(wanted[-1])
        if last - first < 2 * wanted.size:
            rows = connection.execute(
                "SELECT id, vector FROM index_embedding WHERE id BETWEEN ? AND ? AND model = ?",
                (first, last, model),
            ).fetchall()
        else:
            rows = connection.execute(
                "SELECT embedding.id, vector FROM json_each(?) AS wanted "
                "CROSS JOIN index_embedding AS embedding ON embedding.id = wanted.value "
                "WHERE model = ?",
                (json.dumps(wanted.tolist()), model),
            ).fetchall()
        found = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        joined = np.frombuffer(b"".join([row[1] for row in rows]), "<f4")
        return found, joined.reshape(len(rows), self.dimension)


def forget_unused(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Delete those of the given embeddings that no document refers to."""
    connection.executemany(
        "DELETE FROM index_embedding WHERE id = ? "
        "AND NOT EXISTS (SELECT 1 FROM index_document WHERE embedding = index_embedding.id)",
        [(number,) for number in numbers],
    )


def forget_all_unused(connection: sqlite3.Connection, model: int | None) -> None:
    """Delete the embeddings of a model that no document refers to. Those of other models stay: they
    may have been paid for, and are needed again if a rebuild goes back to their model.
    """
    connection.execute(
        "DELETE FROM index_embedding WHERE model = ? AND NOT EXISTS "
        "(SELECT 1 FROM index_document WHERE embedding = index_embedding.id)",
        (model,),
    )


def digest_of(text: str) -> bytes:
    """The lookup key of a text: a digest of 16 bytes."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def unit(vectors: Vectors) -> Vectors:
    """Vectors scaled to length 1; a zero vector is unchanged.

    Args:
        vectors: shape (count, dimension) or (dimension,).
    """
    lengths = _lengths(vectors)
    if lengths is None:
        # In double precision, so that the squares of large components do not overflow.
        wide = vectors.astype(np.float64)
        exact = np.sqrt(np.vecdot(wide, wide))[..., None]
        return (wide / np.where(exact > 0, exact, 1.0)).astype(np.float32)
    scaled: Vectors = vectors / lengths[..., None]
    return scaled


def cosines(vectors: Vectors, asked: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The cosine in [-1, 1] of each of ``vectors`` with ``asked`` (length 1)."""
    lengths = _lengths(vectors)
    if lengths is None:
        return products(unit(vectors), asked)
    similarities: npt.NDArray[np.float32] = products(vectors, asked) / lengths
    return similarities


def products(vectors: Vectors, asked: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The dot product of each of ``vectors`` with ``asked``."""
    # Not "@": BLAS would use several threads, which is slower here, and thirty times slower when
    # another process occupies one of the cores.
    similarities: npt.NDArray[np.float32] = np.vecdot(vectors, asked)
    return similarities


def _lengths(vectors: Vectors) -> npt.NDArray[np.float32] | None:
    """The lengths of vectors, ``None`` if single precision may be too coarse for one of them."""
    with np.errstate(over="ignore", under="ignore"):
        lengths: npt.NDArray[np.float32] = np.sqrt(np.vecdot(vectors, vectors))
    return lengths if ((lengths > _ORDINARY[0]) & (lengths < _ORDINARY[1])).all() else None
