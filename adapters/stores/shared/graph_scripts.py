"""The knowledge graph in SQL: the part that SQLite and PostgreSQL have in common.

Four tables: names, relations, facts, and mentions (which fact names which entity). A walk reads the
newest links of a name from an index: a name with a million links costs no more than one with a
hundred. ``Links`` decides how an event changes the links.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, ClassVar, TypeVar

from attrs import field, frozen

from remembrancer.adapters.stores.shared.escaping import Escaping
from remembrancer.adapters.stores.shared.link_columns import (
    FIRST,
    SHARED,
    fields_of,
    row_of,
    visible,
)
from remembrancer.adapters.stores.shared.scripts import Batch, Row, Script, Statement
from remembrancer.domain.epoch_micros import optional_microseconds
from remembrancer.domain.events import (
    FactAdded,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
)
from remembrancer.domain.facts.evolve import fact_id_of
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.graph import (
    Entity,
    Link,
    LinkKey,
    Mention,
    Relation,
    View,
    entities_of,
)
from remembrancer.domain.graph.link_history import Links
from remembrancer.domain.graph.walk import Reached, Tie, Walking, known_as, walk
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import normalised

T = TypeVar("T")

TABLES = ("graph_name", "graph_relation", "graph_fact", "graph_mention")

RELATION = f"{SHARED}, relation_id, subject, predicate, object, subject_name, object_name"
MENTION = f"{SHARED}, entities, names"

_UNLIMITED = 2**63 - 1


def indexes(ledger: str, position: str) -> tuple[str, ...]:
    """The indexes of relations and facts, for the names of two columns."""
    return (
        "INDEX IF NOT EXISTS graph_relation_id ON graph_relation (relation_id)",
        f"INDEX IF NOT EXISTS graph_relation_of ON graph_relation ({ledger}, fact_id)",
        # Separate indexes for aliases and other relations, so that neither search skips rows.
        *(
            f"INDEX IF NOT EXISTS graph_{end}_{kind} ON graph_relation ({end}_name, {position}) "
            f"WHERE predicate {sign} 'same_as'"
            for end in ("subject", "object")
            for kind, sign in (("relation", "<>"), ("synonym", "="))
        ),
        f"INDEX IF NOT EXISTS graph_synonym ON graph_relation ({ledger}) "
        "WHERE predicate = 'same_as'",
        f"INDEX IF NOT EXISTS graph_fact_of ON graph_fact ({ledger}, fact_id)",
    )


class GraphScripts(ABC):
    """The scripts of one store; see ``KnowledgeGraph`` for what the queries return."""

    ledger: ClassVar[str]
    """The column with the id of the ledger."""

    position: ClassVar[str]
    """The column with the position of the event that created a link."""

    read: ClassVar[str]
    """The expressions for the positions of the events that created and ended a link."""

    mentioned: ClassVar[str]
    """``graph_mention AS mention`` joined with ``graph_fact AS fact``."""

    at_once: ClassVar[int]
    """The number of names whose links a walk reads at once."""

    texts: ClassVar[Escaping]

    bounds: ClassVar[str]
    """The bounds of interruptions as a table; see ``visibility.timely``."""

    @abstractmethod
    def among(self, column: str, values: Iterable[object]) -> tuple[str, object]:
        """A condition for rows with one of ``values``, and its parameter."""

    @abstractmethod
    def latest(
        self, kind: str, columns: str, wanted: Mapping[str, Collection[str]], ledger_id: int
    ) -> Iterable[Statement]:
        """Statements for the latest versions of the links that have one of the values in one of the
        columns of ``wanted``. If there are several rows of a link, the last is the latest.
        """

    @abstractmethod
    def any_of(self, column: str, values: Collection[str]) -> Iterable[tuple[str, object]]:
        """Conditions with their parameter; rows with one of ``values`` meet exactly one of them."""

    @abstractmethod
    def new_fact_ids(self, count: int) -> Script[Sequence[int]]:
        """Unused ids for rows of ``graph_fact``."""

    @abstractmethod
    def newest_relations(
        self, nodes: Sequence[Hashable], most: int, seen: VisibleLinks
    ) -> Iterable[Statement]:
        """Statements for the visible relations of each name except ``same_as``: at least the newest
        ``most``, each row followed by the id of the name.
        """

    @abstractmethod
    def newest_mentions(
        self, nodes: Sequence[Hashable], most: int, seen: VisibleLinks
    ) -> Iterable[Statement]:
        """Statements for the visible facts that mention each name; as ``newest_relations``."""

    @staticmethod
    def listed(values: Iterable[Any]) -> object:
        """A list as stored in one column."""
        return list(values)

    @staticmethod
    def unlisted(stored: Any) -> list[Any]:
        """The inverse of ``listed``."""
        return list(stored)

    def checked(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Rows that begin with ``read``, if all positions are known."""
        return rows

    def apply(self, ledger_id: int, chain: Sequence[Recorded]) -> Script[int]:
        """Apply events of one ledger that touch the graph, in the append's transaction.

        Returns:
            The number of link versions added.
        """
        links = Links()
        yield from self._load(ledger_id, chain, links)
        before = {key: versions[0] for key, versions in links.history.items()}
        for item in chain:
            links.apply(item)
        closed: list[Link] = []
        begun: list[Link] = []
        for key, versions in links.history.items():
            if key not in before:
                begun += versions
                continue
            if versions[0] is not before[key]:
                closed.append(versions[0])
            begun += versions[1:]
        yield from self._close(ledger_id, closed)
        ids = yield from self._named(ledger_id, links.spelled)
        node = cache(lambda name: ids[normalised(name)])
        yield from self._write_relations(ledger_id, begun, node)
        yield from self._write_mentions(ledger_id, begun, node)
        return len(begun)

    def _load(self, ledger_id: int, chain: Sequence[Recorded], links: Links) -> Script[None]:
        """Load the latest versions of all links that the events may change."""
        facts: dict[str, None] = {}
        relations: dict[str, None] = {}
        changed: dict[str, None] = {}
        for item in chain:
            event, fact_id = item.event, fact_id_of(item.event)
            if fact_id is not None:
                facts[fact_id] = None
            if isinstance(event, RelationAsserted | RelationEnded | RelationReopened):
                relations[event.relation_id] = None
            elif fact_id is not None and not isinstance(event, FactAdded):
                changed[fact_id] = None
        for kind, columns, made, wanted in (
            ("fact", MENTION, self._mention, {"fact_id": facts}),
            ("relation", RELATION, self._relation, {"relation_id": relations, "fact_id": changed}),
        ):
            for statement in self.latest(kind, self._stored(columns), wanted, ledger_id):
                found = yield statement
                for row in found.rows:
                    links.load(made(row))

    def _close(self, ledger_id: int, closed: Iterable[Link]) -> Script[None]:
        for kind in ("relation", "fact"):
            rows = [
                (optional_microseconds(link.recorded.end), link.key[1], ledger_id)
                for link in closed
                if link.key[0] == kind
            ]
            if rows:
                yield Batch(
                    f"UPDATE graph_{kind} SET recorded_to = %s "
                    f"WHERE {kind}_id = %s AND {self.ledger} = %s AND recorded_to IS NULL",
                    rows,
                )

    def _named(self, ledger_id: int, spelled: Mapping[str, str]) -> Script[dict[str, int]]:
        """The ids of names; inserts those that are new."""
        stored = self.texts.stored
        # No other transaction adds names to the ledger meanwhile.
        if spelled:
            yield Batch(
                f"INSERT INTO graph_name ({self.ledger}, folded, name) VALUES (%s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                [(ledger_id, stored(folded), stored(name)) for folded, name in spelled.items()],
            )
        return (yield from self.nodes(ledger_id, spelled))

    def nodes(self, ledger_id: int, folded: Iterable[str]) -> Script[dict[str, int]]:
        """The ids of the names that are known."""
        ids: dict[str, int] = {}
        for condition, parameter in self.any_of("folded", list(map(self.texts.stored, folded))):
            found = yield Statement(
                f"SELECT folded, id FROM graph_name WHERE {condition} AND {self.ledger} = %s",
                (parameter, ledger_id),
            )
            ids.update((self.texts.restored(name), number) for name, number in found.rows)
        return ids

    def _write_relations(
        self, ledger_id: int, begun: Iterable[Link], node: Callable[[str], int]
    ) -> Script[None]:
        rows = [
            self.relation_row(ledger_id, link, node) for link in begun if isinstance(link, Relation)
        ]
        if rows:
            yield Batch(_insert("graph_relation", self.relation_columns), rows)

    def _write_mentions(
        self, ledger_id: int, begun: Iterable[Link], node: Callable[[str], int]
    ) -> Script[None]:
        mentions = [link for link in begun if isinstance(link, Mention)]
        if not mentions:
            return
        ids = yield from self.new_fact_ids(len(mentions))
        rows: list[Row] = []
        named: list[Row] = []
        for number, link in zip(ids, mentions, strict=True):
            rows.append(self.mention_row(number, ledger_id, link, node))
            named += self.mentioned_rows(number, link, node)
        yield Batch(_insert("graph_fact", self.mention_columns), rows)
        if named:
            yield Batch(_insert("graph_mention", f"name, {self.position}, fact"), named)

    @property
    def relation_columns(self) -> str:
        """The columns of ``relation_row``."""
        return f"{self.ledger}, {self._stored(RELATION)}"

    @property
    def mention_columns(self) -> str:
        """The columns of ``mention_row``."""
        return f"id, {self.ledger}, {self._stored(MENTION)}"

    def relation_row(self, ledger_id: int, link: Relation, node: Callable[[str], Any]) -> Row:
        """The row of one version of a relation; ``node`` returns the id of a name."""
        return (
            *(ledger_id, *row_of(link, self.listed), link.relation_id),
            *map(self.texts.stored, (link.subject, link.predicate, link.object)),
            *(node(link.subject), node(link.object)),
        )

    def mention_row(
        self, number: int, ledger_id: int, link: Mention, node: Callable[[str], Any]
    ) -> Row:
        """The row of one version of a mention, with its number."""
        return (
            *(number, ledger_id, *row_of(link, self.listed)),
            self.listed(map(self.texts.stored, link.entities)),
            self.listed(map(node, link.ends)),
        )

    def mentioned_rows(self, number: int, link: Mention, node: Callable[[str], Any]) -> list[Row]:
        """The rows of ``graph_mention`` for one version of a mention."""
        return [(node(name), link.position, number) for name in link.ends]

    def _stored(self, columns: str) -> str:
        """The columns of ``row_of``, followed by those of one kind of link."""
        return f"{self.position}, ended_by, {columns}"

    def neighbours(
        self, view: View, entities: Sequence[str], depth: int, limit: int
    ) -> Script[list[Reached]]:
        """See ``KnowledgeGraph.neighbours``."""
        seen = yield from self._seen(view)
        walking = walk(entities, depth=depth, limit=limit, at_once=self.at_once)
        return (yield from _answered(seen, walking))

    def relations(self, view: View, entity: str, limit: int) -> Script[list[Relation]]:
        """See ``KnowledgeGraph.relations``."""
        seen = yield from self._seen(view)
        nodes = yield from _answered(seen, known_as([entity]))
        near = yield from seen.relations(nodes, limit)
        found = {
            tie.link.key: tie.link
            for ties in near.values()
            for tie in ties
            if isinstance(tie.link, Relation)
        }
        return sorted(found.values(), key=lambda link: link.position, reverse=True)[:limit]

    def entities(self, view: View, names: Sequence[str] | None, limit: int) -> Script[list[Entity]]:
        """See ``KnowledgeGraph.entities``."""
        seen = yield from self._seen(view)
        if names is None:
            synonyms = yield from seen.all_synonyms()
            aliased = {node for tie in synonyms for node, _ in tie.ends}
            counted = yield from seen.counted(limit, without=aliased)
            counted += yield from seen.counted(among=aliased)
        else:
            nodes = yield from _answered(seen, known_as(names))
            synonyms = yield from seen.synonyms(nodes)
            counted = yield from seen.counted(among=nodes)
        return _grouped(counted, synonyms)[:limit]

    def versions(self, ledger: LedgerId, facts: Sequence[FactId] | None) -> Script[list[Link]]:
        """See ``LinkHistory.versions``."""
        where = f"{self.ledger} = (SELECT id FROM ledger WHERE name = %s)"
        parameters: list[object] = [ledger]
        if facts is not None:
            condition, parameter = self.among("fact_id", facts)
            where += f" AND {condition}"
            parameters.append(parameter)
        relations = yield Statement(
            f"SELECT {self.read}, {RELATION} FROM graph_relation WHERE {where} ORDER BY id",
            parameters,
        )
        mentions = yield Statement(
            f"SELECT {self.read}, {MENTION} FROM graph_fact WHERE {where} ORDER BY id",
            parameters,
        )
        return [
            *map(self._relation, self.checked(relations.rows)),
            *map(self._mention, self.checked(mentions.rows)),
        ]

    def _seen(self, view: View) -> Script[VisibleLinks]:
        found = yield Statement(
            "SELECT id, EXISTS (SELECT 1 FROM graph_relation "
            f"WHERE {self.ledger} = ledger.id AND predicate = 'same_as'), "
            f"EXISTS (SELECT 1 FROM graph_relation WHERE {self.ledger} = ledger.id) "
            "FROM ledger WHERE name = %s",
            (view.scope.ledger,),
        )
        ledger_id, aliases, related = found.rows[0] if found.rows else (None, False, False)
        return VisibleLinks(
            self,
            ledger_id,
            *visible(view, self.bounds),
            bool(aliases),
            bool(related),
            view.mentions,
        )

    def _relation(self, row: Row) -> Relation:
        restored = self.texts.restored
        return Relation(
            **fields_of(row, self.unlisted),
            relation_id=row[FIRST],
            subject=restored(row[FIRST + 1]),
            predicate=restored(row[FIRST + 2]),
            object=restored(row[FIRST + 3]),
        )

    def _mention(self, row: Row) -> Mention:
        entities = tuple(map(self.texts.restored, self.unlisted(row[FIRST])))
        return Mention(**fields_of(row, self.unlisted), entities=entities)

    def relation_tie(self, row: Row) -> Tie:
        """The relation in a row, with its ends."""
        relation = self._relation(row)
        subject, object_ = row[FIRST + 4 : FIRST + 6]
        ends = (subject, relation.subject), (object_, relation.object)
        return Tie(relation, ends[:1] if subject == object_ else ends)

    def mention_tie(self, row: Row) -> Tie:
        """The fact in a row, with the names that it mentions."""
        mention = self._mention(row)
        return Tie(
            mention, tuple(zip(self.unlisted(row[FIRST + 1]), mention.entities, strict=True))
        )


@frozen
class VisibleLinks:
    """``Ties`` on the links that a view sees, as scripts; a node is the id of a name.

    Args:
        scripts: those of the store.
        ledger_id: the view's ledger, ``None`` if the ledger does not exist yet.
        visible: the view as an SQL condition, with its ``parameters``.
        aliases: whether the ledger has any alias (``same_as``).
        related: whether the ledger has any relation, aliases included.
        mentions: whether the view includes mentions.
    """

    scripts: GraphScripts
    ledger_id: int | None
    visible: str
    parameters: tuple[object, ...] = field(repr=False)
    aliases: bool
    related: bool
    mentions: bool

    def nodes(self, names: Sequence[str]) -> Script[list[tuple[Hashable, str]]]:
        """See ``Ties.nodes``."""
        if self.ledger_id is None or not (self.related or self.mentions):
            # The ledger has no links that the view sees.
            return []
        folded = [(normalised(name), name) for name in names]
        found = yield from self.scripts.nodes(self.ledger_id, dict(folded))
        return [(found[key], name) for key, name in folded if key in found]

    def synonyms(self, nodes: Sequence[Hashable]) -> Script[list[Tie]]:
        """See ``Ties.synonyms``."""
        if not self.aliases or not nodes:
            return []
        found: dict[LinkKey, Tie] = {}
        for end in ("subject", "object"):
            ties = yield from self._synonyms(*self.scripts.among(f"{end}_name", nodes))
            found.update((tie.link.key, tie) for tie in ties)
        return sorted(found.values(), key=_position)

    def all_synonyms(self) -> Script[list[Tie]]:
        """The aliases of the whole ledger."""
        return self._synonyms(f"{self.scripts.ledger} = %s", self.ledger_id)

    def _synonyms(self, condition: str, parameter: object) -> Script[list[Tie]]:
        found = yield Statement(
            f"SELECT {self.scripts.read}, {RELATION} FROM graph_relation "
            f"WHERE {condition} AND predicate = 'same_as' AND {self.visible}",
            (parameter, *self.parameters),
        )
        return list(map(self.scripts.relation_tie, self.scripts.checked(found.rows)))

    def links(self, nodes: Sequence[Hashable], most: int) -> Script[list[list[Tie]]]:
        """See ``Ties.links``."""
        relations = yield from self.relations(nodes, most)
        mentions = yield from self._mentions(nodes, most)
        return [[*relations[node], *mentions[node]] for node in nodes]

    def relations(self, nodes: Sequence[Hashable], most: int) -> Script[dict[Hashable, list[Tie]]]:
        """The newest relations of each name except ``same_as``, newest first."""
        near: dict[Hashable, dict[str, Row]] = {node: {} for node in nodes}
        if self.related and nodes:
            for statement in self.scripts.newest_relations(nodes, most, self):
                found = yield statement
                for row in self.scripts.checked(found.rows):
                    # A relation of a name with itself may be found at both ends.
                    near[row[-1]][row[FIRST]] = row
        return {
            node: list(map(self.scripts.relation_tie, _newest(rows.values(), most)))
            for node, rows in near.items()
        }

    def _mentions(self, nodes: Sequence[Hashable], most: int) -> Script[dict[Hashable, list[Tie]]]:
        """The newest facts that mention each name, newest first."""
        near: dict[Hashable, list[Tie]] = {node: [] for node in nodes}
        if self.mentions and nodes:
            for statement in self.scripts.newest_mentions(nodes, most, self):
                found = yield statement
                for row in self.scripts.checked(found.rows):
                    near[row[-1]].append(self.scripts.mention_tie(row))
        return near

    def counted(
        self,
        most: int = _UNLIMITED,
        *,
        among: Iterable[Hashable] | None = None,
        without: Iterable[Hashable] = (),
    ) -> Script[list[tuple[str, str, int, int]]]:
        """Rows of (folded name, spelling, number of relations, number of facts), highest total
        first.
        """
        chosen, ids = self.scripts.among("name.id", without if among is None else among)
        wanted = f"NOT {chosen}" if among is None else chosen
        relation = f"{self.visible} AND predicate <> 'same_as'"
        found = yield Statement(
            f"""
            SELECT folded, name, relations, facts FROM (
                SELECT name.folded, name.name,
                    (SELECT count(*) FROM graph_relation
                     WHERE subject_name = name.id AND {relation})
                    + (SELECT count(*) FROM graph_relation
                       WHERE object_name = name.id AND subject_name <> name.id AND {relation})
                    AS relations,
                    (SELECT count(*) FROM {self.scripts.mentioned}
                     WHERE mention.name = name.id AND {self.visible} AND {self.mentions}) AS facts
                FROM graph_name AS name
                WHERE name.{self.scripts.ledger} = %s AND {wanted}
            ) AS counted ORDER BY relations + facts DESC, folded LIMIT %s
            """,
            (*self.parameters * 3, self.ledger_id, ids, most),
        )
        restored = self.scripts.texts.restored
        return [(restored(folded), restored(name), *counts) for folded, name, *counts in found.rows]


@cache
def _insert(table: str, columns: str) -> str:
    marks = ", ".join(["%s"] * len(columns.split(", ")))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"


def _answered(seen: VisibleLinks, walking: Walking[T]) -> Script[T]:
    """The result of ``walking``: ``domain.graph.walk.answered`` for ``Ties`` with scripts."""
    answer = None
    while True:
        try:
            question = walking.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        answer = yield from question(seen)


def _grouped(counted: Iterable[tuple[str, str, int, int]], synonyms: Iterable[Tie]) -> list[Entity]:
    relations = [tie.link for tie in synonyms if isinstance(tie.link, Relation)]
    ends = {normalised(end) for relation in relations for end in relation.ends}
    counts: dict[str, tuple[int, int]] = {}
    spelled: dict[str, str] = {}
    for folded, name, in_relations, in_facts in counted:
        spelled[folded] = name
        if in_relations or in_facts or folded in ends:
            counts[folded] = (in_relations, in_facts)
    return entities_of(counts, relations, spelled)


def _newest(rows: Iterable[Row], most: int) -> list[Row]:
    return sorted(rows, key=itemgetter(0), reverse=True)[:most]


def _position(tie: Tie) -> int:
    return tie.link.position
