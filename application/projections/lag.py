"""How far the external projections are behind the log, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from remembrancer.application.projections.projector import Projector
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.projection_state import PartitionState
from remembrancer.domain.recorded import Position


@frozen(kw_only=True)
class Lag:
    """One partition of one external projection.

    ``events`` are those of the log that it has not been brought yet, ``seconds`` the age of the
    oldest of them. ``owner`` is who is at work on it. ``problem`` says why it is not brought
    further, ``rebuild`` that it has to be rebuilt before it can be.
    """

    projection: str
    partition: int
    position: Position
    events: int
    seconds: float
    dead: int
    owner: str | None
    problem: str | None
    rebuild: bool

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        result: dict[str, Any] = to_jsonable(self)
        return result


class MeasureLag:
    """Reads the book and the log.

    Args:
        projections: the external ones.
        log: the log.
        clock: the time.
    """

    def __init__(self, *, projections: Sequence[Projector], log: AuditLog, clock: Clock) -> None:
        self._projections = projections
        self._log = log
        self._clock = clock

    async def __call__(self) -> tuple[Lag, ...]:
        """Measure; empty where there is no external projection.

        Raises:
            AdapterUnavailable: the log's database did not answer.
        """
        return tuple(
            [
                await self._of(projector, partition_state)
                for projector in self._projections
                for partition_state in await projector.partition_states()
            ]
        )

    async def _of(self, projector: Projector, partition_state: PartitionState) -> Lag:
        last = await self._log.last_position()
        behind = max(0, last - partition_state.position)
        seconds = 0.0
        if behind:
            waiting = await self._log.read(partition_state.position, 1)
            now = await self._clock.now()
            seconds = max(0.0, (now - waiting[0].recorded_at).total_seconds())
        return Lag(
            projection=partition_state.projection,
            partition=partition_state.partition,
            position=partition_state.position,
            events=behind,
            seconds=seconds,
            dead=partition_state.dead,
            owner=partition_state.owner,
            problem=partition_state.problem,
            rebuild=partition_state.fingerprint != projector.feed.fingerprint,
        )
