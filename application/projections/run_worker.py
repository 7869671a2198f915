"""Running a worker: its loops beside each other, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from remembrancer.application.projections.after_commit import Beside, Work
from remembrancer.application.projections.worker import OnReport, Report, Stop, Worker


def never() -> bool:
    """A ``Stop`` that never stops."""
    return False


class RunWorker:
    """Runs workers.

    Args:
        make_worker: makes a worker of all external projections.
        beside: makes what runs work beside the caller.
    """

    def __init__(self, *, make_worker: Callable[[], Worker], beside: Callable[[], Beside]) -> None:
        self._make_worker = make_worker
        self._beside = beside

    async def __call__(
        self, *, stop: Stop = never, on_report: OnReport | None = None, once: bool = False
    ) -> Report:
        """Deliver events to all external engines.

        Args:
            stop: asked several times a second whether to end.
            on_report: called about once a second with the state of every partition, and with that
                at the end.
            once: end when all that the log holds by now has been delivered, or the engine in
                question does not answer.

        Returns:
            The state of every partition at the end.

        Raises:
            InvalidRequest: nothing external is configured, or it has to be rebuilt first.
            SettingsError: all engines refuse the settings, or with ``once`` one of them.
            AdapterUnavailable: the log's database did not answer at the beginning.
        """
        worker = self._make_worker()
        await worker.check()
        await self.run(worker, stop, on_report, once=once)
        report = await worker.report()
        if on_report is not None:
            # The heartbeat may have had no turn since, or none at all.
            on_report(report)
        return report

    async def run(
        self, worker: Worker, stop: Stop, on_report: OnReport | None, *, once: bool
    ) -> None:
        """Run the loops of one worker; arguments as for the call.

        Raises:
            Exception: the first one that ended a loop.
        """
        beside = self._beside()
        ended = False
        errors: list[BaseException] = []

        def stopped() -> bool:
            return ended or bool(errors) or stop()

        def guarded(work: Callable[[], Coroutine[Any, Any, object]]) -> Work:
            async def run() -> None:
                nonlocal ended
                try:
                    await work()
                    ended = ended or once
                except Exception as error:  # noqa: BLE001 - it is raised again by who started it
                    errors.append(error)

            return run

        works: list[Callable[[], Coroutine[Any, Any, object]]] = [
            *(partial(worker.follow, assigned, stopped) for assigned in worker.partitions),
            partial(worker.maintain_indexes, stopped),
        ]
        if once:
            works = [partial(worker.run_until_caught_up, stopped)]
        try:
            for work in works:
                beside.start(guarded(work))
            await worker.heartbeat(stopped, on_report)
        finally:
            ended = True
            await beside.close()
        if errors:
            raise errors[0]
