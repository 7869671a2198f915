"""The knowledge graph in memory: the versions of every link, and plain loops over them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from attrs import define, field, frozen

from memledger.domain.events import RelationAsserted, RelationEnded
from memledger.domain.fact import FactId
from memledger.domain.graph import (
    Entity,
    GraphChange,
    Link,
    LinkKey,
    Mention,
    Relation,
    View,
    changes_of,
    count_links,
    entities_of,
    touches,
)
from memledger.domain.ledger import fact_id_of
from memledger.domain.recorded import Recorded
from memledger.domain.scope import LedgerId
from memledger.domain.text import normalised
from memledger.domain.walk import Reached, Tie, known_as, walk


class InMemoryKnowledgeGraph:
    """``KnowledgeGraph`` over dictionaries, fed by the in-memory log."""

    name = "graph"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._ledgers: dict[LedgerId, _Links] = defaultdict(_Links)

    def apply(self, chain: Sequence[Recorded]) -> None:
        """Take in events, in order."""
        with self._lock:
            for item in chain:
                if touches(item.event):
                    self._ledgers[item.ledger].apply(item)

    def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """See ``KnowledgeGraph.neighbours``."""
        with self._lock:
            return walk(self._seen(view), entities, depth=depth, limit=limit)

    def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """See ``KnowledgeGraph.relations``."""
        with self._lock:
            seen = self._seen(view)
            found = {
                relation.relation_id: relation
                for name in known_as(seen, [entity])
                for relation in seen.relations(name)
            }
        return _newest_first(found.values())[:limit]

    def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """See ``KnowledgeGraph.entities``."""
        with self._lock:
            held = self._ledgers.get(view.scope.ledger) or _Links()
            seen = [link for history in held.history.values() for link in history]
            seen = [link for link in seen if view.sees(link)]
            synonyms = [link for link in seen if isinstance(link, Relation) and link.synonym]
            found = entities_of(count_links(seen), synonyms, held.spelled)
        if names is None:
            return found[:limit]
        wanted = {normalised(name) for name in names}
        return [
            entity
            for entity in found
            if not wanted.isdisjoint(map(normalised, (entity.name, *entity.aliases)))
        ][:limit]

    def _seen(self, view: View) -> _Seen:
        return _Seen(self._ledgers.get(view.scope.ledger) or _Links(), view)


@define
class _Links:
    """Every version of every link of one ledger, oldest first."""

    history: dict[LinkKey, list[Link]] = field(factory=dict)
    of_fact: dict[FactId, list[LinkKey]] = field(factory=lambda: defaultdict(list))
    by_name: dict[Hashable, set[LinkKey]] = field(factory=lambda: defaultdict(set))
    spelled: dict[str, str] = field(factory=dict)

    def apply(self, item: Recorded) -> None:
        """Take in one event."""
        event, fact_id = item.event, fact_id_of(item.event)
        mention = self._latest(("fact", fact_id)) if fact_id is not None else None
        keys = self.of_fact.get(fact_id, []) if fact_id is not None else []
        if isinstance(event, RelationAsserted | RelationEnded):
            keys = [("relation", event.relation_id)]
        relations = [link for key in keys if isinstance(link := self._latest(key), Relation)]
        changes = changes_of(item, mention if isinstance(mention, Mention) else None, relations)
        for change in changes:
            self._keep(change)

    def _latest(self, key: LinkKey) -> Link | None:
        return self.history[key][-1] if key in self.history else None

    def _keep(self, change: GraphChange) -> None:
        if change.before is not None:
            self.history[change.before.key][-1] = change.before
        after = change.after
        if after is None:
            return
        self.history.setdefault(after.key, []).append(after)
        if change.before is None and isinstance(after, Relation) and after.fact_id is not None:
            self.of_fact[after.fact_id].append(after.key)
        for name in after.ends:
            self.spelled.setdefault(normalised(name), name)
            self.by_name[normalised(name)].add(after.key)


@frozen
class _Seen:
    """``Ties`` over what a view sees."""

    held: _Links
    view: View

    def nodes(self, names: Sequence[str]) -> Sequence[tuple[Hashable, str]]:
        """See ``Ties.nodes``."""
        return [(node, name) for name in names if (node := normalised(name)) in self.held.by_name]

    def synonyms(self, nodes: Sequence[Hashable]) -> Sequence[Tie]:
        """See ``Ties.synonyms``."""
        found = (link for node in nodes for link in self._of(node) if isinstance(link, Relation))
        oldest = _newest_first({link.key: link for link in found if link.synonym}.values())[::-1]
        return [_tie(link) for link in oldest]

    def links(self, node: Hashable, most: int) -> Sequence[Tie]:
        """See ``Ties.links``."""
        mentions = [link for link in self._of(node) if isinstance(link, Mention)]
        return [
            *map(_tie, self.relations(node)[:most]),
            *map(_tie, _newest_first(mentions)[:most]),
        ]

    def relations(self, node: Hashable) -> list[Relation]:
        """The relations of a name, without those to its aliases, newest first."""
        found = (link for link in self._of(node) if isinstance(link, Relation))
        return _newest_first(link for link in found if not link.synonym)

    def _of(self, node: Hashable) -> Iterator[Link]:
        for key in self.held.by_name.get(node, ()):
            for link in self.held.history[key]:
                if self.view.sees(link) and any(normalised(end) == node for end in link.ends):
                    yield link


def _tie(link: Link) -> Tie:
    return Tie(link, tuple((normalised(name), name) for name in link.ends))


_L = TypeVar("_L", bound=Link)


def _newest_first(links: Iterable[_L]) -> list[_L]:
    return sorted(links, key=lambda link: link.position, reverse=True)
