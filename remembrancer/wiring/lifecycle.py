"""Open and close the parts of a memory."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from attrs import frozen
from dependency_injector import providers

from remembrancer.adapters.forks import Ownership
from remembrancer.application.audit.diff import CompareMoments
from remembrancer.application.audit.statistics import CollectStatistics
from remembrancer.application.audit.timeline import ShowTimeline
from remembrancer.application.audit.undo import UndoRequest
from remembrancer.application.audit.verify import Verify
from remembrancer.application.audit.why import ExplainFact
from remembrancer.application.audit.why_not import ExplainDismissal
from remembrancer.application.context.compose import ComposeContext
from remembrancer.application.edit.correct import Correct
from remembrancer.application.edit.end_fact import EndFact
from remembrancer.application.edit.update import Update
from remembrancer.application.edit.withdraw import Withdraw, WithdrawAll
from remembrancer.application.inline import run_inline
from remembrancer.application.profile.profile import DescribePerson
from remembrancer.application.projections.dead_letters import DeadLetters
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.projections.index_maintenance import IndexMaintenance
from remembrancer.application.projections.rebuild import Rebuild
from remembrancer.application.projections.run_worker import RunWorker
from remembrancer.application.recall.as_of import ResolveAsOf
from remembrancer.application.recall.browse import Browse
from remembrancer.application.recall.explore import Explore
from remembrancer.application.recall.recall import Recall
from remembrancer.application.remember.ledger_queues import LedgerQueues
from remembrancer.application.remember.ordered_remember import OrderedRemember
from remembrancer.application.remember.remember_many import RememberMany
from remembrancer.application.remember.retry import Retry
from remembrancer.application.statements.make_statement import MakeStatement
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.ports.read_models import OnRebuild, catches_up
from remembrancer.runtime.bounded import bounded
from remembrancer.wiring.build import RELEASE
from remembrancer.wiring.container import STORE_PARTS, Container
from remembrancer.wiring.settings import Settings

log = logging.getLogger("remembrancer")

EMBEDDED = {"vector_index": "embedded_index", "knowledge_graph": "embedded_graph"}
"""External engines, and the parts of the store that they replace in recall."""


@frozen(kw_only=True)
class UseCases:
    """The wired use-cases of a memory."""

    remember: OrderedRemember
    remember_many: RememberMany
    recall: Recall
    resolve_as_of: ResolveAsOf
    browse: Browse
    compose_context: ComposeContext
    describe_person: DescribePerson
    explore: Explore
    make_statement: MakeStatement
    end_fact: EndFact
    correct: Correct
    update: Update
    withdraw: Withdraw
    withdraw_all: WithdrawAll
    verify: Verify
    explain_fact: ExplainFact
    compare_moments: CompareMoments
    show_timeline: ShowTimeline
    explain_dismissal: ExplainDismissal
    undo_request: UndoRequest
    collect_statistics: CollectStatistics
    embedding_backfill: EmbeddingBackfill
    retry: Retry
    run_worker: RunWorker
    rebuild: Rebuild
    index_maintenance: IndexMaintenance
    dead_letters: DeadLetters
    queues: LedgerQueues


class Lifecycle:
    """The parts of one memory, from opening to closing.

    Args:
        settings: the settings of all parts.
        mode: ``inline`` for ``Memory``, ``threads`` for ``AsyncMemory``.
        overrides: parts that replace the configured ones, by name in ``Container``.
        on_rebuild: see ``OnRebuild``.

    Raises:
        InvalidRequest: a setting or an override is invalid.
        AdapterUnavailable: an engine did not answer.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        mode: str,
        overrides: Mapping[str, Any],
        on_rebuild: OnRebuild | None,
    ) -> None:
        self.container = container = Container(settings, mode)
        self._inline = mode == "inline"
        self._process = Ownership("this memory")
        self._left: list[str] = container.left_behind()
        for name, part in overrides.items():
            _check_override(name, container)
            container.providers[name].override(providers.Object(part))
        container.on_rebuild.override(providers.Object(on_rebuild))
        try:
            self._catch_up(on_rebuild)
            self._use_cases = UseCases(
                remember=container.ordered_remember(),
                remember_many=container.remember_many(),
                recall=container.recall(),
                resolve_as_of=container.resolve_as_of(),
                browse=container.browse(),
                compose_context=container.compose_context(),
                describe_person=container.describe_person(),
                explore=container.explore(),
                make_statement=container.make_statement(),
                end_fact=container.end_fact(),
                correct=container.correct(),
                update=container.update(),
                withdraw=container.withdraw(),
                withdraw_all=container.withdraw_all(),
                verify=container.verify(),
                explain_fact=container.explain_fact(),
                compare_moments=container.compare_moments(),
                show_timeline=container.show_timeline(),
                explain_dismissal=container.explain_dismissal(),
                undo_request=container.undo_request(),
                collect_statistics=container.collect_statistics(),
                embedding_backfill=container.embedding_backfill(),
                retry=container.retry(),
                run_worker=container.run_worker(),
                rebuild=container.rebuild(),
                index_maintenance=container.index_maintenance(),
                dead_letters=container.dead_letters(),
                queues=container.queues(),
            )
            self._after_commit = container.after_commit()
            self._beside = container.beside()
            # Overrides belong to the caller and are not closed here.
            self._engines = {
                name: container.providers[f"lifted_{name}"]()
                for name, embedded in EMBEDDED.items()
                if not container.providers[name].overridden
                and container.providers[name]() is not container.providers[embedded]()
            }
        except BaseException:
            self.close()
            raise

    def _catch_up(self, on_rebuild: OnRebuild | None) -> None:
        read_models = self.container.read_models()
        if catches_up(read_models):
            caught_up: Any = read_models.catch_up(self.container.audit_log(), on_rebuild)
            # The adapter may be written with plain methods.
            refusal = run_inline(caught_up) if inspect.iscoroutine(caught_up) else caught_up
            self.container.readiness().refusal = refusal
            if refusal is not None:
                log.warning("%s", refusal)

    @property
    def use_cases(self) -> UseCases:
        """The use-cases.

        Raises:
            WrongContext: the process was forked from the one that opened the memory. It has none
                of its threads, and would share its connections.
        """
        self._process.require()
        return self._use_cases

    @property
    def inherited(self) -> bool:
        """Whether another process opened the memory, and this one was forked from it."""
        return self._process.inherited

    async def leave(self) -> None:
        """Wait for background deliveries, and close the engines that were built here, each for at
        most ``RELEASE`` seconds.
        """
        self._after_commit.stop()
        self._left += await self._beside.close(RELEASE)
        for name, engine in self._engines.items():
            try:
                self._left += await self._close_engine(name, engine)
            except AdapterUnavailable as error:
                self._left.append(str(error))

    async def _close_engine(self, name: str, engine: Any) -> tuple[str, ...]:
        if self._inline:
            return bounded(partial(_close_inline, engine), name, RELEASE)
        closing = asyncio.ensure_future(engine.close())
        # Not ``wait_for``, which waits on for an engine that ignores its cancellation.
        ended, _ = await asyncio.wait({closing}, timeout=RELEASE)
        if not ended:
            closing.cancel()
            return (name,)
        closing.result()
        return ()

    def close(self) -> None:
        """Close everything else, the store last; each part for at most ``RELEASE`` seconds. What
        does not close by then is left behind, and named in a warning. Blocks.
        """
        self.container.close()
        if self._left:
            log.warning(
                "closed, but left behind what did not end in time: %s", ", ".join(self._left)
            )
            self._left.clear()


def _close_inline(engine: Any) -> None:
    run_inline(engine.close())


def _check_override(name: str, container: Any) -> None:
    if name in STORE_PARTS:
        raise InvalidRequest(
            f"overrides.{name}",
            "commits together with the rest of the store; override store as a whole",
        )
    if name not in container.providers:
        raise InvalidRequest(
            f"overrides.{name}", f"is not a part; see {Container.__module__}.Container"
        )
