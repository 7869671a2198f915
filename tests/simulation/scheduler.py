"""An event loop without sockets, threads or time: a seed decides what goes on next.

Every port call waits for its turn, before and after it. Whenever nothing else is left to do, the
scheduler lets one of the waiting calls go on, or moves the clock to the next timer.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from random import Random
from typing import Any, TypeVar, TypeVarTuple, Unpack

from attrs import define

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Stuck(AssertionError):
    """Nothing can go on, or things go on for ever."""


@define(eq=False)
class _Waiting:
    """A call that waits for its turn, and whose it is."""

    owner: object
    turn: asyncio.Future[None]


class Scheduler:
    """Gives turns.

    Args:
        random: decides.
        haste: probability that the clock moves although a call could go on, as if it took long.
        most: turns after which a run is stuck.
    """

    def __init__(self, random: Random, *, haste: float, most: int) -> None:
        self._random = random
        self._haste = haste
        self._most = most
        self._waiting: list[_Waiting] = []
        self._left: list[_Waiting] = []
        self.time = 0.0
        self.turns = 0
        self.loop = SimulatedLoop(self)

    async def turn(self, owner: object) -> None:
        """Wait for a turn."""
        waiting = _Waiting(owner, self.loop.create_future())
        self._waiting.append(waiting)
        await waiting.turn

    def abandon(self, owner: object) -> None:
        """Give no turn to this owner any more: its calls stay where they are."""
        self._left += [each for each in self._waiting if each.owner is owner]
        self._waiting = [each for each in self._waiting if each.owner is not owner]

    def go_on(self, pause: float | None) -> None:
        """Give one turn, or move the clock.

        Args:
            pause: seconds until the next timer, ``None`` if there is none.

        Raises:
            Stuck: there is nothing to go on with, or there were too many turns.
        """
        self.turns += 1
        if self.turns > self._most:
            raise Stuck(f"not at its end after {self._most:,} turns")
        self._waiting = [each for each in self._waiting if not each.turn.done()]
        if self._waiting and (pause is None or self._random.random() >= self._haste):
            at = self._random.randrange(len(self._waiting))
            self._waiting[at], last = self._waiting[-1], self._waiting[at]
            self._waiting.pop()
            last.turn.set_result(None)
        elif pause is not None:
            self.time += pause
        else:
            raise Stuck("every task waits for another one")


class _NoFiles(selectors.BaseSelector):
    """A selector of no files. The loop asks it to wait when nothing is ready."""

    def __init__(self, go_on: Callable[[float | None], None]) -> None:
        self._go_on = go_on

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._go_on(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The loop of asyncio with the scheduler's time, and with executors that run at once."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(_NoFiles(scheduler.go_on))
        self._scheduler = scheduler

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._scheduler.time

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call it now: there are no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is raised where one waits
            future.set_exception(error)
        return future
