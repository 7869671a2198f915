"""The knowledge graph on SQLite, updated in the append's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from remembrancer.adapters.stores.shared.escaping import NO_ESCAPING, Escaping
from remembrancer.adapters.stores.shared.graph_scripts import (
    MENTION,
    RELATION,
    TABLES,
    GraphScripts,
    VisibleLinks,
    indexes,
)
from remembrancer.adapters.stores.shared.scripts import Script, Statement
from remembrancer.adapters.stores.sqlite.connections import Connections, one_view
from remembrancer.adapters.stores.sqlite.ledger_parts import by_ledger
from remembrancer.adapters.stores.sqlite.run_script import run_script
from remembrancer.adapters.stores.sqlite.schema_sql import create
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.graph import Entity, Link, Relation, View, touches
from remembrancer.domain.graph.walk import Reached
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import EQUALITY_VERSION

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")

_LINK = {
    "id": int,
    "ledger": int,
    "position": int,
    "ended_by": int,
    "user_id": str,
    "agent_id": str,
    "run_id": str,
    "app_id": str,
    "valid_from": int,
    "valid_to": int,
    "recorded_from": int,
    "recorded_to": int,
    "expires_at": int,
    "fact_id": str,
    "gaps": str,
}

_TABLES: dict[str, tuple[dict[str, Any], str | tuple[str, ...]]] = {
    "graph_name": ({"id": int, "ledger": int, "folded": str, "name": str}, "id"),
    "graph_relation": (
        {
            **_LINK,
            "relation_id": str,
            "subject": str,
            "predicate": str,
            "object": str,
            "subject_name": int,
            "object_name": int,
        },
        "id",
    ),
    "graph_fact": ({**_LINK, "entities": str, "names": str}, "id"),
    "graph_mention": ({"name": int, "position": int, "fact": int}, ("name", "position", "fact")),
}

_INDEXES = (
    "UNIQUE INDEX IF NOT EXISTS graph_name_folded ON graph_name (ledger, folded)",
    *indexes("ledger", "position"),
)


def _define(schema: sqlite_utils.Database) -> None:
    for name, (columns, key) in _TABLES.items():
        schema.table(name).create(columns, pk=key, if_not_exists=True)
    for index in _INDEXES:
        schema.execute(f"CREATE {index}")


_decode = msgspec.json.Decoder(list[Any]).decode


class SqliteGraphScripts(GraphScripts):
    """The scripts of the graph on SQLite."""

    ledger: ClassVar[str] = "ledger"
    position: ClassVar[str] = "position"
    read: ClassVar[str] = "position, ended_by"
    # CROSS keeps SQLite from reading the facts first.
    mentioned: ClassVar[str] = (
        "graph_mention AS mention CROSS JOIN graph_fact AS fact ON fact.id = mention.fact"
    )
    at_once: ClassVar[int] = 1
    texts: ClassVar[Escaping] = NO_ESCAPING
    bounds: ClassVar[str] = "json_each(gaps)"

    def among(self, column: str, values: Iterable[object]) -> tuple[str, object]:
        return f"{column} IN (SELECT value FROM json_each(%s))", self.listed(values)

    def any_of(self, column: str, values: Collection[str]) -> Iterator[tuple[str, object]]:
        # Not as JSON: a name may contain NUL, at which older releases end it.
        return ((f"{column} = %s", value) for value in values)

    def latest(
        self, kind: str, columns: str, wanted: Mapping[str, Collection[str]], ledger_id: int
    ) -> Iterator[Statement]:
        for column, values in wanted.items():
            # Without the order by id, SQLite may search all links of the ledger.
            order = "id DESC LIMIT 1" if column == f"{kind}_id" else "id"
            for value in values:
                yield Statement(
                    f"SELECT {columns} FROM graph_{kind} WHERE {column} = %s AND ledger = %s "
                    f"ORDER BY {order}",
                    (value, ledger_id),
                )

    def new_fact_ids(self, count: int) -> Script[Sequence[int]]:
        found = yield Statement("SELECT coalesce(max(id), 0) FROM graph_fact")
        last: int = found.rows[0][0]
        return range(last + 1, last + 1 + count)

    def newest_relations(
        self, nodes: Sequence[Hashable], most: int, seen: VisibleLinks
    ) -> Iterator[Statement]:
        for node in nodes:
            for end in ("subject", "object"):
                yield Statement(
                    f"SELECT {self.read}, {RELATION}, {end}_name FROM graph_relation "
                    f"WHERE {end}_name = %s AND predicate <> 'same_as' AND {seen.visible} "
                    "ORDER BY position DESC LIMIT %s",
                    (node, *seen.parameters, most),
                )

    def newest_mentions(
        self, nodes: Sequence[Hashable], most: int, seen: VisibleLinks
    ) -> Iterator[Statement]:
        for node in nodes:
            yield Statement(
                f"SELECT fact.position, ended_by, {MENTION}, mention.name "
                f"FROM {self.mentioned} WHERE mention.name = %s AND {seen.visible} "
                "ORDER BY mention.position DESC LIMIT %s",
                (node, *seen.parameters, most),
            )

    @staticmethod
    def listed(values: Iterable[object]) -> str:
        return msgspec.json.encode(list(values)).decode()

    @staticmethod
    def unlisted(stored: str) -> list[Any]:
        return _decode(stored)


class SqliteKnowledgeGraph:
    """``KnowledgeGraph`` on the tables of the log's database."""

    name = "graph"
    fingerprint = f"3.{EQUALITY_VERSION}"

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._scripts = SqliteGraphScripts()

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the tables and indexes that are missing."""
        create(connection, _define)

    def clear(self, connection: sqlite3.Connection) -> None:
        """Delete all rows, before a rebuild."""
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")

    def count_in(self, connection: sqlite3.Connection) -> int:
        """The number of link versions. Raises ``OperationalError`` if a table is missing."""
        count: int = connection.execute(
            "SELECT (SELECT count(*) FROM graph_relation) + (SELECT count(*) FROM graph_fact), "
            "EXISTS (SELECT 1 FROM graph_name), EXISTS (SELECT 1 FROM graph_mention)"
        ).fetchone()[0]
        return count

    def apply_in(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> int:
        """Apply events inside the append's transaction.

        Returns:
            The number of link versions added, as ``count_in`` counts them.
        """
        touching = [item for item in chain if touches(item.event)]
        return sum(
            run_script(connection, self._scripts.apply(ledger_id, part))
            for ledger_id, part in by_ledger(connection, touching)
        )

    def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """See ``KnowledgeGraph.neighbours``."""
        return self._read(self._scripts.neighbours(view, entities, depth, limit))

    def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """See ``KnowledgeGraph.relations``."""
        return self._read(self._scripts.relations(view, entity, limit))

    def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """See ``KnowledgeGraph.entities``."""
        return self._read(self._scripts.entities(view, names, limit))

    def versions(self, ledger: LedgerId, facts: Sequence[FactId] | None = None) -> Sequence[Link]:
        """See ``LinkHistory.versions``."""
        return self._read(self._scripts.versions(ledger, facts))

    def _read(self, script: Script[T]) -> T:
        with self._connections.reader() as connection, one_view(connection):
            return run_script(connection, script)
