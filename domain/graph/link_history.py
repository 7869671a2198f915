"""All versions of the links of one ledger: the graph as the fold of its events.

Pure. Every graph store holds the same versions; the in-memory store is built on this module.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from attrs import define, field

from remembrancer.domain.events import RelationAsserted, RelationEnded, RelationReopened
from remembrancer.domain.facts.evolve import fact_id_of
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.graph import (
    GraphChange,
    Link,
    LinkKey,
    Mention,
    Relation,
    changes_of,
)
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.text import normalised


@define
class Links:
    """All versions of every link, oldest first, with lookup tables.

    ``of_fact``: the relations of a fact. ``by_name``: the links that ever joined a name.
    ``spelled``: the first spelling of a name.
    """

    history: dict[LinkKey, list[Link]] = field(factory=dict)
    of_fact: dict[FactId, list[LinkKey]] = field(factory=lambda: defaultdict(list))
    by_name: dict[Hashable, set[LinkKey]] = field(factory=lambda: defaultdict(set))
    spelled: dict[str, str] = field(factory=dict)

    def load(self, latest: Link) -> None:
        """Add the latest version of a link, to apply further events to it alone."""
        if latest.key not in self.history:
            self._begin(latest)
        self.history[latest.key] = [latest]

    def apply(self, item: Recorded) -> None:
        """Apply one event of the ledger."""
        event, fact_id = item.event, fact_id_of(item.event)
        mention = self._latest(("fact", fact_id)) if fact_id is not None else None
        keys = self.of_fact.get(fact_id, []) if fact_id is not None else []
        if isinstance(event, RelationAsserted | RelationEnded | RelationReopened):
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
        if change.after is not None:
            self.add(change.after)

    def add(self, after: Link) -> None:
        """Add a version after the versions of the same link, if there are any."""
        if after.key not in self.history:
            self._begin(after)
        self.history.setdefault(after.key, []).append(after)
        for name in after.ends:
            folded = normalised(name)
            self.spelled.setdefault(folded, name)
            self.by_name[folded].add(after.key)

    def _begin(self, link: Link) -> None:
        if isinstance(link, Relation) and link.fact_id is not None:
            self.of_fact[link.fact_id].append(link.key)
