"""Evaluate the filter of a query for documents by number."""

from __future__ import annotations

import json
import sqlite3

import numpy as np

from remembrancer.adapters.stores.sqlite.filters import to_sql
from remembrancer.adapters.stores.sqlite.vector_index.block import Mask, Numbers
from remembrancer.adapters.stores.sqlite.vector_index.ledgers import Ledger
from remembrancer.adapters.stores.sqlite.vector_index.schema import first_of, last_of
from remembrancer.domain.filters.ast import BUILT_IN_FIELDS, Filter

_COLUMNS = {name: f"json_extract(attributes, '$.{name}')" for name in BUILT_IN_FIELDS}

WHOLESALE = 8
"""If more than 1/8 of a ledger's documents are tested, the filter runs once on the whole ledger."""


class FilterMask:
    """Maps document numbers to a mask of those that a filter matches.

    Args:
        connection: to read from; ``stores.sqlite.filters.register_functions`` was called on it.
        ledger: the ledger of the documents.
        where: the filter.
    """

    def __init__(self, connection: sqlite3.Connection, ledger: Ledger, where: Filter) -> None:
        self._connection = connection
        self._ledger = ledger
        self._condition, self._values = to_sql(where, _COLUMNS, "metadata")
        self._all: Numbers | None = None

    def __call__(self, numbers: Numbers) -> Mask:
        """The mask of the documents that pass."""
        if self._all is None and WHOLESALE * numbers.size > self._ledger.documents:
            self._all = self._passing(
                "id BETWEEN ? AND ?", (first_of(self._ledger.id), last_of(self._ledger.id))
            )
        passing = self._all
        if passing is None:
            wanted = json.dumps(numbers.tolist())
            passing = self._passing("id IN (SELECT value FROM json_each(?))", (wanted,))
        return np.isin(numbers, passing)

    def _passing(self, which: str, parameters: tuple[object, ...]) -> Numbers:
        rows = self._connection.execute(
            f"SELECT id FROM index_document WHERE {which} AND {self._condition}",
            (*parameters, *self._values),
        ).fetchall()
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))
