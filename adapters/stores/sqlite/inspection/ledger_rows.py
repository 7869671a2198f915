"""Compare the rows of one ledger in the tables of facts, usage and graph: all at once, or those of
a large ledger part by part.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from remembrancer.adapters.stores.shared import usage_scripts
from remembrancer.adapters.stores.shared.fact_scripts import COLUMNS as FACT_COLUMNS
from remembrancer.adapters.stores.shared.fact_scripts import MESSAGE
from remembrancer.adapters.stores.shared.ledger_rows import LedgerRows
from remembrancer.adapters.stores.sqlite.inspection.parts import Outline, Part, PartFold
from remembrancer.adapters.stores.sqlite.inspection.sections import Sections
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteGraphScripts
from remembrancer.domain.audit.chain import StoredLedger
from remembrancer.domain.audit.comparison import Table

KEYS = 5_000
"""Keys that one statement looks up."""

GRAPH = SqliteGraphScripts()

_FACTS = f"SELECT {', '.join(FACT_COLUMNS)} FROM fact WHERE ledger_id = ? ORDER BY id"
_FACTS_OF = (
    f"SELECT {', '.join(FACT_COLUMNS)} FROM (SELECT value FROM json_each(?)) AS wanted "
    "CROSS JOIN fact ON fact_id = wanted.value"
)
_MESSAGES = f"SELECT position, {', '.join(MESSAGE)} FROM message WHERE ledger_id = ?"
# By position: the index on the ledger would read all of its messages for each part.
_MESSAGES_OF = (
    f"SELECT position, {', '.join(MESSAGE)} FROM message "
    "WHERE +ledger_id = ? AND position BETWEEN ? AND ?"
)
_PIPELINES = "SELECT digest FROM pipeline WHERE ledger_id = ?"
_EVIDENCE = (
    "SELECT message_id, fact_id FROM (SELECT value FROM json_each(?)) AS wanted "
    "CROSS JOIN evidence ON message_id = wanted.value"
)
_USAGE = f"SELECT {', '.join(usage_scripts.COLUMNS)} FROM usage WHERE ledger_id = ?"
_NAMES = "SELECT folded, name, id FROM graph_name WHERE ledger = ?"
_RELATIONS = f"SELECT {GRAPH.relation_columns} FROM graph_relation WHERE ledger = ? ORDER BY id"
_RELATIONS_OF = (
    f"SELECT {GRAPH.relation_columns} FROM (SELECT value FROM json_each(?)) AS wanted "
    "CROSS JOIN graph_relation ON relation_id = wanted.value ORDER BY graph_relation.id"
)
_MENTIONS = f"SELECT {GRAPH.mention_columns} FROM graph_fact WHERE ledger = ? ORDER BY id"
_MENTIONS_OF = (
    f"SELECT {GRAPH.mention_columns} FROM (SELECT value FROM json_each(?)) AS wanted "
    "CROSS JOIN graph_fact ON ledger = ? AND fact_id = wanted.value ORDER BY graph_fact.id"
)
_MENTIONED = (
    "SELECT mention.name, mention.position, mention.fact FROM graph_name AS name "
    "CROSS JOIN graph_mention AS mention ON mention.name = name.id WHERE name.ledger = ?"
)
_MENTIONED_OF = (
    "SELECT mention.name, mention.position, mention.fact FROM ("
    "SELECT json_extract(value, '$[0]') AS name, json_extract(value, '$[1]') AS position, "
    "json_extract(value, '$[2]') AS fact FROM json_each(?)) AS wanted "
    "CROSS JOIN graph_mention AS mention USING (name, position, fact)"
)

_COUNTS = {
    "fact": ("facts", "SELECT count(*) FROM fact WHERE ledger_id = ?"),
    "graph_relation": ("graph", "SELECT count(*) FROM graph_relation WHERE ledger = ?"),
    "graph_fact": ("graph", "SELECT count(*) FROM graph_fact WHERE ledger = ?"),
    "graph_mention": (
        "graph",
        _MENTIONED.replace(_MENTIONED.split(" FROM ")[0], "SELECT count(*)"),
    ),
}


class LedgerRowInspection:
    """Compares the rows of one ledger, in one view of the file.

    Args:
        connection: in a read transaction.
        path: of the file, for errors.
        ledger: the row of the ledger.
        rows: compares with the fold of the ledger.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: str, ledger: StoredLedger, rows: LedgerRows
    ) -> None:
        self._connection = connection
        self._ledger = ledger
        self._rows = rows
        self._run = Sections(connection, path, rows.comparison.findings, ledger.name).run
        self._numbers: dict[str, int] = {}

    def whole(self) -> None:
        """Compare all rows of the ledger."""
        rows, of_ledger = self._rows, self._of_ledger
        needed: set[Any] = set()
        self._run("fact", "facts", lambda: self._facts(rows, of_ledger(_FACTS)))
        self._run("message", "facts", lambda: rows.message("position", of_ledger(_MESSAGES)))
        self._pipelines()
        self._run("evidence", "facts", lambda: rows.evidence(self._evidence(rows)))
        self._usage()
        self._run("graph_name", "graph", lambda: self._numbers.update(rows.name(of_ledger(_NAMES))))
        node = rows.node(self._numbers)
        self._run("graph_relation", "graph", lambda: rows.relation(of_ledger(_RELATIONS), node))
        self._run(
            "graph_fact",
            "graph",
            lambda: needed.update(rows.mention(of_ledger(_MENTIONS), node)),
        )
        self._run("graph_mention", "graph", lambda: rows.mentioned(needed, of_ledger(_MENTIONED)))

    def _of_ledger(self, sql: str, *parameters: object) -> Iterator[Any]:
        return self._connection.execute(sql, (self._ledger.id, *parameters))

    def _pipelines(self) -> None:
        self._run(
            "pipeline",
            "facts",
            lambda: self._rows.pipeline(digest for (digest,) in self._of_ledger(_PIPELINES)),
        )

    def _usage(self) -> None:
        self._run("usage", "usage", lambda: self._rows.usage(self._of_ledger(_USAGE)))

    def _facts(self, rows: LedgerRows, stored: Iterable[Any]) -> None:
        missing, surplus = rows.fact(stored)
        owners = {
            key: owner
            for key in missing
            for (owner,) in self._connection.execute(
                "SELECT ledger_id FROM fact WHERE fact_id = ? AND version = ?", key
            )
        }
        rows.lost(missing, surplus, owners)

    def _evidence(self, rows: LedgerRows) -> Iterator[Any]:
        return self._keyed(_EVIDENCE, {message_id for message_id, _ in rows.fold.evidence})

    def _keyed(self, sql: str, keys: Collection[Any], *parameters: object) -> Iterator[Any]:
        left = iter(keys)
        while some := list(islice(left, KEYS)):
            wanted = msgspec.json.encode(some).decode()
            yield from self._connection.execute(sql, (wanted, *parameters))


class PartRowInspection(LedgerRowInspection):
    """Compares the rows of a large ledger part by part, each looked up by the keys of its part. At
    the end, rows that no part has looked up are found by counting.

    Args:
        connection: in a read transaction.
        path: of the file, for errors.
        ledger: the row of the ledger.
        rows: compares with what is folded of the whole ledger.
        outline: of the ledger.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        ledger: StoredLedger,
        rows: LedgerRows,
        outline: Outline,
    ) -> None:
        super().__init__(connection, path, ledger, rows)
        self._outline = outline
        self._seen: Counter[str] = Counter()
        self._spelled: dict[str, tuple[int, str]] = {}
        self._run("graph_name", "graph", self._number)
        self._node = rows.node(self._numbers)

    def _number(self) -> None:
        self._numbers.update({folded: number for folded, _, number in self._of_ledger(_NAMES)})

    def part(self, part: Part, fold: PartFold, rows: LedgerRows) -> None:
        """Compare the rows of one part."""
        needed: set[Any] = set()
        self._run(
            "fact",
            "facts",
            lambda: self._facts(rows, self._looked_up("fact", _FACTS_OF, fold.state.facts)),
        )
        messages = (_MESSAGES_OF, part.first, part.last)
        self._run("message", "facts", lambda: rows.message("position", self._of_ledger(*messages)))
        self._run("evidence", "facts", lambda: rows.evidence(self._evidence(rows)))
        self._run(
            "graph_relation",
            "graph",
            lambda: rows.relation(
                self._looked_up("graph_relation", _RELATIONS_OF, fold.relations()), self._node
            ),
        )
        self._run(
            "graph_fact",
            "graph",
            lambda: needed.update(
                rows.mention(
                    self._looked_up("graph_fact", _MENTIONS_OF, fold.mentions(), self._ledger.id),
                    self._node,
                )
            ),
        )
        self._run(
            "graph_mention",
            "graph",
            lambda: rows.mentioned(needed, self._looked_up("graph_mention", _MENTIONED_OF, needed)),
        )
        for name, version in fold.spelled_at.items():
            spelled = (version, fold.links.spelled[name])
            self._spelled[name] = min(self._spelled.get(name, spelled), spelled)

    def _evidence(self, rows: LedgerRows) -> Iterator[Any]:
        own = rows.fold.state.facts
        for row in super()._evidence(rows):
            # A message may be cited by facts of other parts.
            if row[1] in own or not self._outline.knows(row[1]):
                yield row

    def _looked_up(
        self, table: str, sql: str, keys: Collection[Any], *parameters: object
    ) -> Iterator[Any]:
        for row in self._keyed(sql, keys, *parameters):
            self._seen[table] += 1
            yield row

    def finish(self) -> None:
        """Compare what belongs to no part, and look for rows that no part has looked up."""
        self._pipelines()
        self._usage()
        spelled: Mapping[str, str] = {name: each for name, (_, each) in self._spelled.items()}
        self._rows.fold.links.spelled.update(spelled)
        self._run("graph_name", "graph", lambda: self._rows.name(self._of_ledger(_NAMES)))
        for name, (projection, sql) in _COUNTS.items():
            table = Table(name=name, projection=projection)
            self._run(name, projection, partial(self._counted, table, sql))

    def _counted(self, table: Table, sql: str) -> None:
        ((count,),) = self._of_ledger(sql)
        if count == self._seen[table.name]:
            return
        comparison, found = self._rows.comparison, 0
        if table.name in ("fact", "graph_fact"):
            column = "ledger_id" if table.name == "fact" else "ledger"
            for (fact_id,) in self._of_ledger(
                f"SELECT fact_id FROM {table.name} WHERE {column} = ?"
            ):
                if not self._outline.knows(fact_id):
                    comparison.surplus(table, fact_id)
                    found += 1
        if not found:
            comparison.value(table, self._ledger.name, "rows", self._seen[table.name], count)
