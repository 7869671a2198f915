"""Check one ledger: its events, and the rows that its events lead to.

The log is folded once; the rows that must be there are made with the builders that write them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
from attrs import frozen

from remembrancer.adapters.stores.shared.event_rows import decoded
from remembrancer.adapters.stores.shared.ledger_rows import Appends, LedgerRows, check_requests
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactScripts
from remembrancer.adapters.stores.sqlite.inspection import parts
from remembrancer.adapters.stores.sqlite.inspection.ledger_rows import (
    GRAPH,
    LedgerRowInspection,
    PartRowInspection,
)
from remembrancer.adapters.stores.sqlite.inspection.parts import Numbers, Outline, PartFold
from remembrancer.adapters.stores.sqlite.inspection.sections import Sections
from remembrancer.domain.audit.chain import EVENT, ChainCheck, EventRow, StoredLedger
from remembrancer.domain.audit.comparison import Comparison
from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, Findings
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import Erased, IntegrityError, InvalidRequest
from remembrancer.domain.events import EVENT_TYPES, FactErased, LedgerErased, MessageObserved
from remembrancer.domain.ports.codec import Codec

PAGE = 500
"""Events that are decoded together."""

_EVENTS = f"SELECT {', '.join(EVENT)} FROM event WHERE ledger_id = ? ORDER BY version"
_CHOSEN = (
    f"SELECT {', '.join(EVENT)} FROM (SELECT value FROM json_each(?)) AS chosen "
    "CROSS JOIN event ON ledger_id = ? AND version = chosen.value"
)

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

    def models(self, ledger: StoredLedger) -> Iterator[LedgerFold]:
        """Check the log, and every read model except the index.

        Yields:
            The fold, for the check of the index; that of each part if the ledger is large. Nothing
            if it can't be made.
        """
        fold = LedgerFold(ledger.name, self.findings)
        outline = Outline() if ledger.version > parts.PART else None
        readable = [True]

        def apply(page: Sequence[EventRow]) -> None:
            if readable[0]:
                readable[0] = self._apply(ledger, fold, page, outline)

        if not self._log(ledger, apply, lambda: fold.erasures) or not readable[0]:
            self.findings.skip(f"the read models of {ledger.name}", "an event of it can't be read")
        elif outline is None:
            rows = LedgerRowInspection(self.connection, self.path, ledger, self._rows(ledger, fold))
            rows.whole()
            yield fold
        else:
            yield from self._parts(ledger, fold, outline)

    def _parts(
        self, ledger: StoredLedger, whole: LedgerFold, outline: Outline
    ) -> Iterator[LedgerFold]:
        """Check the rows of a large ledger part by part."""
        rows = PartRowInspection(
            self.connection, self.path, ledger, self._rows(ledger, whole), outline
        )
        sections = Sections(self.connection, self.path, self.findings, ledger.name)
        for part in outline.parts():
            folds: list[PartFold] = []
            if not sections.run(
                "event", LOG, partial(self._fold, ledger, outline, part.versions, folds)
            ):
                return
            fold = folds.pop()
            rows.part(part, fold, self._rows(ledger, fold))
            yield fold
        rows.finish()

    def _fold(
        self, ledger: StoredLedger, outline: Outline, versions: Numbers, folds: list[PartFold]
    ) -> None:
        fold = PartFold(
            ledger=ledger.name,
            # Every event was checked when the log was.
            findings=Findings(),
            outline=outline,
            message_at=partial(self._message, ledger),
        )
        for page in self._chosen(ledger, versions):
            fold.apply(self._decoded(ledger, page))
        folds.append(fold)

    def _rows(self, ledger: StoredLedger, fold: LedgerFold) -> LedgerRows:
        return LedgerRows(
            ledger=ledger.id,
            fold=fold,
            comparison=Comparison(self.findings, ledger.name),
            facts=SqliteFactScripts(self.codec),
            graph=GRAPH,
        )

    def _chosen(self, ledger: StoredLedger, versions: Numbers) -> Iterator[list[EventRow]]:
        for start in range(0, versions.size, PAGE):
            chosen = msgspec.json.encode(versions[start : start + PAGE].tolist()).decode()
            page = self.connection.execute(_CHOSEN, (chosen, ledger.id)).fetchall()
            yield [row for row in page if row[9] is not None]

    def _message(self, ledger: StoredLedger, version: int) -> Message | None:
        for page in self._chosen(ledger, np.array([version])):
            for item in self._decoded(ledger, page):
                if isinstance(item.event, MessageObserved):
                    return item.event.message
        return None

    # The log

    def _log(
        self,
        ledger: StoredLedger,
        apply: Callable[[Sequence[EventRow]], None],
        erasures: Callable[[], Iterable[tuple[int, Any]]],
    ) -> bool:
        check = ChainCheck(ledger, self.findings)
        sections = Sections(self.connection, self.path, self.findings, ledger.name)
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

    def _apply(
        self,
        ledger: StoredLedger,
        fold: LedgerFold,
        page: Sequence[EventRow],
        outline: Outline | None,
    ) -> bool:
        """Fold a page; returns whether every event could be decoded.

        With an outline only what is small in any ledger is folded.
        """
        stored = [row for row in page if row[9] is not None]
        try:
            items = self._decoded(ledger, stored)
            if outline is None:
                fold.apply(items)
            else:
                outline.feed(items)
                fold.apply_small(items)
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
