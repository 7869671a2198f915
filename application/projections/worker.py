"""A worker: drives all external projections, all the time, until it is told to stop.

Any number of workers may run. Each partition has one of them at a time, found out by leases in the
book; what a worker that died was at is taken over when its lease has run out.
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
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.append_signal import AppendSignal
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.projection_state import ProjectionState
from remembrancer.domain.recorded import Position

PAGES = 20
"""After so many a lease is let go of, so that a worker's other partitions have their turn."""

IDLE = 0.5
"""Seconds to wait for events before looking whether to stop."""

BUSY = 0.1
"""Seconds before asking again for what somebody else is at; also how soon a stop is noticed."""

SHORTEST = 0.25
LONGEST = 30.0
"""Seconds that an engine is left alone after a failure: twice as long each time, give or take a
half, so that many workers do not come back at once."""

UPKEEP = 60.0
"""Seconds between two looks at what indexes have to make; give or take a half, so that one of many
workers is the first to find it due.
"""

REPORT = 1.0
"""Seconds between two reports, at the most."""

Stop = Callable[[], bool]
Track = tuple[Projector, int]


@frozen(kw_only=True)
class Report:
    """What a worker sees and has done: a ``Lag`` for each partition with the worker's own counts,
    and how many workers there are.
    """

    tracks: tuple[tuple[Lag, Counts], ...]
    workers: int

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {
            "projections": [
                {**to_jsonable(lag), **to_jsonable(counts)} for lag, counts in self.tracks
            ],
            "workers": self.workers,
        }


OnReport = Callable[[Report], None]


class Worker:
    """One run of one worker.

    The caller runs ``follow``, once for each of ``tracks``, and ``maintain_indexes``, or else
    ``run_until_caught_up`` alone; beside them it runs ``heartbeat``.

    Args:
        projections: the external ones.
        log: the log.
        state: the book.
        append_signal: tells of new events.
        clock: time and waiting.
        ids: names the worker, and spreads its pauses.
        measure_lag: for reports.
        index_maintenance: maintains the indexes.
        lease: seconds that a lease runs for.
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

    @property
    def tracks(self) -> Sequence[Track]:
        """Every partition of every projection."""
        return [
            (projector, partition)
            for projector in self._projections
            for partition in range(projector.feed.partitions)
        ]

    async def check(self) -> None:
        """Make sure that there is work, and that it can be done.

        Raises:
            InvalidRequest: nothing external is configured, or it has to be rebuilt first.
            AdapterUnavailable: the log's database did not answer.
        """
        if not self._projections:
            raise InvalidRequest(
                "vector_index.provider",
                "there is nothing to drive: index and graph are those in the log's own database",
            )
        for projector in self._projections:
            await projector.require_same()

    async def follow(self, track: Track, stop: Stop) -> None:
        """Drive one partition until told to stop, whatever happens to its engine."""
        failures = 0
        while not stop():
            try:
                await self._step(track, stop)
            except AdapterUnavailable:
                # The book has the reason, and the report shows it.
                failures += 1
                await self._rest(self._backed_off(failures), stop)
            else:
                failures = 0

    async def _step(self, track: Track, stop: Stop) -> None:
        projector, partition = track
        last = await self._log.last_position()
        partition_state = (await projector.partition_states())[partition]
        if partition_state.position >= last and not partition_state.must_clear:
            await self._append_signal.wait(last, IDLE)
        elif (
            partition_state.owner is not None
            or len(self._held) >= self._share()
            or await self._turn(track, stop) is None
        ):
            await self._rest(BUSY, stop)

    async def _turn(self, track: Track, stop: Stop) -> Position | None:
        projector, partition = track
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
        """How many partitions this worker may be at, for all workers to be at some."""
        return -(-len(self.tracks) // self._workers)

    async def heartbeat(self, stop: Stop, on_report: OnReport | None = None) -> None:
        """Keep the leases until told to stop, then give them back; report now and then."""
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
        """Have indexes make what is due, now and then; what was begun is made first when told to
        stop.
        """
        while not stop():
            await self._rest(UPKEEP * self._spread(), stop)
            if stop():
                return
            # One that is away is told of by whoever feeds it.
            with suppress(AdapterUnavailable):
                await self._index_maintenance()

    async def report(self) -> Report:
        """How everything stands."""
        counts = {
            (projector.feed.projection, partition): projector.counts[partition]
            for projector, partition in self.tracks
        }
        lags = await self._measure_lag()
        return Report(
            tracks=tuple((lag, evolve(counts[lag.projection, lag.partition])) for lag in lags),
            workers=self._workers,
        )

    async def run_until_caught_up(self, stop: Stop, on_report: OnReport | None = None) -> Report:
        """Drive everything to where the log ends now, once; leave an engine that does not answer.

        Returns:
            How it stands then; what an engine's problem was is among it.

        Raises:
            InvalidRequest: somebody else has begun to rebuild with other settings.
        """
        last = await self._log.last_position()
        open_tracks = list(self.tracks)
        while open_tracks and not stop():
            remaining: list[Track] = []
            for track in open_tracks:
                projector, _ = track
                with suppress(AdapterUnavailable):
                    reached = await self._turn(track, stop)
                    if reached is None:
                        await projector.require_same()
                    if reached is None or reached < last:
                        remaining.append(track)
            open_tracks = remaining
            if on_report is not None:
                on_report(await self.report())
            if open_tracks:
                await self._rest(BUSY, stop)
        return await self.report()

    def _backed_off(self, failures: int) -> float:
        return min(LONGEST, SHORTEST * float(1 << min(failures - 1, 10))) * self._spread()

    def _spread(self) -> float:
        """A factor between a half and one and a half."""
        # The end of an id is as good as a random number, and differs between workers.
        return 0.5 + int(self._ids.new()[-4:], 16) / 0xFFFF

    async def _rest(self, seconds: float, stop: Stop) -> None:
        until = await self._clock.now() + timedelta(seconds=seconds)
        while not stop():
            left = (until - await self._clock.now()).total_seconds()
            if left <= 0:
                return
            await self._clock.sleep(min(left, BUSY))
