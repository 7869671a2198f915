"""Check one ledger: its events, and the rows that its events lead to.

The log is folded once; the rows that must be there are made with the builders that write them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
from attrs import frozen

from remembrancer.adapters.stores.shared import usage_scripts
from remembrancer.adapters.stores.shared.event_rows import decoded
from remembrancer.adapters.stores.shared.fact_scripts import COLUMNS as FACT_COLUMNS
from remembrancer.adapters.stores.shared.fact_scripts import MESSAGE
from remembrancer.adapters.stores.shared.ledger_rows import Appends, LedgerRows, check_requests
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactScripts
from remembrancer.adapters.stores.sqlite.inspection.sections import Sections
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteGraphScripts
from remembrancer.domain.audit.chain import EVENT, ChainCheck, EventRow, StoredLedger
from remembrancer.domain.audit.comparison import Comparison
from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, Findings
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.errors import Erased, IntegrityError, InvalidRequest
from remembrancer.domain.events import EVENT_TYPES, FactErased, LedgerErased
from remembrancer.domain.ports.codec import Codec

PAGE = 500
"""Events that are decoded together."""

KEYS = 5_000
"""Keys that one statement looks up."""

_EVENTS = f"SELECT {', '.join(EVENT)} FROM event WHERE ledger_id = ? ORDER BY version"

_ERASURES = (FactErased.type_name, LedgerErased.type_name)
_TYPES = {event_type.type_name for event_type in EVENT_TYPES}


def events_of(connection: sqlite3.Connection, ledger: StoredLedger) -> Iterator[list[EventRow]]:
    """The events of a ledger, page by page."""
    rows = connection.execute(_EVENTS, (ledger.id,))
    while page := rows.fetchmany(PAGE):
        yield page


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
        self._rows(ledger, fold)
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
        appends = Appends()

        def keyed() -> None:
            requests[:] = self.connection.execute(
                "SELECT key, first, last FROM request WHERE ledger_id = ? ORDER BY first, key",
                (ledger.id,),
            )
            appends.wanted = {first for _, first, _ in requests}

        def events() -> None:
            for page in events_of(self.connection, ledger):
                check.feed(page)
                appends.feed(page)
                apply(page)
                self.findings.checked["events"] += len(page)
            appends.close()
            check.finish(erasures())

        read = sections.run("request", LOG, keyed)
        whole = sections.run("event", LOG, events)
        self.findings.checked["ledgers"] += 1
        if read and whole:
            sections.run(
                "request", LOG, lambda: check_requests(ledger, requests, appends, self.findings)
            )
        return whole

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

    def _rows(self, ledger: StoredLedger, fold: LedgerFold) -> None:
        run, execute = self._sections(ledger).run, self.connection.execute
        comparison = Comparison(self.findings, ledger.name)
        rows = LedgerRows(
            ledger=ledger.id,
            fold=fold,
            comparison=comparison,
            facts=SqliteFactScripts(self.codec),
            graph=_GRAPH,
        )
        owner = (ledger.id,)
        run("fact", "facts", lambda: self._facts(ledger, rows))
        run("message", "facts", lambda: rows.message("position", execute(_MESSAGES, owner)))
        run(
            "pipeline",
            "facts",
            lambda: rows.pipeline(digest for (digest,) in execute(_PIPELINES, owner)),
        )
        run("evidence", "facts", lambda: rows.evidence(self._evidence(fold)))
        run("usage", "usage", lambda: rows.usage(execute(_USAGE, owner)))
        numbers: dict[str, int] = {}
        needed: set[Any] = set()
        run("graph_name", "graph", lambda: numbers.update(rows.name(execute(_NAMES, owner))))
        node = rows.node(numbers)
        run("graph_relation", "graph", lambda: rows.relation(execute(_RELATIONS, owner), node))
        run(
            "graph_fact",
            "graph",
            lambda: needed.update(rows.mention(execute(_MENTIONS, owner), node)),
        )
        run(
            "graph_mention",
            "graph",
            lambda: rows.mentioned(needed, execute(_MENTIONED, owner)),
        )

    def _facts(self, ledger: StoredLedger, rows: LedgerRows) -> None:
        missing, surplus = rows.fact(self.connection.execute(_FACTS, (ledger.id,)))
        owners = {
            key: owner
            for key in missing
            for (owner,) in self.connection.execute(
                "SELECT ledger_id FROM fact WHERE fact_id = ? AND version = ?", key
            )
        }
        rows.lost(missing, surplus, owners)

    def _evidence(self, fold: LedgerFold) -> Iterator[Any]:
        messages = iter({message_id for message_id, _ in fold.evidence})
        while keys := list(islice(messages, KEYS)):
            yield from self.connection.execute(
                "SELECT message_id, fact_id FROM json_each(?) AS wanted "
                "CROSS JOIN evidence ON message_id = wanted.value",
                (msgspec.json.encode(keys).decode(),),
            )


_GRAPH = SqliteGraphScripts()
_FACTS = f"SELECT {', '.join(FACT_COLUMNS)} FROM fact WHERE ledger_id = ? ORDER BY id"
_MESSAGES = f"SELECT position, {', '.join(MESSAGE)} FROM message WHERE ledger_id = ?"
_PIPELINES = "SELECT digest FROM pipeline WHERE ledger_id = ?"
_USAGE = f"SELECT {', '.join(usage_scripts.COLUMNS)} FROM usage WHERE ledger_id = ?"
_NAMES = "SELECT folded, name, id FROM graph_name WHERE ledger = ?"
_RELATIONS = f"SELECT {_GRAPH.relation_columns} FROM graph_relation WHERE ledger = ? ORDER BY id"
_MENTIONS = f"SELECT {_GRAPH.mention_columns} FROM graph_fact WHERE ledger = ? ORDER BY id"
_MENTIONED = (
    "SELECT mention.name, mention.position, mention.fact FROM graph_name AS name "
    "CROSS JOIN graph_mention AS mention ON mention.name = name.id WHERE name.ledger = ?"
)
