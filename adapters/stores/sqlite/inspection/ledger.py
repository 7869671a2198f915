"""Check one ledger: its events, and the rows that its events lead to.

The log is folded once; the rows that must be there are made with the builders that write them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import msgspec
from attrs import define, field, frozen

from remembrancer.adapters.stores.shared import usage_scripts
from remembrancer.adapters.stores.shared.escaping import NO_ESCAPING
from remembrancer.adapters.stores.shared.event_rows import decoded
from remembrancer.adapters.stores.shared.fact_scripts import COLUMNS as FACT_COLUMNS
from remembrancer.adapters.stores.shared.fact_scripts import MESSAGE, message_row
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactScripts
from remembrancer.adapters.stores.sqlite.inspection.sections import Sections
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteGraphScripts
from remembrancer.domain.audit.chain import EVENT, ChainCheck, EventRow, StoredLedger
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, Findings, shown
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.errors import Erased, IntegrityError, InvalidRequest
from remembrancer.domain.events import EVENT_TYPES, FactErased, LedgerErased
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.recorded import GENESIS, requests_hash
from remembrancer.domain.text import normalised

PAGE = 500
"""Events that are decoded together."""

KEYS = 5_000
"""Keys that one statement looks up."""

_EVENTS = f"SELECT {', '.join(EVENT)} FROM event WHERE ledger_id = ? ORDER BY version"

_ERASURES = (FactErased.type_name, LedgerErased.type_name)
_TYPES = {event_type.type_name for event_type in EVENT_TYPES}

REQUEST = Table(name="request", projection=LOG, help=RESTORE)
FACT = Table(name="fact", projection="facts", columns=FACT_COLUMNS)
MESSAGES = Table(name="message", projection="facts", columns=("position", *MESSAGE))
PIPELINE = Table(name="pipeline", projection="facts")
EVIDENCE = Table(name="evidence", projection="facts")
USAGE = Table(name="usage", projection="usage", columns=usage_scripts.COLUMNS)
NAME = Table(name="graph_name", projection="graph", columns=("name",))
MENTIONED = Table(name="graph_mention", projection="graph")


def events_of(connection: sqlite3.Connection, ledger: StoredLedger) -> Iterator[list[EventRow]]:
    """The events of a ledger, page by page."""
    rows = connection.execute(_EVENTS, (ledger.id,))
    while page := rows.fetchmany(PAGE):
        yield page


@define
class _Runs:
    """The appends of a ledger: each has one time. ``ends`` maps the first position of each to the
    versions of its first and last event and its last position.
    """

    ends: dict[int, tuple[int, int, int]] = field(factory=dict)
    wanted: set[int] = field(factory=set)
    first: tuple[int, int, object] = (0, 0, None)
    last: tuple[int, int] = (0, 0)

    def feed(self, page: Iterable[EventRow]) -> None:
        for row in page:
            position, version, recorded_at = row[0], row[1], row[3]
            if recorded_at != self.first[2]:
                self.close()
                self.first = (position, version, recorded_at)
            self.last = (position, version)

    def close(self) -> None:
        position, version, _ = self.first
        if position in self.wanted:
            self.ends[position] = (version, self.last[1], self.last[0])


@frozen(kw_only=True)
class LedgerInspection:
    """Checks the rows of one ledger, in one view of the file.

    Args:
        connection: in a read transaction.
        path: of the file, for errors.
        codec: decodes the events.
        findings: gets the faults.
    """

    connection: sqlite3.Connection
    path: str
    codec: Codec
    findings: Findings

    def chain(self, ledger: StoredLedger) -> None:
        """Check the log alone: of its events, only erasures are decoded."""
        erasures: list[EventRow] = []

        def collect(page: Sequence[EventRow]) -> None:
            erasures.extend(row for row in page if row[7] in _ERASURES)

        def erased() -> list[tuple[int, Any]]:
            return [(item.version, item.event) for item in self._decoded(ledger, erasures)]

        self._log(ledger, collect, erased)

    def models(self, ledger: StoredLedger) -> LedgerFold | None:
        """Check the log, and every read model except the index.

        Returns:
            The fold, for the check of the index; ``None`` if it can't be made.
        """
        fold = LedgerFold(ledger.name, self.findings)
        readable = [True]

        def apply(page: Sequence[EventRow]) -> None:
            if readable[0]:
                readable[0] = self._apply(ledger, fold, page)

        if not self._log(ledger, apply, lambda: fold.erasures) or not readable[0]:
            self.findings.skip(f"the read models of {ledger.name}", "an event of it can't be read")
            return None
        self._facts(ledger, fold)
        self._graph(ledger, fold)
        return fold

    def _sections(self, ledger: StoredLedger) -> Sections:
        return Sections(self.connection, self.path, self.findings, ledger.name)

    # The log

    def _log(
        self,
        ledger: StoredLedger,
        apply: Callable[[Sequence[EventRow]], None],
        erasures: Callable[[], Iterable[tuple[int, Any]]],
    ) -> bool:
        check = ChainCheck(ledger, self.findings)
        sections = self._sections(ledger)
        requests: list[tuple[Any, Any, Any]] = []
        runs = _Runs()

        def keyed() -> None:
            requests[:] = self.connection.execute(
                "SELECT key, first, last FROM request WHERE ledger_id = ? ORDER BY first, key",
                (ledger.id,),
            )
            runs.wanted = {first for _, first, _ in requests}

        def events() -> None:
            for page in events_of(self.connection, ledger):
                check.feed(page)
                if runs.wanted:
                    runs.feed(page)
                apply(page)
                self.findings.checked["events"] += len(page)
            runs.close()
            check.finish(erasures())

        read = sections.run("request", LOG, keyed)
        whole = sections.run("event", LOG, events)
        self.findings.checked["ledgers"] += 1
        if read and whole:
            sections.run("request", LOG, lambda: self._requests(ledger, requests, runs))
        return whole

    def _requests(
        self, ledger: StoredLedger, requests: Sequence[tuple[Any, Any, Any]], runs: _Runs
    ) -> None:
        """Each keyed request is one append, and all of them have the hash of the ledger's row."""
        comparison = Comparison(self.findings, ledger.name)
        chained = GENESIS
        for key, first, last in requests:
            begun = runs.ends.get(first)
            if begun is None:
                comparison.value(REQUEST, key, "first", "the first event of an append", first)
                continue
            if begun[2] != last:
                comparison.value(REQUEST, key, "last", begun[2], last)
            chained = requests_hash(chained, key, begun[0], begun[1])
        if chained != ledger.requests:
            self.findings.fault(
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

    def _apply(self, ledger: StoredLedger, fold: LedgerFold, page: Sequence[EventRow]) -> bool:
        """Fold a page; returns whether every event could be decoded."""
        stored = [row for row in page if row[9] is not None]
        try:
            fold.apply(self._decoded(ledger, stored))
        except IntegrityError:
            for row in stored:
                try:
                    self._decoded(ledger, [row])
                except IntegrityError as error:
                    self._undecoded(ledger, row, error)
            return False
        except (Erased, InvalidRequest) as error:
            # The key is missing. The chain is checked over the encrypted bytes.
            self.findings.skip(f"the contents of {ledger.name}", str(error))
            return False
        return True

    def _decoded(self, ledger: StoredLedger, rows: Sequence[EventRow]) -> Any:
        named = [(row[0], ledger.name, ledger.handle, *row[1:]) for row in rows]
        return decoded(named, self.codec, bytes.hex)

    def _undecoded(self, ledger: StoredLedger, row: EventRow, error: IntegrityError) -> None:
        known = row[7] in _TYPES
        self.findings.fault(
            Fault(
                kind=FaultKind.UNREADABLE if known else FaultKind.UNKNOWN_TYPE,
                projection=LOG,
                table="event",
                key=f"version {row[1]}",
                column="payload" if known else "type",
                ledger=ledger.name,
                version=row[1] if isinstance(row[1], int) else None,
                position=row[0],
                found=str(error)[:300],
                help=RESTORE,
            )
        )

    # The read models

    def _facts(self, ledger: StoredLedger, fold: LedgerFold) -> None:
        comparison, run = Comparison(self.findings, ledger.name), self._sections(ledger).run
        run("fact", "facts", partial(self._fact, ledger, fold, comparison))
        run("message", "facts", partial(self._message, ledger, fold, comparison))
        run("pipeline", "facts", partial(self._pipeline, ledger, fold, comparison))
        run("evidence", "facts", partial(self._evidence, fold, comparison))
        run("usage", "usage", partial(self._usage, ledger, fold, comparison))

    def _fact(self, ledger: StoredLedger, fold: LedgerFold, comparison: Comparison) -> None:
        row_of, versions = SqliteFactScripts(self.codec).row, fold.state.facts
        held: dict[str, int] = {}
        surplus: list[tuple[Any, ...]] = []
        rows = self.connection.execute(
            f"SELECT {', '.join(FACT_COLUMNS)} FROM fact WHERE ledger_id = ? ORDER BY id",
            (ledger.id,),
        )
        for found in rows:
            fact_id, version = found[:2]
            expected = versions.get(fact_id, ())
            if isinstance(version, int) and 0 < version <= len(expected):
                # One bit for each version.
                held[fact_id] = held.get(fact_id, 0) | 1 << version
                comparison.row(FACT, found[:2], row_of(ledger.id, expected[version - 1]), found)
            else:
                surplus.append(found[:2])
        for fact_id, each in versions.items():
            if held.get(fact_id, 0).bit_count() != len(each):
                for fact in each:
                    if not held.get(fact_id, 0) >> fact.version & 1:
                        self._lost(ledger, comparison, fact.key)
        for key in surplus:
            comparison.surplus(FACT, key)
        self.findings.checked["facts"] += len(versions)
        self.findings.checked["versions"] += sum(map(len, versions.values()))

    def _lost(self, ledger: StoredLedger, comparison: Comparison, key: tuple[str, int]) -> None:
        moved = self.connection.execute(
            "SELECT ledger_id FROM fact WHERE fact_id = ? AND version = ?", key
        ).fetchone()
        if moved is not None and moved[0] != ledger.id:
            comparison.value(FACT, key, "ledger_id", ledger.id, moved[0])
        else:
            comparison.missing(FACT, key)

    def _message(self, ledger: StoredLedger, fold: LedgerFold, comparison: Comparison) -> None:
        expected = {
            each.position: message_row(each.position, ledger.id, each.message, pending=each.pending)
            for each in fold.messages.values()
        }
        rows = self.connection.execute(
            f"SELECT position, {', '.join(MESSAGE)} FROM message WHERE ledger_id = ?", (ledger.id,)
        )
        comparison.keyed(MESSAGES, expected, ((row[0], row) for row in rows))
        self.findings.checked["messages"] += len(expected)

    def _pipeline(self, ledger: StoredLedger, fold: LedgerFold, comparison: Comparison) -> None:
        rows = self.connection.execute(
            "SELECT digest FROM pipeline WHERE ledger_id = ?", (ledger.id,)
        )
        comparison.listed(PIPELINE, fold.pipelines, [digest for (digest,) in rows])

    def _evidence(self, fold: LedgerFold, comparison: Comparison) -> None:
        messages = iter({message_id for message_id, _ in fold.evidence})
        found: list[Any] = []
        while keys := list(islice(messages, KEYS)):
            found += self.connection.execute(
                "SELECT message_id, fact_id FROM json_each(?) AS wanted "
                "CROSS JOIN evidence ON message_id = wanted.value",
                (msgspec.json.encode(keys).decode(),),
            )
        comparison.listed(EVIDENCE, fold.evidence, found)
        self.findings.checked["evidence"] += len(fold.evidence)

    def _usage(self, ledger: StoredLedger, fold: LedgerFold, comparison: Comparison) -> None:
        expected = {
            key: usage_scripts.row_of(ledger.id, *key, usage, NO_ESCAPING)
            for key, usage in fold.usage.items()
        }
        rows = self.connection.execute(
            f"SELECT {', '.join(usage_scripts.COLUMNS)} FROM usage WHERE ledger_id = ?",
            (ledger.id,),
        )
        comparison.keyed(USAGE, expected, ((row[1:3], row) for row in rows))

    def _graph(self, ledger: StoredLedger, fold: LedgerFold) -> None:
        comparison, run = Comparison(self.findings, ledger.name), self._sections(ledger).run
        nodes: dict[str, int] = {}
        mentioned: set[tuple[Any, ...]] = set()
        run("graph_name", "graph", lambda: nodes.update(self._names(ledger, fold, comparison)))
        node = _NodeOf(nodes)
        run(
            "graph_relation",
            "graph",
            lambda: self._relations(ledger, fold, comparison, node),
        )
        run(
            "graph_fact",
            "graph",
            lambda: mentioned.update(self._mentions(ledger, fold, comparison, node)),
        )
        run("graph_mention", "graph", lambda: self._mentioned(ledger, comparison, mentioned))

    def _names(
        self, ledger: StoredLedger, fold: LedgerFold, comparison: Comparison
    ) -> dict[str, int]:
        rows = self.connection.execute(
            "SELECT folded, name, id FROM graph_name WHERE ledger = ?", (ledger.id,)
        ).fetchall()
        expected = {folded: (name,) for folded, name in fold.links.spelled.items()}
        comparison.keyed(NAME, expected, ((folded, (name,)) for folded, name, _ in rows))
        self.findings.checked["names"] += len(expected)
        return {folded: number for folded, _, number in rows}

    def _relations(
        self,
        ledger: StoredLedger,
        fold: LedgerFold,
        comparison: Comparison,
        node: Callable[[str], int | None],
    ) -> None:
        scripts = _GRAPH
        columns = scripts.relation_columns
        table = Table(name="graph_relation", projection="graph", columns=columns.split(", "))
        expected = {
            (key, number): scripts.relation_row(ledger.id, link, node)
            for key, versions in fold.relations().items()
            for number, link in enumerate(versions, 1)
        }
        place = table.columns.index("relation_id")
        rows = self.connection.execute(
            f"SELECT {columns} FROM graph_relation WHERE ledger = ? ORDER BY id", (ledger.id,)
        )
        comparison.keyed(table, expected, _numbered(rows, place))
        self.findings.checked["links"] += len(expected)

    def _mentions(
        self,
        ledger: StoredLedger,
        fold: LedgerFold,
        comparison: Comparison,
        node: Callable[[str], int | None],
    ) -> set[tuple[Any, ...]]:
        """Compares the facts in the graph; returns the rows of ``graph_mention`` that they need."""
        scripts, mentions = _GRAPH, fold.mentions()
        columns = scripts.mention_columns
        table = Table(name="graph_fact", projection="graph", columns=columns.split(", "))
        needed: set[tuple[Any, ...]] = set()
        place = table.columns.index("fact_id")
        rows = self.connection.execute(
            f"SELECT {columns} FROM graph_fact WHERE ledger = ? ORDER BY id", (ledger.id,)
        )
        seen: set[tuple[Any, int]] = set()
        for key, found in _numbered(rows, place):
            fact_id, number = key
            versions = mentions.get(fact_id, ())
            seen.add(key)
            if number > len(versions):
                comparison.surplus(table, key)
                continue
            link = versions[number - 1]
            # The number of a row is the store's own.
            comparison.row(table, key, scripts.mention_row(found[0], ledger.id, link, node), found)
            needed.update(map(tuple, scripts.mentioned_rows(found[0], link, node)))
        for fact_id, versions in mentions.items():
            for number in range(1, len(versions) + 1):
                if (fact_id, number) not in seen:
                    comparison.missing(table, (fact_id, number))
        self.findings.checked["links"] += sum(map(len, mentions.values()))
        return needed

    def _mentioned(
        self, ledger: StoredLedger, comparison: Comparison, needed: set[tuple[Any, ...]]
    ) -> None:
        rows = self.connection.execute(
            "SELECT mention.name, mention.position, mention.fact FROM graph_name AS name "
            "CROSS JOIN graph_mention AS mention ON mention.name = name.id WHERE name.ledger = ?",
            (ledger.id,),
        )
        comparison.listed(MENTIONED, needed, rows.fetchall())


_GRAPH = SqliteGraphScripts()


def _numbered(
    rows: Iterable[Sequence[Any]], place: int
) -> Iterator[tuple[tuple[Any, int], Sequence[Any]]]:
    """Rows in order, each with a key: a column, and how many rows it was in so far."""
    counts: dict[Any, int] = {}
    for row in rows:
        number = counts[row[place]] = counts.get(row[place], 0) + 1
        yield (row[place], number), row


class _NodeOf:
    """The number of a name, ``None`` if it is missing. Names are folded once."""

    def __init__(self, nodes: Mapping[str, int]) -> None:
        self._nodes = nodes
        self._known: dict[str, int | None] = {}

    def __call__(self, name: str) -> int | None:
        if name not in self._known:
            self._known[name] = self._nodes.get(normalised(name))
        return self._known[name]
