"""Rebuilding one external engine, or the store's read models, from the beginning of the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from remembrancer.application.projections.lag import MeasureLag
from remembrancer.application.projections.projector import Projector
from remembrancer.application.projections.readiness import Readiness
from remembrancer.application.projections.run_worker import RunWorker, never
from remembrancer.application.projections.worker import OnReport, Report, Worker
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.ports.read_models import OnRebuild, ReadModels, is_rebuildable

READ_MODELS = "read_models"
"""The name of the store's own read models."""


class Rebuild:
    """Empties an engine, or the read models, and applies the whole log to them.

    Args:
        read_models: those of the store.
        log: the log of the store, as the store built it.
        readiness: reset by a rebuild of the read models.
        on_rebuild: called during a rebuild of the read models.
        projections: the external ones.
        make_worker: makes a worker of some projections and their ``MeasureLag``.
        make_measure_lag: makes a ``MeasureLag`` of some projections.
        run_worker: runs a worker.
    """

    def __init__(
        self,
        *,
        read_models: ReadModels,
        log: Any,
        readiness: Readiness,
        on_rebuild: OnRebuild | None,
        projections: Sequence[Projector],
        make_worker: Callable[..., Worker],
        make_measure_lag: Callable[..., MeasureLag],
        run_worker: RunWorker,
    ) -> None:
        self._read_models = read_models
        self._log = log
        self._readiness = readiness
        self._on_rebuild = on_rebuild
        self._projections = projections
        self._make_worker = make_worker
        self._make_measure_lag = make_measure_lag
        self._run_worker = run_worker

    async def __call__(self, projection: str, *, on_report: OnReport | None = None) -> Report:
        """Rebuild.

        Args:
            projection: ``vector_index``, ``knowledge_graph`` or ``read_models``.
            on_report: called about once a second with the state of every partition of an engine.

        Raises:
            InvalidRequest: there is no such external projection, or the store can't rebuild.
            SettingsError: the engine or the embedder refuses the settings.
            AdapterUnavailable: the engine or the log's database did not answer.
        """
        if projection == READ_MODELS:
            return await self._rebuild_read_models()
        chosen = [item for item in self._projections if item.feed.projection == projection]
        if not chosen:
            names = ", ".join((*(item.feed.projection for item in self._projections), READ_MODELS))
            raise InvalidRequest("projection", f"no {projection!r} to rebuild; there are: {names}")
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

    async def _rebuild_read_models(self) -> Report:
        read_models = self._read_models
        if not is_rebuildable(read_models):
            raise InvalidRequest("projection", "this store makes its read models when it is opened")
        await read_models.rebuild(self._log, self._on_rebuild)
        self._readiness.refusal = None
        return Report(partitions=(), workers=0)
