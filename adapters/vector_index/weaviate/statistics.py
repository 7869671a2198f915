"""What scores are computed from, for each ledger, remembered until the ledger changes.

The server's own BM25 counts over a shard, and a shard holds many owners: what is rare in one
memory may be common in another, and nobody's words may move another's scores. So the counts are
asked for, one a term, and kept together with the generation of the ledger that they were asked
under. A writer changes the generation after its documents, before it returns.

The server reads every object that it counts (seen in 1.39.0). So of a small ledger all terms are
read at once, and counted here; a large one is judged by a sample that is drawn by the hash of its
keys, larger for terms that are rare, and whole for the rarest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from attrs import Factory, define, frozen

from remembrancer.adapters.vector_index.remote.conditions import (
    Condition,
    Marked,
    Within,
    all_of,
    marked,
    not_so,
)
from remembrancer.adapters.vector_index.remote.prefilter import in_ledger
from remembrancer.adapters.vector_index.remote.rows import FIELDS, Row, row_of
from remembrancer.adapters.vector_index.remote.tokens import token
from remembrancer.adapters.vector_index.remote.translation import MARKS
from remembrancer.adapters.vector_index.weaviate.connection import AbsentTenant
from remembrancer.adapters.vector_index.weaviate.gather import together
from remembrancer.adapters.vector_index.weaviate.reading import Reader
from remembrancer.adapters.vector_index.weaviate.rendering import rendered, with_ids
from remembrancer.adapters.vector_index.weaviate.rows import ledger_id
from remembrancer.domain.scope import LedgerId

LEDGERS = 1024
"""Ledgers remembered."""

SAMPLE = 1024
"""Documents that a large ledger is judged by; one of up to twice as many is counted whole."""

PROBE = 1 / 256
"""Of a ledger, what is counted to learn how large it is."""

ENOUGH = 64
"""Documents with a term that its share is judged by: it is off by an eighth then (one standard
deviation), and the rarity, which is a logarithm, by 0.12 of 3 to 10."""

GROWTH = 16
"""Times as large a sample, where too few have a term."""

WHOLE = 200
"""Documents up to which the terms of a ledger are read and kept, rather than counted one by one."""

WHOLE_TERMS = 10_000
"""Terms up to which they are, repetitions included: some 70 kB."""

_PAGE = 100
_PLACES = 2**32


@frozen(kw_only=True)
class Extent:
    """How large a ledger is: its documents, whatever their version, and the mean number of terms by
    field. ``share`` is the part of it that this was judged by.
    """

    documents: int
    averages: dict[str, float]
    share: float


@define(kw_only=True)
class Counts:
    """One ledger's, as far as they were asked for. ``texts`` are the terms of all documents, by
    field, each with a space on either side.
    """

    generation: str
    extent: Extent | None = None
    texts: dict[str, list[str]] | None = None
    holders: dict[tuple[str, str], int] = Factory(dict)
    named: dict[str, bool] = Factory(dict)
    speakers: tuple[str, ...] | None = None


class Statistics:
    """Asks, and remembers."""

    def __init__(self) -> None:
        self._ledgers: OrderedDict[LedgerId, Counts] = OrderedDict()

    def forget(self) -> None:
        """Forget everything."""
        self._ledgers.clear()

    async def of(self, directory: Reader, documents: Reader, ledger: LedgerId) -> LedgerStatistics:
        """The statistics of a ledger at its present generation."""
        found = await directory.listed(
            "reading the directory", with_ids([ledger_id(ledger)]), 1, ["generation"]
        )
        generation = found[0].texts["generation"] if found else ""
        counts = self._ledgers.get(ledger)
        if counts is None or counts.generation != generation:
            counts = Counts(generation=generation)
            self._ledgers[ledger] = counts
        self._ledgers.move_to_end(ledger)
        while len(self._ledgers) > LEDGERS:
            self._ledgers.popitem(last=False)
        return LedgerStatistics(documents, ledger, counts)


class LedgerStatistics:
    """One ledger's, asked for as they are needed."""

    def __init__(self, documents: Reader, ledger: LedgerId, counts: Counts) -> None:
        self._documents = documents
        self._ledger = ledger
        self._counts = counts

    async def extent(self) -> Extent:
        """How large the ledger is."""
        if self._counts.extent is None:
            expected = await self._count(_drawn(PROBE)) / PROBE
            share = 1.0 if expected <= 2 * SAMPLE else SAMPLE / expected
            self._counts.extent = await self._extent(share)
        return self._counts.extent

    async def holders(self, terms: Sequence[str]) -> dict[tuple[str, str], int]:
        """How many documents have a term, by field and term."""
        known = self._counts.holders
        missing = [
            (field, term) for field in FIELDS for term in terms if (field, term) not in known
        ]
        if missing:
            extent = await self.extent()
            texts = await self._texts(extent)
            if texts is not None:
                for field, term in missing:
                    known[field, term] = sum(f" {term} " in text for text in texts[field])
            else:
                found = await together(
                    self._holders(field, term, extent.share) for field, term in missing
                )
                known.update(zip(missing, found, strict=True))
        return known

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

    async def _texts(self, extent: Extent) -> dict[str, list[str]] | None:
        """The terms of all documents, where they are few."""
        few = extent.documents <= WHOLE
        if (
            self._counts.texts is None
            and few
            and extent.documents * sum(extent.averages.values()) <= WHOLE_TERMS
        ):
            found = await self._page(True, WHOLE + 1, FIELDS)
            # Others may write meanwhile; then what is counted here is void anyway.
            if len(found) <= WHOLE:
                self._counts.texts = {
                    field: [f" {each[field]} " for each in found] for field in FIELDS
                }
        return self._counts.texts

    async def _holders(self, field: str, term: str, share: float) -> int:
        while True:
            found = await self._count(all_of([Marked(field, (term,)), _drawn(share)]))
            if share == 1.0 or found >= ENOUGH:
                return round(found / share)
            share = min(1.0, share * GROWTH)

    async def _speakers(self) -> set[str]:
        found = set[str]()
        while True:
            known = marked(MARKS, [token("speaker", name) for name in found])
            rows = await self._rows(all_of([marked(MARKS, [token("speaks")]), not_so(known)]))
            found.update(row.speaker for row in rows if row.speaker is not None)
            if len(rows) < _PAGE:
                return found

    async def _named(self, names: set[str]) -> set[str]:
        """A page at a time, each looking for those that the pages before did not show."""
        found = set[str]()
        while rest := names - found:
            rows = await self._rows(marked(MARKS, [token("name", name) for name in rest]))
            found |= rest.intersection(name for row in rows for name in row.names)
            if len(rows) < _PAGE:
                break
        return found

    async def _rows(self, condition: Condition) -> list[Row]:
        return [row_of(each) for each in await self._page(condition, _PAGE, ["row"])]

    async def _page(
        self, condition: Condition, size: int, properties: Sequence[str]
    ) -> list[dict[str, str]]:
        within = rendered(all_of([in_ledger(self._ledger), condition]))
        try:
            found = await self._documents.listed("listing documents", within, size, properties)
        except AbsentTenant:
            return []
        return [each.texts for each in found]

    async def _count(self, condition: Condition) -> int:
        within = rendered(all_of([in_ledger(self._ledger), condition]))
        try:
            return await self._documents.count("counting documents", within)
        except AbsentTenant:
            return 0

    async def _extent(self, share: float) -> Extent:
        lengths = [f"{field}_length" for field in FIELDS]
        within = rendered(all_of([in_ledger(self._ledger), _drawn(share)]))
        try:
            drawn, sums = await self._documents.sums("averaging lengths", within, lengths)
        except AbsentTenant:
            drawn, sums = 0, dict.fromkeys(lengths, 0)
        return Extent(
            documents=round(drawn / share),
            averages={field: sums[f"{field}_length"] / max(1, drawn) for field in FIELDS},
            share=share,
        )


def _drawn(share: float) -> Condition:
    """A share of all documents, by the hash of their keys."""
    return True if share == 1.0 else Within(field="place", most=int(_PLACES * share) - 1)
