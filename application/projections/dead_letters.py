"""Dead letters: list and retry the events that external engines refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen

from remembrancer.application.projections.projector import Projector
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.projection_state import DeadLetter, ProjectionState
from remembrancer.domain.recorded import Position

PAUSE = 0.05
"""Seconds before trying again to acquire a lease."""


@frozen(kw_only=True)
class Revived:
    """The number of delivered dead letters, and the remaining ones."""

    revived: int
    dead: tuple[DeadLetter, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        result: dict[str, Any] = to_jsonable(self)
        return result


class DeadLetters:
    """The dead letters of all external projections.

    Args:
        projections: the external projections.
        state: the projection state.
        clock: time and sleep.
        ids: source of new ids, for the owner of the leases.
        patience: timeout for acquiring a lease, in seconds.
    """

    def __init__(
        self,
        *,
        projections: Sequence[Projector],
        state: ProjectionState,
        clock: Clock,
        ids: IdSource,
        patience: float,
    ) -> None:
        self._projections = projections
        self._state = state
        self._clock = clock
        self._ids = ids
        self._patience = patience

    async def listed(self) -> list[DeadLetter]:
        """All dead letters, by projection and position.

        Raises:
            AdapterUnavailable: the log's database did not answer.
        """
        found: list[DeadLetter] = []
        for projector in self._projections:
            name, after = projector.feed.projection, Position(0)
            while page := await self._state.dead_letters(name, after=after):
                found.extend(page)
                after = page[-1].position
        return found

    async def retry(self) -> Revived:
        """Deliver all dead letters again.

        Raises:
            AdapterUnavailable: an engine did not answer, or its lease was not released in time;
                the deliveries so far are recorded, and no letter is lost.
            InvalidRequest: an engine must be rebuilt first.
            SettingsError: an engine refuses the settings; no letter is lost.
        """
        owner, revived = self._ids.new(), 0
        for projector in self._projections:
            await projector.require_same()
            for partition_state in await projector.partition_states():
                if partition_state.dead:
                    revived += await self._retried(projector, partition_state.partition, owner)
        return Revived(revived=revived, dead=tuple(await self.listed()))

    async def _retried(self, projector: Projector, partition: int, owner: str) -> int:
        deadline = await self._clock.now() + timedelta(seconds=self._patience)
        while True:
            revived = await projector.retry_dead(partition, owner=owner)
            if revived is not None:
                return revived
            if await self._clock.now() >= deadline:
                raise AdapterUnavailable(
                    projector.feed.projection,
                    "another worker holds its lease; try again later",
                )
            await self._clock.sleep(PAUSE)
