"""Convert dead letters to table rows and back, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.ports.projection_state import DeadLetter
from remembrancer.domain.recorded import EventId, Position
from remembrancer.domain.scope import LedgerId

LETTER = (
    "projection, partition, position, version, event_id, ledger, type_name, cause, tries, since"
)
"""The columns, in the order of ``row_of``."""


def row_of(letter: DeadLetter) -> tuple[object, ...]:
    """A dead letter as a row; ``since`` in microseconds since 1970 in UTC."""
    return (
        letter.projection,
        letter.partition,
        letter.position,
        letter.version,
        letter.event_id,
        letter.ledger,
        letter.type_name,
        letter.cause,
        letter.tries,
        to_microseconds(letter.since),
    )


def letter_of(row: Sequence[Any]) -> DeadLetter:
    """The dead letter in a row: the inverse of ``row_of``."""
    projection, partition, position, version, event_id, ledger, type_name, cause, tries, since = row
    return DeadLetter(
        projection=projection,
        partition=partition,
        position=Position(position),
        version=version,
        event_id=EventId(event_id),
        ledger=LedgerId(ledger),
        type_name=type_name,
        cause=cause,
        tries=tries,
        since=from_microseconds(since),
    )
