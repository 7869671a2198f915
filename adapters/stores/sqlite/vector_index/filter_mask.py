"""The filter of a query, asked about documents by number."""

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
"""The whole ledger is looked through, once, when more than one in so many of it are asked for."""


class FilterMask:
    """Lets through the documents of a ledger for which a filter holds.

    Args:
        connection: to read from; the functions of ``stores.sqlite.filters`` are registered.
        ledger: whose documents.
        where: the filter.
    """

    def __init__(self, connection: sqlite3.Connection, ledger: Ledger, where: Filter) -> None:
        self._connection = connection
        self._ledger = ledger
        self._condition, self._values = to_sql(where, _COLUMNS, "metadata")
        self._all: Numbers | None = None

    def __call__(self, numbers: Numbers) -> Mask:
        """Which of the documents pass."""
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
