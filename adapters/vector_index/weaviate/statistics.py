"""Statistics of a ledger for BM25, cached until the ledger changes.

The server's own BM25 counts per shard, and a shard holds many owners: a term can be rare in one
memory and common in another, and one owner's texts must not change another's scores. So the
document frequencies are queried per ledger, one query per term, and cached under the ledger's
generation. A writer changes the generation after it has written the documents, before it returns.

The server reads every object that it counts (seen in 1.39.0). So the terms of a small ledger are
read at once and counted here. In a large ledger they are estimated from a sample by the hash of the
keys; the sample is larger for rare terms, and the whole ledger for the rarest.
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
"""Maximum ledgers in the cache."""

SAMPLE = 1024
"""Sample size of a large ledger, in documents; up to twice as many are counted completely."""

PROBE = 1 / 256
"""Share of a ledger that is counted to estimate its size."""

ENOUGH = 64
"""Minimum documents with a term in the sample. The standard error of the frequency is then 1/8,
that of the IDF, a logarithm of 3 to 10, about 0.12."""

GROWTH = 16
"""Factor by which the sample grows if too few of its documents have a term."""

WHOLE = 200
"""Ledgers up to this many documents: all terms are read and cached, not counted one by one."""

WHOLE_TERMS = 10_000
"""Same as ``WHOLE``, in terms, repetitions included: about 70 kB."""

_PAGE = 100
_PLACES = 2**32


@frozen(kw_only=True)
class Extent:
    """Size of a ledger: number of documents, all versions, and mean number of terms by field.
    ``share``, in (0, 1], is the part of the ledger that was counted.
    """

    documents: int
    averages: dict[str, float]
    share: float


@define(kw_only=True)
class Counts:
    """Cached statistics of one ledger, filled on demand. ``texts``: the terms of each document by
    field, joined with spaces, with a space at both ends.
    """

    generation: str
    extent: Extent | None = None
    texts: dict[str, list[str]] | None = None
    holders: dict[tuple[str, str], int] = Factory(dict)
    named: dict[str, bool] = Factory(dict)
    speakers: tuple[str, ...] | None = None


class Statistics:
    """Cache of statistics by ledger (LRU)."""

    def __init__(self) -> None:
        self._ledgers: OrderedDict[LedgerId, Counts] = OrderedDict()

    def forget(self) -> None:
        """Empty the cache."""
        self._ledgers.clear()

    async def of(self, directory: Reader, documents: Reader, ledger: LedgerId) -> LedgerStatistics:
        """Return the statistics of a ledger at its current generation."""
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
    """Statistics of one ledger, queried on demand."""

    def __init__(self, documents: Reader, ledger: LedgerId, counts: Counts) -> None:
        self._documents = documents
        self._ledger = ledger
        self._counts = counts

    async def extent(self) -> Extent:
        """Return the size of the ledger."""
        if self._counts.extent is None:
            expected = await self._count(_drawn(PROBE)) / PROBE
            share = 1.0 if expected <= 2 * SAMPLE else SAMPLE / expected
            self._counts.extent = await self._extent(share)
        return self._counts.extent

    async def holders(self, terms: Sequence[str]) -> dict[tuple[str, str], int]:
        """Return the number of documents with a term, by field and term."""
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
        """Return the names (``normalised``) that are entities of the ledger."""
        known = self._counts.named
        missing = {name for name in names if name not in known}
        if missing:
            found = await self._named(missing)
            known.update({name: name in found for name in missing})
        return frozenset(name for name in names if known[name])

    async def speakers(self) -> tuple[str, ...]:
        """Return the names of all speakers, sorted."""
        if self._counts.speakers is None:
            self._counts.speakers = tuple(sorted(await self._speakers()))
        return self._counts.speakers

    async def _texts(self, extent: Extent) -> dict[str, list[str]] | None:
        """Return the terms of all documents; ``None`` if the ledger is not small."""
        few = extent.documents <= WHOLE
        if (
            self._counts.texts is None
            and few
            and extent.documents * sum(extent.averages.values()) <= WHOLE_TERMS
        ):
            found = await self._page(True, WHOLE + 1, FIELDS)
            # More documents: another process wrote in the meantime. The next generation will
            # invalidate these counts anyway.
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
        """Query page by page; each page looks for the names that are still missing."""
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
    """Return the condition for a share of all documents, by the hash of their keys."""
    return True if share == 1.0 else Within(field="place", most=int(_PLACES * share) - 1)
