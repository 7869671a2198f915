"""A worker: drives all external projections continuously, until it is stopped.

Any number of workers can run. Leases in the projection state assign each partition to one worker at
a time; when the lease of a dead worker expires, another one takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

from attrs import evolve, frozen

from remembrancer.application.projections.index_maintenance import IndexMaintenance
from remembrancer.application.projections.lag import Lag, MeasureLag
from remembrancer.application.projections.projector import Counts, Projector
from remembrancer.domain.errors import (
    AdapterUnavailable,
    IntegrityError,
    InvalidRequest,
    SettingsError,
)
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.append_signal import AppendSignal
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.projection_state import ProjectionState
from remembrancer.domain.recorded import Position

PAGES = 20
"""Pages per lease, so that the other partitions of a worker get their turn."""

IDLE = 0.5
"""Seconds to wait for events before checking for a stop."""

BUSY = 0.1
"""Seconds before trying again to acquire a lease; also the delay until a stop is noticed."""

SHORTEST = 0.25
LONGEST = 30.0
"""Backoff in seconds after a failure of an engine: doubled each time, with 50% jitter, so that
workers do not retry all at once."""

UPKEEP = 60.0
"""Seconds between two runs of index maintenance, with 50% jitter, so that one worker comes
first."""

REPORT = 1.0
"""Maximum of seconds between two reports."""

Stop = Callable[[], bool]
WorkerPartition = tuple[Projector, int]


@frozen(kw_only=True)
class Report:
    """The report of a worker: the ``Lag`` of each partition with the worker's own counters, and the
    number of live workers.
    """

    partitions: tuple[tuple[Lag, Counts], ...]
    workers: int

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {
            "projections": [
                {**to_jsonable(lag), **to_jsonable(counts)} for lag, counts in self.partitions
            ],
            "workers": self.workers,
        }


OnReport = Callable[[Report], None]


class Worker:
    """One run of one worker.

    The caller runs ``heartbeat``, and concurrently either ``run_until_caught_up``, or
    ``maintain_indexes`` and ``follow`` for each of ``partitions``.

    Args:
        projections: the external projections.
        log: the log.
        state: the projection state.
        append_signal: notifies of new events.
        clock: time and sleep.
        ids: source of new ids, for the worker's name and the jitter.
        measure_lag: for reports.
        index_maintenance: compacts the indexes.
        lease: seconds (> 0) until a lease expires.
    """

    def __init__(
        self,
        *,
        projections: Sequence[Projector],
        log: AuditLog,
        state: ProjectionState,
        append_signal: AppendSignal,
        clock: Clock,
        ids: IdSource,
        measure_lag: MeasureLag,
        index_maintenance: IndexMaintenance,
        lease: float,
    ) -> None:
        self._projections = projections
        self._log = log
        self._state = state
        self._append_signal = append_signal
        self._clock = clock
        self._ids = ids
        self._measure_lag = measure_lag
        self._index_maintenance = index_maintenance
        self._lease = lease
        self._owner = ids.new()
        self._workers = 1
        self._held: set[tuple[str, int]] = set()
        self._refused: dict[str, SettingsError] = {}

    @property
    def partitions(self) -> Sequence[WorkerPartition]:
        """All partitions of all projections."""
        return [
            (projector, partition)
            for projector in self._projections
            for partition in range(projector.feed.partitions)
        ]

    async def check(self) -> None:
        """Check that there are external projections and that none must be rebuilt.

        Raises:
            InvalidRequest: there is no external projection, or one must be rebuilt first.
            SettingsError: all engines refuse the settings.
            AdapterUnavailable: the log's database did not answer.
        """
        if not self._projections:
            raise InvalidRequest(
                "vector_index.provider",
                "there is no external projection: index and graph are in the log's own database",
            )
        for projector in self._projections:
            try:
                await projector.require_same()
            except SettingsError as error:
                await projector.note_refusal(error, owner=self._owner)
                self._note_refusal(projector, error)

    def _note_refusal(self, projector: Projector, error: SettingsError) -> None:
        """Leave an engine out that refuses the settings; raise if no other one is left."""
        self._refused[projector.feed.projection] = error
        if len(self._refused) == len(self._projections):
            raise error

    async def follow(self, assigned: WorkerPartition, stop: Stop) -> None:
        """Drive one partition until ``stop``, or until its engine refuses the settings; other
        failures of the engine are retried with backoff.

        Raises:
            SettingsError: all engines refuse the settings.
        """
        projector, _ = assigned
        failures = 0
        while not stop() and projector.feed.projection not in self._refused:
            try:
                await self._step(assigned, stop)
            except SettingsError as error:
                # The projection state has the reason; the other engines go on.
                self._note_refusal(projector, error)
            except AdapterUnavailable:
                # The projection state has the reason; the report shows it.
                failures += 1
                await self._rest(self._backoff(failures), stop)
            else:
                failures = 0

    async def _step(self, assigned: WorkerPartition, stop: Stop) -> None:
        projector, partition = assigned
        last = await self._log.last_position()
        partition_state = (await projector.partition_states())[partition]
        current = partition_state.position >= last and not partition_state.must_clear
        if current and not await projector.has_second_due(partition):
            await self._append_signal.wait(last, IDLE)
        elif (
            partition_state.owner is not None
            or len(self._held) >= self._share()
            or await self._turn(assigned, stop) is None
        ):
            await self._rest(BUSY, stop)

    async def _turn(self, assigned: WorkerPartition, stop: Stop) -> Position | None:
        projector, partition = assigned
        pages = count(1)
        self._held.add((projector.feed.projection, partition))
        try:
            return await projector.turn(
                partition,
                owner=self._owner,
                keep_going=lambda: (
                    next(pages) < PAGES and len(self._held) <= self._share() and not stop()
                ),
            )
        finally:
            self._held.discard((projector.feed.projection, partition))

    def _share(self) -> int:
        """The number of partitions that this worker may hold, to leave some for the others."""
        return -(-len(self.partitions) // self._workers)

    async def heartbeat(self, stop: Stop, on_report: OnReport | None = None) -> None:
        """Renew the leases until ``stop``, then release them; report periodically."""
        try:
            while not stop():
                with suppress(AdapterUnavailable):
                    self._workers = await self._state.renew(
                        self._owner, tuple(self._held), self._lease
                    )
                    if on_report is not None:
                        on_report(await self.report())
                await self._rest(min(self._lease / 3, REPORT), stop)
        finally:
            with suppress(AdapterUnavailable):
                await self._state.renew(self._owner, (), 0)

    async def maintain_indexes(self, stop: Stop) -> None:
        """Maintain the indexes periodically until ``stop``; a run in progress is finished."""
        while not stop():
            await self._rest(UPKEEP * self._jitter(), stop)
            if stop():
                return
            # The projector of that engine reports the failure; opening reported what differs.
            with suppress(AdapterUnavailable, InvalidRequest, IntegrityError):
                await self._index_maintenance()

    async def report(self) -> Report:
        """The current report."""
        counts = {
            (projector.feed.projection, partition): projector.counts[partition]
            for projector, partition in self.partitions
        }
        lags = await self._measure_lag()
        return Report(
            partitions=tuple((lag, evolve(counts[lag.projection, lag.partition])) for lag in lags),
            workers=self._workers,
        )

    async def run_until_caught_up(self, stop: Stop, on_report: OnReport | None = None) -> Report:
        """Catch up all partitions to the current end of the log; skip an engine that does not
        answer, or refuses the settings.

        Returns:
            The final report; it names the problem of a skipped engine.

        Raises:
            InvalidRequest: another process has started a rebuild with other settings.
            SettingsError: an engine refuses the settings; the others have caught up.
        """
        last = await self._log.last_position()
        unfinished = list(self.partitions)
        while unfinished and not stop():
            remaining: list[WorkerPartition] = []
            for assigned in unfinished:
                projector, partition = assigned
                if projector.feed.projection in self._refused:
                    continue
                try:
                    reached = await self._turn(assigned, stop)
                    if reached is None:
                        await projector.require_same()
                    due = await projector.has_second_due(partition)
                except SettingsError as error:
                    self._refused[projector.feed.projection] = error
                except AdapterUnavailable:
                    pass
                else:
                    if reached is None or reached < last or due:
                        remaining.append(assigned)
            unfinished = remaining
            if on_report is not None:
                on_report(await self.report())
            if unfinished:
                await self._rest(BUSY, stop)
        for refusal in self._refused.values():
            raise refusal
        return await self.report()

    def _backoff(self, failures: int) -> float:
        return min(LONGEST, SHORTEST * float(1 << min(failures - 1, 10))) * self._jitter()

    def _jitter(self) -> float:
        """A random factor in [0.5, 1.5]."""
        # The end of an id is random.
        return 0.5 + int(self._ids.new()[-4:], 16) / 0xFFFF

    async def _rest(self, seconds: float, stop: Stop) -> None:
        until = await self._clock.now() + timedelta(seconds=seconds)
        while not stop():
            left = (until - await self._clock.now()).total_seconds()
            if left <= 0:
                return
            await self._clock.sleep(min(left, BUSY))
