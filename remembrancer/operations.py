"""The operations methods of a memory: verify, stats, retry, workers, rebuild, dead letters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NoReturn, Unpack

from remembrancer.application.audit.statistics import Statistics
from remembrancer.application.parsing.arguments import DEFAULT_ACTOR, parse_actor, parse_guard
from remembrancer.application.parsing.keywords import check_keywords
from remembrancer.application.projections.dead_letters import Revived
from remembrancer.application.projections.run_worker import never
from remembrancer.application.projections.worker import OnReport, Report
from remembrancer.application.remember.retry import Retried
from remembrancer.domain.audit.faults import Verification
from remembrancer.domain.ports.inspection import Progress
from remembrancer.domain.ports.projection_state import DeadLetter
from remembrancer.domain.scope import ScopeIds
from remembrancer.wiring.lifecycle import Lifecycle, UseCases


class Uncopyable:
    """Base class of both memories: ``pickle`` and ``copy`` are refused.

    A copy would share connections, locks and queues with the original.
    """

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(
            f"a memory can't be pickled or copied, because it has open connections; pass on its "
            f"path or its settings, and open the same database in the other process: "
            f'{name}("app.db"). Threads and tasks share one {name}'
        )


@check_keywords
class Operations(Uncopyable):
    """Base class of ``AsyncMemory`` with its operations methods."""

    _lifecycle: Lifecycle

    @property
    def _use(self) -> UseCases:
        return self._lifecycle.use_cases

    async def verify(
        self, progress: Progress | None = None, *, chain: bool = False, jobs: int = 1
    ) -> Verification:
        """Check every stored byte of the log, and every row that is derived from it. Nothing is
        changed or repaired.

        ``complete`` of the result is false if something could not be checked: rows of an external
        engine, vectors of a remote embedder, contents whose key is missing.

        Args:
            progress: called with the events checked so far and the total; by ``AsyncMemory`` from
                another thread.
            chain: check the log alone: hashes, versions, positions, heads and requests.
            jobs: number of processes that the ledgers are divided among, on SQLite. Programs that
                set more than 1 need the ``if __name__ == "__main__"`` guard of
                ``multiprocessing``.

        Raises:
            InvalidRequest: ``jobs`` is below 1, or the embedder or the key vault can't be sent to
                other processes.
            AdapterUnavailable: the database did not answer.
        """
        return await self._use.verify(progress, chain=chain, jobs=jobs)

    async def stats(
        self, *, as_of: datetime | str | None = None, **ids: Unpack[ScopeIds]
    ) -> Statistics:
        """Counts of events, facts and messages, and model usage.

        Args:
            as_of: count what the ledger held then: a time, or ``"@N"`` if ``ids`` are given. The
                counts are taken from the log, event by event; the positions, the lags and the
                embedder are those of now.
            ids: the scope whose ledger is counted; all ledgers by default.

        Raises:
            InvalidRequest: an argument is wrong.
            AdapterUnavailable: the database did not answer.
        """
        scope = parse_guard(ids)
        when = await self._use.resolve_as_of(as_of, scope.ledger if scope else None)
        return await self._use.collect_statistics(scope, when.as_of)

    async def retry(
        self,
        *,
        actor: str = DEFAULT_ACTOR,
        progress: Callable[[int, int], None] | None = None,
        **ids: Unpack[ScopeIds],
    ) -> Retried:
        """Extract facts from messages that are pending because a model failed.

        Args:
            actor: recorded in the events.
            progress: called with the requests tried so far and the total.
            ids: the scope whose ledger is retried; all ledgers by default.

        Returns:
            Receipts of finished requests, and failures of those still pending.
        """
        scope = parse_guard(ids)
        return await self._use.retry(
            scope.ledger if scope else None, actor=parse_actor(actor), progress=progress
        )

    async def refill(self, progress: Callable[[int], None] | None = None) -> int:
        """Backfill vectors: embed the facts that were added while the embedder did not answer.

        ``add`` also does this, one batch per call, once the embedder answers again.

        Args:
            progress: called with the number of documents embedded so far.

        Returns:
            The number of documents embedded.

        Raises:
            AdapterUnavailable: the embedder does not answer.
        """
        return await self._use.embedding_backfill(progress)

    async def run_worker(
        self,
        *,
        stop: Callable[[], bool] = never,
        on_report: OnReport | None = None,
        once: bool = False,
    ) -> Report:
        """Deliver events from the log to the external index and graph, until ``stop`` is true.

        Any number of workers may run, in any processes; a lease gives each partition to one of
        them at a time.

        Args:
            stop: called several times a second; the worker ends when it returns true. Without it,
                cancel the task or interrupt the thread.
            on_report: called about once a second with the state of every partition, and with
                that at the end.
            once: end when all events that are in the log now are delivered, or an engine does not
                answer.

        Returns:
            The state of every partition at the end.

        Raises:
            InvalidRequest: no external engine is configured, or one must be rebuilt first.
            AdapterUnavailable: the log's database did not answer at the start.
        """
        return await self._use.run_worker(stop=stop, on_report=on_report, once=once)

    async def rebuild(self, projection: str, *, on_report: OnReport | None = None) -> Report:
        """Empty an external engine and deliver the whole log to it again.

        Until it has caught up, searches use the store's own index and graph. A worker continues an
        interrupted rebuild; so does ``run_worker(once=True)``.

        ``read_models`` are the facts, the index and the graph in the log's own database. They are
        built again for the embedder of this memory, in one transaction: writers wait, readers see
        the old rows until then. Vectors of other models are kept. ``refill`` embeds the texts that
        have no vector of this embedder.

        Args:
            projection: ``vector_index``, ``knowledge_graph`` or ``read_models``.
            on_report: called about once a second with the state of every partition of an engine.

        Raises:
            InvalidRequest: there is no such external projection, or the store can't rebuild.
            AdapterUnavailable: the engine or the log's database did not answer.
        """
        return await self._use.rebuild(projection, on_report=on_report)

    async def compact(self) -> int:
        """Build missing index structures of very large ledgers: on PostgreSQL, and in ``pgvector``,
        an HNSW graph from 50,000 documents on.

        Searches work without them, but slower. Reads and writes are not blocked. A worker does this
        automatically; without a worker, call it regularly.

        Returns:
            The number of graphs or segments built.

        Raises:
            AdapterUnavailable: an engine did not answer; structures built before are kept.
        """
        return await self._use.index_maintenance()

    async def dead_letters(self) -> list[DeadLetter]:
        """The events that external engines refused, each with its cause."""
        return await self._use.dead_letters.listed()

    async def retry_dead_letters(self) -> Revived:
        """Deliver dead letters again.

        Raises:
            AdapterUnavailable: an engine did not answer; no dead letter is lost.
            InvalidRequest: an engine must be rebuilt first.
        """
        return await self._use.dead_letters.retry()
