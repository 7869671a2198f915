"""Compare the rows of one ledger with its fold: the part that SQLite and PostgreSQL have in common.

The rows that must be there are made with the builders that write them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from remembrancer.adapters.stores.shared import usage_scripts
from remembrancer.adapters.stores.shared.fact_scripts import MESSAGE, FactScripts, message_row
from remembrancer.adapters.stores.shared.graph_scripts import GraphScripts
from remembrancer.adapters.stores.shared.scripts import Row
from remembrancer.domain.audit.chain import EventRow, StoredLedger
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, Findings, shown
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.recorded import GENESIS, requests_hash
from remembrancer.domain.text import normalised

REQUEST = Table(name="request", projection=LOG, help=RESTORE)
PIPELINE = Table(name="pipeline", projection="facts")
EVIDENCE = Table(name="evidence", projection="facts")
USAGE = Table(name="usage", projection="usage", columns=usage_scripts.COLUMNS)
NAME = Table(name="graph_name", projection="graph", columns=("name",))
MENTIONED = Table(name="graph_mention", projection="graph")


@define
class Appends:
    """The appends of a ledger: the events of each have one time.

    ``ends`` maps the places of the first event of the wanted ones to the versions of their first
    and last event, and to the place of the last. A place is a position, or a version.
    """

    wanted: set[int] = field(factory=set)
    ends: dict[int, tuple[int, int, int]] = field(factory=dict)
    _first: tuple[int, int, object] = (0, 0, None)
    _last: tuple[int, int] = (0, 0)

    def feed(self, page: Iterable[EventRow]) -> None:
        """Note the next events."""
        if not self.wanted:
            return
        for row in page:
            place, version, recorded_at = row[0], row[1], row[3]
            if recorded_at != self._first[2]:
                self.close()
                self._first = (place, version, recorded_at)
            self._last = (place, version)

    def close(self) -> None:
        """Note the end of the last append."""
        place, version, _ = self._first
        if place in self.wanted:
            self.ends[place] = (version, self._last[1], self._last[0])


def check_requests(
    ledger: StoredLedger, requests: Sequence[Row], appends: Appends, findings: Findings
) -> None:
    """Each keyed request is one append, and all of them have the hash of the ledger's row.

    Args:
        ledger: the row of the ledger.
        requests: rows of key, first and last place, in order of the first.
        appends: the appends that begin at these places.
        findings: gets the faults.
    """
    comparison = Comparison(findings, ledger.name)
    chained = GENESIS
    for key, first, last in requests:
        begun = appends.ends.get(first)
        if begun is None:
            comparison.value(REQUEST, key, "first", "the first event of an append", first)
            continue
        if begun[2] != last:
            comparison.value(REQUEST, key, "last", begun[2], last)
        chained = requests_hash(chained, key, begun[0], begun[1])
    if chained != ledger.requests:
        findings.fault(
            Fault(
                kind=FaultKind.REQUEST_DIFFERS,
                projection=LOG,
                table="request",
                key=f"the {len(requests)} keys of the ledger",
                column="key",
                ledger=ledger.name,
                expected=f"the hash {shown(ledger.requests)} in ledger.requests",
                found=shown(chained),
                help=RESTORE,
            )
        )


@frozen(kw_only=True)
class LedgerRows:
    """Compares the rows of one ledger.

    Args:
        ledger: its number.
        fold: what the rows must say.
        comparison: reports what differs.
        facts: builds the rows of facts.
        graph: builds the rows of links.
    """

    ledger: int
    fold: LedgerFold
    comparison: Comparison
    facts: FactScripts
    graph: GraphScripts

    def fact(self, rows: Iterable[Row]) -> tuple[list[FactKey], list[Any]]:
        """Compare the versions of facts, in any order.

        Returns:
            The keys of those that are missing, and those that are surplus; see ``lost``.
        """
        table = self._fact_table
        row_of, versions = self.facts.row, self.fold.state.facts
        held: dict[str, int] = {}
        surplus: list[tuple[Any, ...]] = []
        for found in rows:
            fact_id, version = found[:2]
            expected = versions.get(fact_id, ())
            if isinstance(version, int) and 0 < version <= len(expected):
                # One bit for each version.
                held[fact_id] = held.get(fact_id, 0) | 1 << version
                wanted = row_of(self.ledger, expected[version - 1])
                self.comparison.row(table, (fact_id, version), wanted, found)
            else:
                surplus.append((fact_id, version))
        missing = [
            fact.key
            for fact_id, each in versions.items()
            if held.get(fact_id, 0).bit_count() != len(each)
            for fact in each
            if not held.get(fact_id, 0) >> fact.version & 1
        ]
        self._checked("facts", len(versions))
        self._checked("versions", sum(map(len, versions.values())))
        return missing, surplus

    @property
    def _fact_table(self) -> Table:
        return Table(name="fact", projection="facts", columns=self.facts.columns)

    def lost(
        self, missing: Iterable[FactKey], surplus: Iterable[Any], owners: Mapping[FactKey, int]
    ) -> None:
        """Report versions that are missing or surplus.

        Args:
            missing: the keys of those that are missing.
            surplus: the keys of those that are surplus.
            owners: the numbers of the ledgers that have those that are missing.
        """
        for key in missing:
            if key in owners:
                self.comparison.value(self._fact_table, key, "ledger_id", self.ledger, owners[key])
            else:
                self.comparison.missing(self._fact_table, key)
        for key in surplus:
            self.comparison.surplus(self._fact_table, key)

    def message(self, place: str, rows: Iterable[Row]) -> None:
        """Compare messages; ``place`` is the name of their first column."""
        table = Table(name="message", projection="facts", columns=(place, *MESSAGE))
        expected = {
            each.position: message_row(
                each.position, self.ledger, each.message, pending=each.pending
            )
            for each in self.fold.messages.values()
        }
        self.comparison.keyed(table, expected, ((row[0], row) for row in rows))
        self._checked("messages", len(expected))

    def pipeline(self, digests: Iterable[str]) -> None:
        """Compare the digests of pipelines."""
        self.comparison.listed(PIPELINE, self.fold.pipelines, list(digests))

    def evidence(self, rows: Iterable[Row]) -> None:
        """Compare the evidence of the messages that facts cite."""
        self.comparison.listed(EVIDENCE, self.fold.evidence, list(map(tuple, rows)))
        self._checked("evidence", len(self.fold.evidence))

    def usage(self, rows: Iterable[Row]) -> None:
        """Compare the totals of model usage."""
        stored = self.graph.texts.stored
        expected = {
            (stored(purpose), stored(model)): usage_scripts.row_of(
                self.ledger, purpose, model, usage, self.graph.texts
            )
            for (purpose, model), usage in self.fold.usage.items()
        }
        self.comparison.keyed(USAGE, expected, ((tuple(row[1:3]), row) for row in rows))

    def name(self, rows: Iterable[Row]) -> Mapping[str, int]:
        """Compare names; rows of folded name, name and number. Returns the numbers."""
        stored, held = self.graph.texts.stored, list(rows)
        expected = {
            stored(folded): (stored(name),) for folded, name in self.fold.links.spelled.items()
        }
        self.comparison.keyed(NAME, expected, ((folded, (name,)) for folded, name, _ in held))
        self._checked("names", len(expected))
        return {folded: number for folded, _, number in held}

    def node(self, numbers: Mapping[str, int]) -> Callable[[str], int | None]:
        """A function that returns the number of a name, ``None`` if it is missing."""
        return _NodeOf(numbers, self.graph.texts.stored)

    def relation(self, rows: Iterable[Row], node: Callable[[str], int | None]) -> None:
        """Compare relations, in order of their numbers."""
        columns = self.graph.relation_columns.split(", ")
        table = Table(name="graph_relation", projection="graph", columns=columns)
        expected = {
            (key, number): self.graph.relation_row(self.ledger, link, node)
            for key, versions in self.fold.relations().items()
            for number, link in enumerate(versions, 1)
        }
        place = columns.index("relation_id")
        self.comparison.keyed(table, expected, _numbered(rows, place))
        self._checked("links", len(expected))

    def mention(self, rows: Iterable[Row], node: Callable[[str], int | None]) -> set[Row]:
        """Compare the facts in the graph, in order of their numbers.

        Returns:
            The rows of ``graph_mention`` that they need.
        """
        mentions, columns = self.fold.mentions(), self.graph.mention_columns.split(", ")
        table = Table(name="graph_fact", projection="graph", columns=columns)
        needed: set[Row] = set()
        seen: set[tuple[Any, int]] = set()
        for key, found in _numbered(rows, columns.index("fact_id")):
            versions = mentions.get(key[0], ())
            seen.add(key)
            if key[1] > len(versions):
                self.comparison.surplus(table, key)
                continue
            link = versions[key[1] - 1]
            # The number of a row is the store's own.
            wanted = self.graph.mention_row(found[0], self.ledger, link, node)
            self.comparison.row(table, key, wanted, found)
            needed.update(map(tuple, self.graph.mentioned_rows(found[0], link, node)))
        for fact_id, versions in mentions.items():
            for number in range(1, len(versions) + 1):
                if (fact_id, number) not in seen:
                    self.comparison.missing(table, (fact_id, number))
        self._checked("links", sum(map(len, mentions.values())))
        return needed

    def mentioned(self, needed: set[Row], rows: Iterable[Row]) -> None:
        """Compare which fact names which entity."""
        self.comparison.listed(MENTIONED, needed, list(map(tuple, rows)))

    def _checked(self, what: str, count: int) -> None:
        self.comparison.findings.checked[what] += count


def _numbered(rows: Iterable[Row], place: int) -> Iterator[tuple[tuple[Any, int], Row]]:
    """Rows in order, each with a key: a column, and how many rows it was in so far."""
    counts: dict[Any, int] = {}
    for row in rows:
        number = counts[row[place]] = counts.get(row[place], 0) + 1
        yield (row[place], number), row


class _NodeOf:
    """The number of a name. Names are folded once."""

    def __init__(self, numbers: Mapping[str, int], stored: Callable[[str], str]) -> None:
        self._numbers = numbers
        self._stored = stored
        self._known: dict[str, int | None] = {}

    def __call__(self, name: str) -> int | None:
        if name not in self._known:
            self._known[name] = self._numbers.get(self._stored(normalised(name)))
        return self._known[name]
