"""Rebuilding one external engine from the beginning of the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remembrancer.application.projections.lag import MeasureLag
from remembrancer.application.projections.projector import Projector
from remembrancer.application.projections.run_worker import RunWorker, never
from remembrancer.application.projections.worker import OnReport, Report, Worker
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest


class Rebuild:
    """Empties an engine and delivers the whole log to it.

    Args:
        projections: the external ones.
        make_worker: makes a worker of some projections and their ``MeasureLag``.
        make_measure_lag: makes a ``MeasureLag`` of some projections.
        run_worker: runs a worker.
    """

    def __init__(
        self,
        *,
        projections: Sequence[Projector],
        make_worker: Callable[..., Worker],
        make_measure_lag: Callable[..., MeasureLag],
        run_worker: RunWorker,
    ) -> None:
        self._projections = projections
        self._make_worker = make_worker
        self._make_measure_lag = make_measure_lag
        self._run_worker = run_worker

    async def __call__(self, projection: str, *, on_report: OnReport | None = None) -> Report:
        """Rebuild.

        Args:
            projection: ``vector_index`` or ``knowledge_graph``.
            on_report: called about once a second with the state of every partition.

        Raises:
            InvalidRequest: there is no such external projection.
            AdapterUnavailable: the engine or the log's database did not answer.
        """
        chosen = [item for item in self._projections if item.feed.projection == projection]
        if not chosen:
            names = ", ".join(item.feed.projection for item in self._projections) or "none"
            raise InvalidRequest(
                "projection", f"{projection!r} is not external; those are: {names}"
            )
        await chosen[0].partition_states()
        await chosen[0].restart()
        worker = self._make_worker(
            projections=chosen, measure_lag=self._make_measure_lag(projections=chosen)
        )
        await self._run_worker.run(worker, never, on_report, once=True)
        report = await worker.report()
        for lag, _ in report.partitions:
            if lag.problem is not None:
                raise AdapterUnavailable(projection, f"the rebuild is cut short: {lag.problem}")
        return report
