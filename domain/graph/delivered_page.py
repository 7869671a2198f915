"""Which events of a delivered page an external graph applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId


def not_applied(
    chain: Sequence[Recorded], applied: Mapping[LedgerId, int], *, adapter: str
) -> list[Recorded]:
    """The events of a page that a graph has not applied yet, in order.

    A page that was delayed may arrive after the graph was cleared. If its events were applied, the
    ones before them would be taken for applied, too, and would be skipped when they are delivered
    again.

    Args:
        chain: the page; its events are ordered by version within each ledger.
        applied: the last applied version of each ledger in the page, 0 if there is none.
        adapter: name of the graph, for the error.

    Raises:
        AdapterUnavailable: events of a ledger are missing before those of the page.
    """
    reached = dict(applied)
    fresh: list[Recorded] = []
    for item in chain:
        last = reached.get(item.ledger, 0)
        if item.version <= last:
            continue
        if item.version != last + 1:
            raise AdapterUnavailable(
                adapter,
                f"version {item.version} of a ledger was delivered after version {last}: the page "
                "is late, or the graph has lost events; if this goes on, rebuild knowledge_graph",
            )
        reached[item.ledger] = item.version
        fresh.append(item)
    return fresh
