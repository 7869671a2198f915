"""One process of a simulation: a memory of its own over the shared store and engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field

from remembrancer import AsyncMemory
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.application.reconciliation.rules import RulesReconciler
from remembrancer.runtime.sync_bridge import Lifted
from tests.simulation.faults import SimulatedClock

if TYPE_CHECKING:
    from tests.simulation.world import World


@define(eq=False)
class Process:
    """A process.

    Args:
        world: where it lives.
        name: for traces.
        skew: seconds that its clock is wrong.

    Attributes:
        alive: ``False`` after a crash. Nothing of it goes on then, not even a ``finally``.
    """

    world: World
    name: str
    skew: float
    alive: bool = True
    memory: AsyncMemory = field(init=False)

    def __attrs_post_init__(self) -> None:
        world = self.world
        self.memory = AsyncMemory(
            settings=world.settings,
            overrides={
                "lift": self.lift,
                "lift_slow": self.lift,
                "clock": SimulatedClock(lambda: world.now(self.skew)),
                "ids": world.ids,
                "store": world.stores.open(),
                "embedder": world.embedder,
                "extractor": self.lift(RulesExtractor()),
                "reconciler": self.lift(RulesReconciler()),
                **world.engines,
            },
        )

    def lift(self, adapter: Any) -> Any:
        """An adapter whose calls wait for their turns."""
        return Lifted(adapter, self._steps)

    def _steps(self, adapter: object, name: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **options: Any) -> Any:
            return await self.world.step(self, adapter, name, arguments, options)

        return call

    async def turn(self) -> None:
        """Wait for a turn; a process that has crashed waits for ever."""
        if self.alive:
            await self.world.scheduler.turn(self)
        if not self.alive:
            if self.world.over:
                raise asyncio.CancelledError
            await self.world.loop.create_future()
