"""Lag of the external projections behind the log, and its cause."""

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
    """The lag of one partition of an external projection.

    ``events``: number of events in the log that are not delivered yet; ``seconds``: age of the
    oldest one. ``dead``: number of dead letters. ``owner``: owner of the current lease, if any.
    ``problem``: the error of the last delivery, if it failed. ``rebuild``: the engine must be
    rebuilt before it can be fed.
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
    """Measures the lag of all external projections.

    Args:
        projections: the external projections.
        log: the log.
        clock: the current time.
    """

    def __init__(self, *, projections: Sequence[Projector], log: AuditLog, clock: Clock) -> None:
        self._projections = projections
        self._log = log
        self._clock = clock

    async def __call__(self) -> tuple[Lag, ...]:
        """Measure the lag of every partition; empty without external projections.

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
