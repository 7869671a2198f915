"""What scores are computed from, for each ledger, remembered until the ledger changes.

The server's own BM25 counts over a shard, and a shard holds many owners: what is rare in one
memory may be common in another, and nobody's words may move another's scores. So the counts are
asked for, one a term, and kept together with the generation of the ledger that they were asked
under. A writer changes the generation after its documents, before it returns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from memledger.adapters.vector_index.served.conditions import (
    Condition,
    Marked,
    Within,
    all_of,
    marked,
    not_so,
)
from memledger.adapters.vector_index.served.eligibility import in_ledger
from memledger.adapters.vector_index.served.rows import FIELDS, Row, row_of
from memledger.adapters.vector_index.served.tokens import token
from memledger.adapters.vector_index.served.translation import MARKS
from memledger.adapters.vector_index.weaviate.connection import AbsentTenant, Connection
from memledger.adapters.vector_index.weaviate.rendering import rendered
from memledger.adapters.vector_index.weaviate.rows import ledger_id
from memledger.adapters.vector_index.weaviate.together import together
from memledger.domain.scope import LedgerId

if TYPE_CHECKING:
    from memledger.adapters.vector_index.weaviate.collections import Collection

LEDGERS = 1024
"""Ledgers remembered."""

SAMPLE = 4096
"""Documents whose lengths are averaged; a ledger of more is judged by as many, drawn by hash."""

_PAGE = 100
_PLACES = 2**32


@define(kw_only=True)
class Counts:
    """One ledger's, as far as they were asked for."""

    generation: str
    documents: int | None = None
    averages: dict[str, float] = Factory(dict)
    holders: dict[tuple[str, str], int] = Factory(dict)
    named: dict[str, bool] = Factory(dict)
    speakers: tuple[str, ...] | None = None


class Statistics:
    """Asks, and remembers.

    Args:
        connection: to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ledgers: OrderedDict[LedgerId, Counts] = OrderedDict()

    def forget(self) -> None:
        """Forget everything."""
        self._ledgers.clear()

    async def of(
        self, directory: Collection, documents: Collection, ledger: LedgerId
    ) -> LedgerStatistics:
        """The statistics of a ledger at its present generation."""
        found = await self._connection.ask(
            "reading the directory",
            directory.query.fetch_object_by_id(ledger_id(ledger), return_properties=["generation"]),
        )
        generation = "" if found is None else str(found.properties["generation"])
        counts = self._ledgers.get(ledger)
        if counts is None or counts.generation != generation:
            counts = Counts(generation=generation)
            self._ledgers[ledger] = counts
        self._ledgers.move_to_end(ledger)
        while len(self._ledgers) > LEDGERS:
            self._ledgers.popitem(last=False)
        return LedgerStatistics(self._connection, documents, ledger, counts)


class LedgerStatistics:
    """One ledger's, asked for as they are needed."""

    def __init__(
        self, connection: Connection, documents: Collection, ledger: LedgerId, counts: Counts
    ) -> None:
        self._connection = connection
        self._documents = documents
        self._ledger = ledger
        self._counts = counts

    async def documents(self) -> int:
        """All documents of the ledger, whatever their version."""
        if self._counts.documents is None:
            self._counts.documents = await self._count(True)
        return self._counts.documents

    async def holders(self, terms: Sequence[str]) -> dict[tuple[str, str], int]:
        """How many documents have a term, by field and term."""
        known = self._counts.holders
        missing = [
            (field, term) for field in FIELDS for term in terms if (field, term) not in known
        ]
        found = await together(self._count(Marked(field, (term,))) for field, term in missing)
        known.update(zip(missing, found, strict=True))
        return known

    async def averages(self) -> dict[str, float]:
        """The mean number of terms, by field."""
        if not self._counts.averages:
            self._counts.averages = await self._averages(await self.documents())
        return self._counts.averages

    async def named(self, names: Sequence[str]) -> frozenset[str]:
        """Those of some names, folded, that are entities of the ledger."""
        known = self._counts.named
        missing = {name for name in names if name not in known}
        if missing:
            found = await self._named(missing)
            known.update({name: name in found for name in missing})
        return frozenset(name for name in names if known[name])

    async def speakers(self) -> tuple[str, ...]:
        """All who speak, in order."""
        if self._counts.speakers is None:
            self._counts.speakers = tuple(sorted(await self._speakers()))
        return self._counts.speakers

    async def _speakers(self) -> set[str]:
        found = set[str]()
        while True:
            known = marked(MARKS, [token("speaker", name) for name in found])
            rows = await self._page(all_of([marked(MARKS, [token("speaks")]), not_so(known)]))
            found.update(row.speaker for row in rows if row.speaker is not None)
            if len(rows) < _PAGE:
                return found

    async def _named(self, names: set[str]) -> set[str]:
        """A page at a time, each looking for those that the pages before did not show."""
        found = set[str]()
        while rest := names - found:
            rows = await self._page(marked(MARKS, [token("name", name) for name in rest]))
            found |= rest.intersection(name for row in rows for name in row.names)
            if len(rows) < _PAGE:
                break
        return found

    async def _page(self, condition: Condition) -> list[Row]:
        try:
            page = await self._connection.ask(
                "listing documents",
                self._documents.query.fetch_objects(
                    filters=rendered(all_of([in_ledger(self._ledger), condition])),
                    limit=_PAGE,
                    return_properties=["row"],
                ),
            )
        except AbsentTenant:
            return []
        return [row_of(each.properties) for each in page.objects]

    async def _count(self, condition: Condition) -> int:
        try:
            found = await self._connection.ask(
                "counting documents",
                self._documents.aggregate.over_all(
                    filters=rendered(all_of([in_ledger(self._ledger), condition])), total_count=True
                ),
            )
        except AbsentTenant:
            return 0
        return found.total_count or 0

    async def _averages(self, documents: int) -> dict[str, float]:
        from weaviate.classes.aggregate import Metrics

        sample: Condition = True
        if documents > SAMPLE:
            bound = _PLACES * SAMPLE // documents
            sample = Within(field="place", most=bound - 1)
        try:
            found: Any = await self._connection.ask(
                "averaging lengths",
                self._documents.aggregate.over_all(
                    filters=rendered(all_of([in_ledger(self._ledger), sample])),
                    total_count=True,
                    return_metrics=[
                        Metrics(f"{field}_length").integer(sum_=True) for field in FIELDS
                    ],
                ),
            )
        except AbsentTenant:
            return dict.fromkeys(FIELDS, 0.0)
        drawn = max(1, found.total_count or 0)
        return {
            field: float(found.properties[f"{field}_length"].sum_ or 0) / drawn for field in FIELDS
        }
