"""The knowledge graph: entities, the links between them, and the changes that events make.

Pure. An entity is a set of names. A relation joins two entities, a fact joins all entities that it
names. ``walk`` traverses the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import singledispatch
from typing import TypeAlias, TypeVar

from attrs import evolve, frozen

from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactCorrected,
    FactExpired,
    FactRestored,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
)
from remembrancer.domain.facts.fact import FactId, FactStatus, Interval, clipped, holds, joined
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import Scope
from remembrancer.domain.text import normalised

LinkKey: TypeAlias = tuple[str, str]

SAME_AS = "same_as"
"""The predicate of an alias: the subject is another name of the object. It is asserted and ended
like any relation, so that entities merged by mistake can be separated again.
"""


# A walk makes hundreds of links. A dict instead of slots halves the time to make one.
@frozen(kw_only=True, slots=False)
class _Link:
    """One version of a link between entities.

    ``valid`` is its valid time, except the ``interruptions`` in it; ``recorded`` is the transaction
    time at which the ledger held this version. ``position`` is that of the event that created the
    link, ``ended_by`` that of the event that closed its valid time. ``expires_at`` is that of its
    fact.
    """

    scope: Scope
    position: Position
    ended_by: Position | None = None
    valid: Interval = Interval()
    interruptions: tuple[Interval, ...] = ()
    recorded: Interval
    expires_at: datetime | None = None

    def holds_at(self, moment: datetime) -> bool:
        """Whether the link holds in the world at ``moment`` (aware)."""
        return holds(self.valid, self.interruptions, moment)

    @property
    def believed(self) -> bool:
        """Whether this is the current version in the ledger."""
        return self.recorded.end is None

    @property
    def open(self) -> bool:
        """Whether this is the current version and no event has ended it."""
        return self.believed and self.ended_by is None


@frozen(kw_only=True, slots=False)
class Relation(_Link):
    """A relation from ``subject`` to ``object``; ``fact_id`` is the fact that it comes from."""

    relation_id: str
    subject: str
    predicate: str
    object: str
    fact_id: FactId | None = None

    @property
    def key(self) -> LinkKey:
        """The identity of the link, the same for all of its versions."""
        return ("relation", self.relation_id)

    @property
    def ends(self) -> tuple[str, ...]:
        """The names that it joins; one if both are the same."""
        return _named((self.subject, self.object))

    @property
    def synonym(self) -> bool:
        """Whether it is an alias (``SAME_AS``)."""
        return self.predicate == SAME_AS


@frozen(kw_only=True, slots=False)
class Mention(_Link):
    """A fact as a link between all entities that it names."""

    fact_id: FactId
    entities: tuple[str, ...]

    @property
    def key(self) -> LinkKey:
        """The identity of the link, the same for all of its versions."""
        return ("fact", self.fact_id)

    @property
    def ends(self) -> tuple[str, ...]:
        """The names that it joins."""
        return self.entities


Link: TypeAlias = Relation | Mention


@frozen(kw_only=True)
class Entity:
    """An entity with its aliases and the numbers of its relations and facts."""

    name: str
    aliases: tuple[str, ...] = ()
    relations: int = 0
    facts: int = 0


@frozen(kw_only=True)
class View:
    """The part of the graph that a read sees. Times as in ``Fact.visible``.

    ``ended`` includes links that have ended by ``now``, if ``valid_at`` is ``None``;
    ``mentions=False`` leaves out mentions.
    """

    scope: Scope
    now: datetime
    as_of: datetime | None = None
    valid_at: datetime | None = None
    ended: bool = False
    mentions: bool = True

    def sees(self, link: Link) -> bool:
        """Whether a version is in the scope and visible at the times of the view."""
        recorded, valid = link.recorded, link.valid
        return (
            (self.mentions or isinstance(link, Relation))
            and self.scope.covers(link.scope)
            and (recorded.end is None if self.as_of is None else recorded.contains(self.as_of))
            and (link.expires_at is None or self.now < link.expires_at)
            and (
                link.holds_at(self.valid_at)
                if self.valid_at is not None
                else self.ended or valid.end is None or self.now < valid.end
            )
        )


@frozen(kw_only=True)
class GraphChange:
    """One step in a link's history: the version that ended (``None``: there was none, because the
    link is new or was withdrawn) and the next one (``None``: the link was withdrawn).
    """

    before: Link | None
    after: Link | None


def changes_of(
    recorded: Recorded, mention: Mention | None, relations: Sequence[Relation]
) -> list[GraphChange]:
    """The changes that an event makes to the graph. An event that comes too late, or twice, changes
    nothing and raises nothing.

    A relation follows its fact: it ends, expires and is withdrawn with it.

    Args:
        recorded: the event with its envelope.
        mention: the latest version of the fact that the event names, withdrawn or not; ``None`` if
            its ledger has no such fact.
        relations: the latest version of the relation that the event names or, for an event about
            a fact, of each relation that comes from it; all in the same ledger.
    """
    return _changes(recorded.event, recorded, mention, relations)


def touches(event: Event) -> bool:
    """Whether an event can change the graph."""
    return isinstance(event, _TOUCHING)


_TOUCHING = (
    FactAdded,
    FactRevised,
    FactSuperseded,
    FactRetracted,
    FactExpired,
    FactRestored,
    FactCorrected,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
)


@singledispatch
def _changes(
    _event: object,
    _recorded: Recorded,
    _mention: Mention | None,
    _relations: Sequence[Relation],
) -> list[GraphChange]:
    return []


@_changes.register
def _(
    event: FactAdded, recorded: Recorded, mention: Mention | None, _relations: Sequence[Relation]
) -> list[GraphChange]:
    if mention is not None:
        return []
    return [GraphChange(before=None, after=first_mention(event, recorded))]


def first_mention(event: FactAdded, recorded: Recorded) -> Mention:
    """The first version of a fact in the graph."""
    return Mention(
        fact_id=event.fact_id,
        entities=_named(event.entities),
        scope=event.scope,
        position=recorded.position,
        valid=event.valid,
        recorded=Interval(start=recorded.recorded_at),
        expires_at=event.expires_at,
    )


@_changes.register
def _(
    event: FactRevised, recorded: Recorded, mention: Mention | None, relations: Sequence[Relation]
) -> list[GraphChange]:
    if mention is None or not mention.open:
        return []
    entities = mention.entities if event.entities is None else _named(event.entities)
    expires_at = mention.expires_at if event.expires_at is None else event.expires_at
    changed: list[tuple[Link, Link]] = [
        (mention, evolve(mention, entities=entities, expires_at=expires_at))
    ]
    changed += [
        (relation, evolve(relation, expires_at=expires_at))
        for relation in relations
        if relation.believed
    ]
    return [_step(recorded, before, after) for before, after in changed if before != after]


@_changes.register
def _(
    event: FactSuperseded,
    recorded: Recorded,
    mention: Mention | None,
    relations: Sequence[Relation],
) -> list[GraphChange]:
    if mention is None or not mention.open:
        return []
    changes = [_step(recorded, mention, _ended(mention, event.ended_at, recorded))]
    for relation in relations:
        if relation.open:
            # A relation that ended earlier keeps its end.
            end = min(relation.valid.end or event.ended_at, event.ended_at)
            changes.append(_step(recorded, relation, _ended(relation, end, recorded)))
    return changes


@_changes.register(FactRetracted)
@_changes.register(FactExpired)
def _(
    _event: FactRetracted | FactExpired,
    recorded: Recorded,
    mention: Mention | None,
    relations: Sequence[Relation],
) -> list[GraphChange]:
    if mention is None or not mention.open:
        return []
    withdrawn: list[Link] = [mention, *(relation for relation in relations if relation.believed)]
    return [_step(recorded, link, None) for link in withdrawn]


@_changes.register
def _(
    event: FactRestored,
    recorded: Recorded,
    mention: Mention | None,
    relations: Sequence[Relation],
) -> list[GraphChange]:
    """Relations are restored by events of their own, since each has its own times. With a fact that
    is withdrawn again they are withdrawn.
    """
    if mention is None:
        return []
    if event.status in (FactStatus.RETRACTED, FactStatus.EXPIRED):
        links: list[Link] = [mention, *relations]
        return [_step(recorded, link, None) for link in links if link.believed]
    after = evolve(
        mention,
        entities=_named(event.entities),
        valid=event.valid,
        interruptions=event.interruptions,
        expires_at=event.expires_at,
        ended_by=None if event.status is FactStatus.ACTIVE else recorded.position,
    )
    return [_begun(recorded, mention, after)]


@_changes.register
def _(
    event: FactCorrected,
    recorded: Recorded,
    mention: Mention | None,
    relations: Sequence[Relation],
) -> list[GraphChange]:
    if mention is None or not mention.believed:
        return []
    after = mention if event.entities is None else evolve(mention, entities=_named(event.entities))
    links: list[tuple[Link, Link]] = [(mention, after)]
    links += [(relation, _renamed(relation, event)) for relation in relations if relation.believed]
    links = [
        # A relation with times of its own keeps them.
        (link, _held(new, event, recorded) if _times(link) == _times(mention) else new)
        for link, new in links
    ]
    return [_step(recorded, before, link) for before, link in links if before != link]


@_changes.register
def _(
    event: RelationAsserted,
    recorded: Recorded,
    mention: Mention | None,
    relations: Sequence[Relation],
) -> list[GraphChange]:
    nameless = not normalised(event.subject) or not normalised(event.object)
    if nameless or relations or (mention is not None and not mention.open):
        return []
    # A relation without a valid time of its own takes that of its fact.
    holds = mention.valid if mention is not None and event.valid == Interval() else event.valid
    born = Relation(
        relation_id=event.relation_id,
        scope=event.scope,
        subject=event.subject,
        predicate=event.predicate,
        object=event.object,
        fact_id=event.fact_id,
        position=recorded.position,
        valid=holds,
        recorded=Interval(start=recorded.recorded_at),
        expires_at=mention.expires_at if mention is not None else None,
    )
    return [GraphChange(before=None, after=born)]


@_changes.register
def _(
    event: RelationEnded,
    recorded: Recorded,
    _mention: Mention | None,
    relations: Sequence[Relation],
) -> list[GraphChange]:
    return [
        _step(recorded, relation, _ended(relation, event.ended_at, recorded))
        for relation in relations
        if relation.open
    ]


@_changes.register
def _(
    event: RelationReopened,
    recorded: Recorded,
    _mention: Mention | None,
    relations: Sequence[Relation],
) -> list[GraphChange]:
    return [
        _begun(
            recorded,
            relation,
            evolve(
                relation,
                object=relation.object if event.object is None else event.object,
                valid=event.valid,
                interruptions=event.interruptions,
                expires_at=event.expires_at,
                ended_by=None,
            ),
        )
        for relation in relations
        if not relation.open
    ]


_L = TypeVar("_L", Relation, Mention)


def _times(link: Link) -> tuple[Interval, tuple[Interval, ...]]:
    return link.valid, link.interruptions


def _renamed(relation: Relation, event: FactCorrected) -> Relation:
    """The relation of a statement, after a correction of the statement."""
    stated = event.statement
    if stated is None or (relation.subject, relation.predicate) != (
        stated.subject,
        stated.predicate,
    ):
        return relation
    return evolve(relation, object=stated.value)


def _held(link: Link, event: FactCorrected, by: Recorded) -> Link:
    """A link with the spans of valid time of a correction, if it has any; open if its fact is."""
    if event.valid:
        valid, interruptions = joined(event.valid)
        link = evolve(link, valid=valid, interruptions=interruptions)
    if event.status is None:
        return evolve(link, ended_by=None if link.valid.end is None else link.ended_by)
    open_again = event.status is FactStatus.ACTIVE
    return evolve(link, ended_by=None if open_again else link.ended_by or by.position)


def _ended(link: _L, moment: datetime, by: Recorded) -> _L:
    end, interruptions = clipped(link.interruptions, moment)
    valid = Interval(start=link.valid.start, end=end)
    return evolve(link, valid=valid, interruptions=tuple(interruptions), ended_by=by.position)


def _begun(recorded: Recorded, before: Link, after: Link) -> GraphChange:
    """A step to the next version of a link that may have been withdrawn before."""
    if before.believed:
        return _step(recorded, before, after)
    after = evolve(after, recorded=Interval(start=recorded.recorded_at))
    return GraphChange(before=None, after=after)


def _step(recorded: Recorded, before: Link, after: Link | None) -> GraphChange:
    moment = recorded.recorded_at
    return GraphChange(
        before=evolve(before, recorded=Interval(start=before.recorded.start, end=moment)),
        after=None if after is None else evolve(after, recorded=Interval(start=moment)),
    )


def _named(entities: Iterable[str]) -> tuple[str, ...]:
    """Each entity once, under the name that comes first."""
    named: dict[str, str] = {}
    for name in entities:
        if folded := normalised(name):
            named.setdefault(folded, name)
    return tuple(named.values())


def entities_of(
    counts: Mapping[str, tuple[int, int]],
    synonyms: Iterable[Relation],
    spelled: Mapping[str, str],
) -> list[Entity]:
    """Group names into entities, those with most links first, ties by name.

    Args:
        counts: for each name (``normalised``) the numbers of its relations, without ``SAME_AS``,
            and of its facts.
        synonyms: the visible ``SAME_AS`` relations.
        spelled: the spelling of each name (``normalised``).
    """
    groups: dict[str, set[str]] = {name: {name} for name in counts}
    aliases: set[str] = set()
    for relation in synonyms:
        alias, name = normalised(relation.subject), normalised(relation.object)
        joined = groups.get(alias, {alias}) | groups.get(name, {name})
        groups.update(dict.fromkeys(joined, joined))
        if alias != name:
            aliases.add(alias)
    found = [
        (min(group - aliases or group), group)
        for group in {id(group): group for group in groups.values()}.values()
    ]
    entities = [
        (
            first,
            Entity(
                name=spelled[first],
                aliases=tuple(spelled[name] for name in sorted(group - {first})),
                relations=sum(counts.get(name, (0, 0))[0] for name in group),
                facts=sum(counts.get(name, (0, 0))[1] for name in group),
            ),
        )
        for first, group in found
    ]
    entities.sort(key=lambda pair: (-pair[1].relations - pair[1].facts, pair[0]))
    return [entity for _, entity in entities]


def count_links(links: Iterable[Link]) -> dict[str, tuple[int, int]]:
    """For each name the numbers of its relations, without ``SAME_AS``, and of its facts."""
    counts: dict[str, tuple[int, int]] = {}
    for link in links:
        if isinstance(link, Relation) and link.synonym:
            continue
        of_fact = isinstance(link, Mention)
        for name in map(normalised, link.ends):
            relations, facts = counts.get(name, (0, 0))
            counts[name] = (relations + (not of_fact), facts + of_fact)
    return counts
