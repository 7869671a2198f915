"""The knowledge graph on SQLite, updated in the append's transaction.

Four tables: names, relations, facts, and mentions (which fact names which entity). A walk reads
the links of one name at a time, newest first, from an index: a name with a million links costs no
more than one with a hundred.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from attrs import field, frozen

from remembrancer.adapters.stores.shared.link_columns import microseconds, row_of, visible
from remembrancer.adapters.stores.sqlite.connections import Connections, one_view
from remembrancer.domain.epoch_micros import from_microseconds
from remembrancer.domain.events import RelationAsserted, RelationEnded
from remembrancer.domain.facts.evolve import fact_id_of
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.graph.graph import (
    Entity,
    GraphChange,
    Link,
    Mention,
    Relation,
    View,
    changes_of,
    entities_of,
    touches,
)
from remembrancer.domain.graph.walk import Reached, Tie, answered, known_as, walk
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.domain.text import EQUALITY_VERSION, normalised

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

# Aliases (same_as) have their own partial indexes, so that no search has to skip rows of the
# other kind.
_INDEXES = (
    "UNIQUE INDEX IF NOT EXISTS graph_name_folded ON graph_name (ledger, folded)",
    "INDEX IF NOT EXISTS graph_relation_id ON graph_relation (relation_id)",
    "INDEX IF NOT EXISTS graph_relation_of ON graph_relation (ledger, fact_id)",
    *(
        f"INDEX IF NOT EXISTS graph_{end}_{kind} ON graph_relation ({end}_name, position) "
        f"WHERE predicate {sign} 'same_as'"
        for end in ("subject", "object")
        for kind, sign in (("relation", "<>"), ("synonym", "="))
    ),
    "INDEX IF NOT EXISTS graph_synonym ON graph_relation (ledger) WHERE predicate = 'same_as'",
    "INDEX IF NOT EXISTS graph_fact_of ON graph_fact (ledger, fact_id)",
)

_SHARED = (
    "position, ended_by, user_id, agent_id, run_id, app_id, valid_from, valid_to, recorded_from, "
    "recorded_to, expires_at, fact_id"
)
_RELATION = f"{_SHARED}, relation_id, subject, predicate, object, subject_name, object_name"
_MENTION = f"{_SHARED}, entities, names"
_FACT_COLUMNS = ", ".join(f"fact.{column}" for column in _MENTION.split(", "))

_INSERT_RELATION = (
    f"INSERT INTO graph_relation (ledger, {_RELATION}) VALUES ({', '.join('?' * 19)})"
)
_INSERT_FACT = f"INSERT INTO graph_fact (ledger, {_MENTION}) VALUES ({', '.join('?' * 15)})"

_decode = msgspec.json.Decoder(list[Any]).decode


class SqliteKnowledgeGraph:
    """``KnowledgeGraph`` on the tables of the log's database."""

    name = "graph"
    fingerprint = f"2.{EQUALITY_VERSION}"

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the tables and indexes that are missing."""
        import sqlite_utils

        schema = sqlite_utils.Database(connection)
        for name, (columns, key) in _TABLES.items():
            schema.table(name).create(columns, pk=key, if_not_exists=True)
        for index in _INDEXES:
            connection.execute(f"CREATE {index}")

    def clear(self, connection: sqlite3.Connection) -> None:
        """Delete all rows, before a rebuild."""
        for table in _TABLES:
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
        writer = _Writer(connection)
        for item in chain:
            if touches(item.event):
                writer.apply(item)
        return writer.added

    def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """See ``KnowledgeGraph.neighbours``."""
        with self._seen(view) as seen:
            return answered(seen, walk(entities, depth=depth, limit=limit))

    def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """See ``KnowledgeGraph.relations``."""
        with self._seen(view) as seen:
            found = {
                tie.link.key: tie.link
                for node in answered(seen, known_as([entity]))
                for tie in seen.relations(node, limit)
                if isinstance(tie.link, Relation)
            }
        return sorted(found.values(), key=lambda link: link.position, reverse=True)[:limit]

    def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """See ``KnowledgeGraph.entities``."""
        with self._seen(view) as seen:
            if names is None:
                synonyms = seen.all_synonyms()
                aliased = {node for tie in synonyms for node, _ in tie.ends}
                counted = seen.counted(limit, without=aliased) + seen.counted(among=aliased)
            else:
                nodes = answered(seen, known_as(names))
                synonyms = seen.synonyms(nodes)
                counted = seen.counted(among=nodes)
        relations = [tie.link for tie in synonyms if isinstance(tie.link, Relation)]
        ends = {normalised(end) for relation in relations for end in relation.ends}
        counts = {
            folded: (in_relations, in_facts)
            for folded, _, in_relations, in_facts in counted
            if in_relations or in_facts or folded in ends
        }
        spelled = {folded: name for folded, name, _, _ in counted}
        return entities_of(counts, relations, spelled)[:limit]

    def versions(self, ledger: LedgerId, facts: Sequence[FactId] | None = None) -> Sequence[Link]:
        """See ``LinkHistory.versions``."""
        condition = ""
        parameters: list[str] = [ledger]
        if facts is not None:
            condition = "AND fact_id IN (SELECT value FROM json_each(?))"
            parameters.append(_encode(facts))
        where = f"WHERE ledger = (SELECT id FROM ledger WHERE name = ?) {condition} ORDER BY id"
        with self._connections.reader() as connection, one_view(connection):
            return [
                *map(
                    _relation,
                    connection.execute(
                        f"SELECT {_RELATION} FROM graph_relation {where}", parameters
                    ),
                ),
                *map(
                    _mention,
                    connection.execute(f"SELECT {_MENTION} FROM graph_fact {where}", parameters),
                ),
            ]

    @contextmanager
    def _seen(self, view: View) -> Iterator[_VisibleLinks]:
        with self._connections.reader() as connection, one_view(connection):
            yield _VisibleLinks.of(connection, view)


class _Writer:
    """Writes the changes of one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ledgers: dict[LedgerId, int] = {}
        self.added = 0

    def apply(self, item: Recorded) -> None:
        """Apply one event."""
        ledger = self._ledger(item.ledger)
        event, fact_id = item.event, fact_id_of(item.event)
        mention = self._mention(ledger, fact_id) if fact_id is not None else None
        if isinstance(event, RelationAsserted | RelationEnded):
            relations = self._relations(ledger, "relation_id", event.relation_id)
        elif mention is not None:
            relations = self._relations(ledger, "fact_id", mention.fact_id)
        else:
            relations = []
        for change in changes_of(item, mention, relations):
            self._store(ledger, change)

    def _ledger(self, name: LedgerId) -> int:
        if name not in self._ledgers:
            (self._ledgers[name],) = self._connection.execute(
                "SELECT id FROM ledger WHERE name = ?", (name,)
            ).fetchone()
        return self._ledgers[name]

    def _mention(self, ledger: int, fact_id: FactId) -> Mention | None:
        row = self._connection.execute(
            f"SELECT {_MENTION} FROM graph_fact WHERE fact_id = ? AND ledger = ? "
            "ORDER BY id DESC LIMIT 1",
            (fact_id, ledger),
        ).fetchone()
        return None if row is None else _mention(row)

    def _relations(self, ledger: int, column: str, value: str) -> list[Relation]:
        rows = self._connection.execute(
            f"SELECT {_RELATION} FROM graph_relation WHERE {column} = ? AND ledger = ? ORDER BY id",
            (value, ledger),
        )
        return list({row[12]: _relation(row) for row in rows}.values())

    def _store(self, ledger: int, change: GraphChange) -> None:
        before, after = change.before, change.after
        if before is not None:
            kind, key = before.key
            self._connection.execute(
                f"UPDATE graph_{kind} SET recorded_to = ? "
                f"WHERE {kind}_id = ? AND ledger = ? AND recorded_to IS NULL",
                (microseconds(before.recorded.end), key, ledger),
            )
        if after is None:
            return
        self.added += 1
        names = [self._name(ledger, end) for end in after.ends]
        shared = (ledger, *row_of(after))
        if isinstance(after, Relation):
            columns = (after.relation_id, after.subject, after.predicate, after.object)
            self._connection.execute(_INSERT_RELATION, (*shared, *columns, names[0], names[-1]))
            return
        lists = _encode(after.entities), _encode(names)
        inserted = self._connection.execute(_INSERT_FACT, (*shared, *lists))
        self._connection.executemany(
            "INSERT INTO graph_mention VALUES (?, ?, ?)",
            [(name, after.position, inserted.lastrowid) for name in names],
        )

    def _name(self, ledger: int, name: str) -> int:
        key = (ledger, normalised(name))
        found = _node(self._connection, *key)
        if found is not None:
            return found
        inserted = self._connection.execute(
            "INSERT INTO graph_name (ledger, folded, name) VALUES (?, ?, ?)", (*key, name)
        )
        assert inserted.lastrowid is not None
        return inserted.lastrowid


@frozen
class _VisibleLinks:
    """``Ties`` on the links that a view sees; a node is the id of a name.

    Args:
        connection: to read from.
        ledger: the id of the view's ledger, ``None`` if the ledger does not exist yet.
        visible: the view as an SQL condition, with its ``parameters``.
        aliases: whether the ledger has any alias (``same_as``).
        related: whether the ledger has any relation, aliases included.
        mentions: whether the view includes mentions.
    """

    connection: sqlite3.Connection
    ledger: int | None
    visible: str
    parameters: tuple[object, ...] = field(repr=False)
    aliases: bool
    related: bool
    mentions: bool

    @classmethod
    def of(cls, connection: sqlite3.Connection, view: View) -> _VisibleLinks:
        """The links that ``view`` sees on a connection."""
        row = connection.execute(
            "SELECT id, EXISTS (SELECT 1 FROM graph_relation "
            "WHERE ledger = ledger.id AND predicate = 'same_as'), "
            "EXISTS (SELECT 1 FROM graph_relation WHERE ledger = ledger.id) "
            "FROM ledger WHERE name = ?",
            (view.scope.ledger,),
        ).fetchone()
        ledger, aliases, related = row or (None, False, False)
        return cls(
            connection, ledger, *visible(view, "?"), bool(aliases), bool(related), view.mentions
        )

    def nodes(self, names: Sequence[str]) -> list[tuple[Hashable, str]]:
        """See ``Ties.nodes``."""
        if not (self.related or self.mentions):
            # The ledger has no links that the view sees.
            return []
        found = ((_node(self.connection, self.ledger, normalised(name)), name) for name in names)
        return [(node, name) for node, name in found if node is not None]

    def synonyms(self, nodes: Sequence[Hashable]) -> list[Tie]:
        """See ``Ties.synonyms``."""
        if not self.aliases:
            return []
        wanted = "IN (SELECT value FROM json_each(?))"
        ids = _encode(nodes)
        subject, object_ = (
            self._joining(f"{end}_name {wanted} AND predicate = 'same_as'", ids, -1)
            for end in ("subject", "object")
        )
        found = {tie.link.key: tie for tie in (*subject, *object_)}
        return sorted(found.values(), key=_position)

    def links(self, nodes: Sequence[Hashable], most: int) -> list[list[Tie]]:
        """See ``Ties.links``."""
        return [[*self.relations(node, most), *self._mentions(node, most)] for node in nodes]

    def relations(self, node: Hashable, most: int) -> list[Tie]:
        """The newest relations of a name except ``same_as``, newest first."""
        subject, object_ = (
            self._joining(f"{end}_name = ? AND predicate <> 'same_as'", node, most)
            for end in ("subject", "object")
        )
        if not subject or not object_:
            return subject or object_
        found = {tie.link.key: tie for tie in (*subject, *object_)}
        return sorted(found.values(), key=_position, reverse=True)[:most]

    def _joining(self, condition: str, value: object, most: int) -> list[Tie]:
        rows = self.connection.execute(
            f"SELECT {_RELATION} FROM graph_relation WHERE {condition} AND {self.visible} "
            "ORDER BY position DESC LIMIT ?",
            (value, *self.parameters, most),
        )
        return [_relation_tie(row) for row in rows]

    def _mentions(self, node: Hashable, most: int) -> list[Tie]:
        if not self.mentions:
            return []
        rows = self.connection.execute(
            f"SELECT {_FACT_COLUMNS} FROM graph_mention AS mention "
            "CROSS JOIN graph_fact AS fact ON fact.id = mention.fact "
            f"WHERE mention.name = ? AND {self.visible} "
            "ORDER BY mention.position DESC LIMIT ?",
            (node, *self.parameters, most),
        )
        return [_mention_tie(row) for row in rows]

    def all_synonyms(self) -> list[Tie]:
        """The aliases of the whole ledger, newest first."""
        return self._joining("ledger = ? AND predicate = 'same_as'", self.ledger, -1)

    def counted(
        self,
        most: int = -1,
        *,
        among: Iterable[Hashable] | None = None,
        without: Iterable[Hashable] = (),
    ) -> list[tuple[str, str, int, int]]:
        """Rows of (folded name, spelling, number of relations, number of facts), highest total
        first.
        """
        wanted = "" if among is None else "AND name.id IN (SELECT value FROM json_each(?))"
        relation = f"{self.visible} AND predicate <> 'same_as'"
        mentioned = f"{self.visible} AND {self.mentions:d}"
        sql = f"""
            SELECT folded, name, relations, facts FROM (
                SELECT name.folded, name.name,
                    (SELECT count(*) FROM graph_relation
                     WHERE subject_name = name.id AND {relation})
                    + (SELECT count(*) FROM graph_relation
                       WHERE object_name = name.id AND subject_name <> name.id AND {relation})
                    AS relations,
                    (SELECT count(*) FROM graph_mention AS mention
                     CROSS JOIN graph_fact AS fact ON fact.id = mention.fact
                     WHERE mention.name = name.id AND {mentioned}) AS facts
                FROM graph_name AS name
                WHERE name.ledger = ? {wanted}
                AND name.id NOT IN (SELECT value FROM json_each(?))
            ) ORDER BY relations + facts DESC, folded LIMIT ?
        """
        return self.connection.execute(
            sql,
            (
                *self.parameters * 3,
                self.ledger,
                *([] if among is None else [_encode(list(among))]),
                _encode(list(without)),
                most,
            ),
        ).fetchall()


def _node(connection: sqlite3.Connection, ledger: int | None, folded: str) -> int | None:
    row = connection.execute(
        "SELECT id FROM graph_name WHERE ledger = ? AND folded = ?", (ledger, folded)
    ).fetchone()
    return None if row is None else row[0]


def _relation(row: tuple[Any, ...]) -> Relation:
    return Relation(
        position=row[0],
        ended_by=row[1],
        scope=_scope(*row[2:6]),
        valid=_interval(row[6], row[7]),
        recorded=_interval(row[8], row[9]),
        expires_at=_moment(row[10]),
        fact_id=row[11],
        relation_id=row[12],
        subject=row[13],
        predicate=row[14],
        object=row[15],
    )


def _mention(row: tuple[Any, ...]) -> Mention:
    return Mention(
        position=row[0],
        ended_by=row[1],
        scope=_scope(*row[2:6]),
        valid=_interval(row[6], row[7]),
        recorded=_interval(row[8], row[9]),
        expires_at=_moment(row[10]),
        fact_id=row[11],
        entities=tuple(_decode(row[12])),
    )


def _relation_tie(row: tuple[Any, ...]) -> Tie:
    subject, object_ = (row[16], row[13]), (row[17], row[15])
    return Tie(_relation(row), (subject,) if row[16] == row[17] else (subject, object_))


def _mention_tie(row: tuple[Any, ...]) -> Tie:
    mention = _mention(row)
    return Tie(mention, tuple(zip(_decode(row[13]), mention.entities, strict=True)))


@lru_cache(maxsize=1024)
def _scope(
    user_id: str | None, agent_id: str | None, run_id: str | None, app_id: str | None
) -> Scope:
    return Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id)


def _interval(start: int | None, end: int | None) -> Interval:
    return Interval(
        start=None if start is None else from_microseconds(start),
        end=None if end is None else from_microseconds(end),
    )


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)


def _encode(values: Sequence[object]) -> str:
    return msgspec.json.encode(values).decode()


def _position(tie: Tie) -> Position:
    return tie.link.position
