"""A knowledge graph in memory: all versions of every link, searched with plain loops."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar
from uuid import uuid4

from attrs import frozen

from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.delivered_page import not_applied
from remembrancer.domain.graph.graph import (
    Entity,
    Link,
    LinkKey,
    Mention,
    Relation,
    View,
    count_links,
    entities_of,
    touches,
)
from remembrancer.domain.graph.link_history import Links
from remembrancer.domain.graph.walk import Reached, Tie, answered, known_as, walk
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import normalised
from remembrancer.version import __version__


class InMemoryKnowledgeGraph:
    """``KnowledgeGraph`` in dictionaries: a read model of the in-memory log, or an
    ``ExternalGraph`` beside another log.
    """

    name = "graph"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._ledgers: dict[LedgerId, Links] = defaultdict(Links)
        self._applied: dict[LedgerId, int] = {}
        # A new instance is empty, so it must not match the checkpoint of an earlier one.
        self.fingerprint = uuid4().hex

    def apply(self, chain: Sequence[Recorded]) -> None:
        """See ``ExternalGraph.apply``."""
        with self._lock:
            for item in not_applied(chain, self._applied, adapter="memory"):
                self._applied[item.ledger] = item.version
                if touches(item.event):
                    self._ledgers[item.ledger].apply(item)

    def history(self, ledger: LedgerId) -> dict[LinkKey, list[Link]]:
        """All versions of the links of a ledger."""
        with self._lock:
            return {key: list(links) for key, links in self._ledgers[ledger].history.items()}

    def clear(self) -> None:
        """See ``ExternalGraph.clear``."""
        with self._lock:
            self._ledgers.clear()
            self._applied.clear()

    def ping(self) -> str:
        """See ``ExternalGraph.ping``."""
        return f"memory {__version__}"

    def close(self) -> None:
        """See ``ExternalGraph.close``."""

    def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """See ``KnowledgeGraph.neighbours``."""
        with self._lock:
            return answered(self._seen(view), walk(entities, depth=depth, limit=limit))

    def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """See ``KnowledgeGraph.relations``."""
        with self._lock:
            seen = self._seen(view)
            found = {
                relation.relation_id: relation
                for name in answered(seen, known_as([entity]))
                for relation in seen.relations(name)
            }
        return _newest_first(found.values())[:limit]

    def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """See ``KnowledgeGraph.entities``."""
        with self._lock:
            held = self._ledgers.get(view.scope.ledger) or Links()
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

    def versions(self, ledger: LedgerId, facts: Sequence[FactId] | None = None) -> Sequence[Link]:
        """See ``LinkHistory.versions``."""
        with self._lock:
            held = self._ledgers.get(ledger) or Links()
            wanted = None if facts is None else set(facts)
            return [
                link
                for versions in held.history.values()
                for link in versions
                if wanted is None or link.fact_id in wanted
            ]

    def _seen(self, view: View) -> _VisibleLinks:
        return _VisibleLinks(self._ledgers.get(view.scope.ledger) or Links(), view)


@frozen
class _VisibleLinks:
    """``Ties`` on the links that a view sees."""

    held: Links
    view: View

    def nodes(self, names: Sequence[str]) -> Sequence[tuple[Hashable, str]]:
        """See ``Ties.nodes``."""
        return [(node, name) for name in names if (node := normalised(name)) in self.held.by_name]

    def synonyms(self, nodes: Sequence[Hashable]) -> Sequence[Tie]:
        """See ``Ties.synonyms``."""
        found = (link for node in nodes for link in self._of(node) if isinstance(link, Relation))
        oldest = _newest_first({link.key: link for link in found if link.synonym}.values())[::-1]
        return [_tie(link) for link in oldest]

    def links(self, nodes: Sequence[Hashable], most: int) -> Sequence[Sequence[Tie]]:
        """See ``Ties.links``."""
        return [self._links(node, most) for node in nodes]

    def _links(self, node: Hashable, most: int) -> list[Tie]:
        mentions = [link for link in self._of(node) if isinstance(link, Mention)]
        return [
            *map(_tie, self.relations(node)[:most]),
            *map(_tie, _newest_first(mentions)[:most]),
        ]

    def relations(self, node: Hashable) -> list[Relation]:
        """The relations of a name except ``same_as``, newest first."""
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
