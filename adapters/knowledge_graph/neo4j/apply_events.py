"""Fold a page of the log into the rows to write. Pure: no queries to the server.

The caller first reads the latest stored versions of the links that the page touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from attrs import define, field

from remembrancer.adapters.knowledge_graph.neo4j.versions import Version
from remembrancer.domain.events import RelationAsserted, RelationEnded, RelationReopened
from remembrancer.domain.facts.evolve import fact_id_of
from remembrancer.domain.graph.graph import GraphChange, LinkKey, Mention, Relation, changes_of
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId

Owned: TypeAlias = tuple[LedgerId, str]
"""An id with its ledger."""


@define
class TouchedLinks:
    """Ids of the facts and relations to read before a page is applied."""

    facts: set[Owned] = field(factory=set)
    relations: set[Owned] = field(factory=set)

    @classmethod
    def by(cls, page: Iterable[Recorded]) -> TouchedLinks:
        """Collect the ids in the events of a page."""
        touched = cls()
        for item in page:
            fact_id = fact_id_of(item.event)
            if fact_id is not None:
                touched.facts.add((item.ledger, fact_id))
            if isinstance(item.event, RelationAsserted | RelationEnded | RelationReopened):
                touched.relations.add((item.ledger, item.event.relation_id))
        return touched


class EventApplication:
    """Applies events to versions of links; ``made`` and ``closed`` are the changes to write.

    Args:
        stored: the stored versions of the touched links.
    """

    def __init__(self, stored: Iterable[Version]) -> None:
        self.made: list[Version] = []
        self.closed: list[Version] = []
        self._latest: dict[tuple[LedgerId, LinkKey], Version] = {}
        self._of_fact: dict[Owned, dict[LinkKey, None]] = {}
        for version in sorted(stored, key=lambda version: version.since):
            self._index(version)

    def take(self, item: Recorded) -> None:
        """Apply one event."""
        event, ledger = item.event, item.ledger
        fact_id = fact_id_of(event)
        keys: Iterable[LinkKey] = ()
        if isinstance(event, RelationAsserted | RelationEnded | RelationReopened):
            keys = [("relation", event.relation_id)]
        elif fact_id is not None:
            keys = self._of_fact.get((ledger, fact_id), ())
        mention = None if fact_id is None else self._link(ledger, ("fact", fact_id))
        links = [self._link(ledger, key) for key in keys]
        changes = changes_of(
            item,
            mention if isinstance(mention, Mention) else None,
            [link for link in links if isinstance(link, Relation)],
        )
        for change in changes:
            self._keep(item, change)

    def names(self) -> Sequence[tuple[LedgerId, str]]:
        """Return the names at the ends of the new versions, in order, with repetitions."""
        return [(version.ledger, name) for version in self.made for name in version.link.ends]

    def _link(self, ledger: LedgerId, key: LinkKey) -> Mention | Relation | None:
        version = self._latest.get((ledger, key))
        return None if version is None else version.link

    def _keep(self, item: Recorded, change: GraphChange) -> None:
        if change.before is not None:
            version = self._latest[item.ledger, change.before.key]
            version.link, version.until = change.before, item.position
            if version.stored:
                self.closed.append(version)
        if change.after is not None:
            version = Version(ledger=item.ledger, link=change.after, since=item.position)
            self.made.append(version)
            self._index(version)

    def _index(self, version: Version) -> None:
        link = version.link
        self._latest[version.ledger, link.key] = version
        if isinstance(link, Relation) and link.fact_id is not None:
            self._of_fact.setdefault((version.ledger, link.fact_id), {})[link.key] = None
