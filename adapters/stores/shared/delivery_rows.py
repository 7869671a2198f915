"""Compare the rows of deliveries to external engines with the log: the part that SQLite and
PostgreSQL have in common. Leases, fencing tokens, causes and times are not in the log.
"""

from __future__ import annotations

from collections.abc import Iterable

from remembrancer.adapters.stores.shared.scripts import Row
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import RESTORE

FEED = Table(name="feed", projection="deliveries", columns=("position",), help=RESTORE)
DEAD_LETTER = Table(
    name="dead_letter",
    projection="deliveries",
    columns=("version", "event_id", "ledger", "type_name"),
    help=RESTORE,
)


def check_feeds(comparison: Comparison, rows: Iterable[Row], last: int) -> None:
    """Each engine has partitions from 0 on, and no position above that of the log.

    Args:
        comparison: reports what differs.
        rows: of projection, partition and position, in this order.
        last: the last position of the log.
    """
    places: dict[str, int] = {}
    for projection, partition, position in rows:
        place = places[projection] = places.get(projection, -1) + 1
        if partition != place:
            comparison.value(FEED, projection, "partition", place, partition)
        if not isinstance(position, int) or not 0 <= position <= last:
            key = (projection, partition)
            comparison.value(FEED, key, "position", f"0 to {last}", position)


def check_dead_letters(comparison: Comparison, rows: Iterable[Row]) -> None:
    """Each names the event at its position.

    Args:
        comparison: reports what differs.
        rows: of projection and position, the columns of ``DEAD_LETTER``, and the same columns of
            the event at the position.
    """
    for row in rows:
        comparison.row(DEAD_LETTER, row[:2], row[6:], row[2:6])
