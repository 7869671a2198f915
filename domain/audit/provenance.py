"""Where the versions of a fact come from. Nothing is guessed: what can't be followed is a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from remembrancer.domain.events import EventId
from remembrancer.domain.facts.evolve import LedgerState, changes_of
from remembrancer.domain.facts.fact import Fact, FactId, FactKey
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.recorded import CorrelationId, Position, Recorded


@frozen(kw_only=True)
class Step:
    """The event that made one version of a fact.

    ``text`` is the text of the fact in that version, ``type`` the type name of the event.
    """

    version: int
    text: str
    event_id: EventId
    position: Position
    recorded_at: datetime
    actor: str
    correlation_id: CorrelationId
    type: str
    reason: str = ""


@frozen(kw_only=True)
class Why:
    """Why the memory believes a fact: the steps that led to ``fact``, oldest first."""

    fact: Fact
    versions: tuple[Step, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        result: dict[str, Any] = to_jsonable(self)
        return result


def makers(
    append: Sequence[Recorded], versions: Mapping[FactId, Sequence[Fact]]
) -> dict[FactKey, Recorded]:
    """The event that made each version of some facts, within one append.

    Args:
        append: all of its events, in order.
        versions: all versions of the facts, and of those that were their rivals.
    """
    at = append[0].recorded_at
    state = LedgerState(
        facts={
            fact_id: tuple(fact for fact in history if fact.updated_at < at)
            for fact_id, history in versions.items()
        }
    )
    made: dict[FactKey, Recorded] = {}
    for item in append:
        changes = changes_of(item.event, at, state.latest, state.at_version)
        state.changed(changes)
        made.update((change.after.key, item) for change in changes)
    return made
