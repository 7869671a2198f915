"""Check what belongs to no single ledger: pages and indexes of the file, the schema, positions,
checkpoints, and rows of ledgers that there are not.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from attrs import frozen

from remembrancer.adapters.stores.shared.delivery_rows import check_dead_letters, check_feeds
from remembrancer.adapters.stores.sqlite.inspection.sections import Sections
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import LOG, REBUILD, RESTORE, Fault, FaultKind, Findings
from remembrancer.domain.recorded import GENESIS

MOST_LINES = 20
"""Lines of ``PRAGMA integrity_check`` that are reported."""

_OWNED = (
    ("event", "ledger_id", LOG, RESTORE),
    ("request", "ledger_id", LOG, RESTORE),
    ("fact", "ledger_id", "facts", REBUILD),
    ("message", "ledger_id", "facts", REBUILD),
    ("pipeline", "ledger_id", "facts", REBUILD),
    ("usage", "ledger_id", "usage", REBUILD),
    ("graph_name", "ledger", "graph", REBUILD),
    ("graph_relation", "ledger", "graph", REBUILD),
    ("graph_fact", "ledger", "graph", REBUILD),
)
"""Tables whose rows belong to a ledger of the log."""

_INDEXED = ("index_scope", "index_speaker", "index_name", "index_segment", "index_centre")
"""Tables whose rows belong to a row of ``index_ledger`` by their column ``ledger``."""

_ROWS = {
    "facts": "SELECT count(*) FROM fact",
    "index": "SELECT count(*) FROM index_document",
    "graph": "SELECT (SELECT count(*) FROM graph_relation) + (SELECT count(*) FROM graph_fact)",
    "usage": "SELECT CAST(total(calls) AS INTEGER) FROM usage",
}
"""What the column ``rows`` of ``projection`` counts."""

_ORPHANS = (
    # The id of a fact, and of a message, is in no other text.
    (
        "evidence",
        "facts",
        "SELECT message_id, fact_id FROM evidence AS cited WHERE NOT EXISTS (SELECT 1 FROM fact "
        "WHERE fact_id = cited.fact_id AND instr(body, cited.message_id))",
    ),
    (
        "graph_mention",
        "graph",
        "SELECT name, position, fact FROM graph_mention "
        "WHERE name NOT IN (SELECT id FROM graph_name)",
    ),
    (
        "index_ledger",
        "index",
        "SELECT name FROM index_ledger WHERE name NOT IN (SELECT name FROM ledger)",
    ),
    (
        "index_document",
        "index",
        "SELECT fact_id, version FROM index_document "
        "WHERE id >> 32 NOT IN (SELECT id FROM index_ledger)",
    ),
    (
        "index_embedding",
        "index",
        "SELECT id FROM index_embedding WHERE id >> 32 NOT IN (SELECT id FROM index_ledger)",
    ),
    (
        "index_part",
        "index",
        "SELECT id FROM index_part WHERE id / 16 NOT IN (SELECT id FROM index_segment)",
    ),
    (
        "index_posting",
        "index",
        "SELECT DISTINCT segment FROM index_posting "
        "WHERE segment NOT IN (SELECT id FROM index_segment)",
    ),
)
"""Rows that nothing leads to."""


@frozen(kw_only=True)
class FileInspection:
    """Checks the file as a whole, in one view of it.

    Args:
        connection: in a read transaction.
        path: of the file, for errors.
        findings: gets the faults.
    """

    connection: sqlite3.Connection
    path: str
    findings: Findings

    @property
    def _run(self) -> Callable[[str, str, Callable[[], object]], bool]:
        return Sections(self.connection, self.path, self.findings).run

    def form(self, create: Callable[[sqlite3.Connection], None]) -> None:
        """Check pages, indexes and schema.

        Args:
            create: creates all tables in an empty database.
        """
        self._run("sqlite_schema", LOG, self._pages)
        self._run("sqlite_schema", LOG, partial(self._schema, create))

    def positions(self) -> None:
        """Check that the events of all ledgers together have the positions from 1 on."""
        self._run("event", LOG, self._positions)
        for table, column, projection, remedy in _OWNED[:2]:
            self._owned(table, column, projection, remedy)

    def _pages(self) -> None:
        lines = self.connection.execute(f"PRAGMA integrity_check({MOST_LINES})").fetchall()
        for (line,) in lines:
            if line != "ok":
                self._fault(FaultKind.FILE_DAMAGED, LOG, found=str(line)[:300])

    def _schema(self, create: Callable[[sqlite3.Connection], None]) -> None:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
            create(fresh)
            expected = _objects(fresh)
        found = _objects(self.connection)
        for name, sql in expected.items():
            if found.get(name) != sql:
                self._fault(
                    FaultKind.SCHEMA_DIFFERS,
                    LOG,
                    table=name,
                    expected=sql[:200],
                    found=found.get(name, "none")[:200],
                )
        for name, sql in found.items():
            # Further tables and indexes change no result; triggers and views may.
            if name not in expected and not sql.startswith(("table ", "index ")):
                self._fault(FaultKind.SCHEMA_DIFFERS, LOG, table=name, found=sql[:200])

    def _positions(self) -> None:
        count, first, last = self.connection.execute(
            "SELECT count(*), min(position), max(position) FROM event"
        ).fetchone()
        if count and (first, last) != (1, count):
            self._fault(
                FaultKind.POSITION_GAP,
                LOG,
                table="event",
                column="position",
                expected=f"1 to {count}, the number of events",
                found=f"{first} to {last}",
            )
        rows = self.connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
        ).fetchall()
        if rows != ([(last,)] if count else rows[:1]):
            self._fault(
                FaultKind.SEQUENCE_DIFFERS,
                LOG,
                table="sqlite_sequence",
                key="event",
                column="seq",
                expected=str(last),
                found=str([value for (value,) in rows])[:100],
            )
        empty = self.connection.execute(
            "SELECT id FROM ledger WHERE version = 0 OR hash = ? LIMIT 1", (GENESIS,)
        ).fetchall()
        for (number,) in empty:
            self._fault(
                FaultKind.HEAD_DIFFERS, LOG, table="ledger", key=f"id {number}", column="version"
            )

    def models(self, fingerprints: Mapping[str, str]) -> None:
        """Check the rows that belong to no ledger, and the checkpoints.

        Args:
            fingerprints: of each read model, by name.
        """
        for table, column, projection, remedy in _OWNED[2:]:
            self._owned(table, column, projection, remedy)
        for table in _INDEXED:
            self._owned(table, "ledger", "index", REBUILD, "index_ledger")
        comparison = Comparison(self.findings)
        for table, projection, sql in _ORPHANS:
            named = Table(name=table, projection=projection)

            def part(named: Table = named, sql: str = sql) -> None:
                for row in self.connection.execute(sql):
                    comparison.surplus(named, row)

            self._run(table, projection, part)
        self._run("sqlite_sequence", "index", partial(self._segments, comparison))
        self._run("projection", LOG, partial(self._checkpoints, comparison, fingerprints))
        self._run("feed", LOG, partial(self._feeds, comparison))

    def _owned(
        self, table: str, column: str, projection: str, remedy: str, owner: str = "ledger"
    ) -> None:
        named = Table(name=table, projection=projection, columns=(column,), help=remedy)
        # A segment that is being written, or is waste, has the negative number of its ledger.
        owned = f"abs({column})" if table == "index_segment" else column

        def part() -> None:
            rows = self.connection.execute(
                f"SELECT DISTINCT {column} FROM {table} "
                f"WHERE {owned} NOT IN (SELECT id FROM {owner})"
            )
            for (number,) in rows:
                Comparison(self.findings).surplus(named, f"{column} {number}")

        self._run(table, projection, part)

    def _segments(self, comparison: Comparison) -> None:
        """Segments are cached by their ids, which are never used twice."""
        (last,) = self.connection.execute("SELECT max(id) FROM index_segment").fetchone()
        rows = self.connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'index_segment'"
        ).fetchall()
        if last is not None and not (len(rows) == 1 and rows[0][0] >= last):
            table = Table(name="sqlite_sequence", projection="index")
            found = [value for (value,) in rows]
            comparison.value(table, "index_segment", "seq", f"at least {last}", str(found))

    def _checkpoints(self, comparison: Comparison, fingerprints: Mapping[str, str]) -> None:
        (last,) = self.connection.execute("SELECT coalesce(max(position), 0) FROM event").fetchone()
        table = Table(
            name="projection",
            projection="checkpoints",
            columns=("fingerprint", "position", "rows"),
        )
        expected = {
            name: (fingerprint, last, self.connection.execute(_ROWS[name]).fetchone()[0])
            for name, fingerprint in fingerprints.items()
        }
        rows = self.connection.execute("SELECT name, fingerprint, position, rows FROM projection")
        comparison.keyed(table, expected, ((row[0], row[1:]) for row in rows))

    def _feeds(self, comparison: Comparison) -> None:
        (last,) = self.connection.execute("SELECT coalesce(max(position), 0) FROM event").fetchone()
        rows = self.connection.execute(
            "SELECT projection, partition, position FROM feed ORDER BY projection, partition"
        )
        check_feeds(comparison, rows, last)
        rows = self.connection.execute(
            "SELECT projection, dead.position, dead.version, dead.event_id, dead.ledger, type_name,"
            " event.version, lower(hex(event.event_id)), ledger.name, type "
            "FROM dead_letter AS dead LEFT JOIN event ON event.position = dead.position "
            "LEFT JOIN ledger ON ledger.id = event.ledger_id"
        )
        check_dead_letters(comparison, rows)

    def _fault(self, kind: FaultKind, projection: str, **place: Any) -> None:
        self.findings.fault(Fault(kind=kind, projection=projection, **{"help": RESTORE, **place}))


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    """What each object is, its table, and the statement that made it without spaces and quotes."""
    rows = connection.execute(
        "SELECT name, type, tbl_name, coalesce(sql, '') FROM sqlite_master "
        "WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return {
        name: f"{kind} {table} " + re.sub(r"[\s\"\[\]`]+", "", sql)
        for name, kind, table, sql in rows
    }
