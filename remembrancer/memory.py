"""The face: ``AsyncMemory``, and ``Memory``, which is the same one driven without a loop."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from attrs import evolve
from dependency_injector import providers

from remembrancer.application.audit.statistics import CollectStatistics, Statistics
from remembrancer.application.audit.verify import Progress, Verification, Verify
from remembrancer.application.edit.curate import Curate
from remembrancer.application.parsing.arguments import (
    MAX_KEY_CHARACTERS,
    MAX_QUERY_CHARACTERS,
    Messages,
    parse_as_of,
    parse_count,
    parse_depth,
    parse_flag,
    parse_id,
    parse_limit,
    parse_metadata,
    parse_moment,
    parse_name,
    parse_text,
    parse_threshold,
)
from remembrancer.application.parsing.conversations import (
    DEFAULT_ACTOR,
    AddOptions,
    Conversation,
    request_of,
    requests_of,
)
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.projections.dead_letters import DeadLetters, Revived
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.projections.projector import Projector
from remembrancer.application.projections.worker import OnReport, Report, Worker
from remembrancer.application.recall.browse import Browse, Page
from remembrancer.application.recall.explore import Exploration, Explore, ExploreRequest
from remembrancer.application.recall.recall import Recall, RecallRequest, SearchResult
from remembrancer.application.remember.ledger_queues import LedgerQueues
from remembrancer.application.remember.ordered_remember import OrderedRemember
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.remember.remember_many import Added, Adding, RememberMany
from remembrancer.application.remember.retry import Retried, Retry
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.filters.ast import parse_filter
from remembrancer.domain.graph.graph import Entity, Relation, View
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.fact_store import FactQuery, Order
from remembrancer.domain.ports.projection_state import DeadLetter
from remembrancer.domain.scope import Scope
from remembrancer.runtime.pending import AsyncPendingReceipt, PendingReceipt, fields_of
from remembrancer.runtime.sync_bridge import BesideTasks, BesideThreads, Work, run_inline
from remembrancer.wiring.container import Container
from remembrancer.wiring.settings import Settings, load_settings

P = ParamSpec("P")
T = TypeVar("T")

Config = Mapping[str, Any] | str | os.PathLike[str]
OnRebuild = Callable[[str, int, int], None]


def _never() -> bool:
    return False


class AsyncMemory:
    """A memory for agents, for use in an event loop. Tasks may share one instance.

    Args:
        path: a SQLite file, made if it does not exist; left out, the settings decide (by default
            a database in memory that is gone when it is closed).
        settings: everything that can be chosen; ``None`` reads ``REMEMBRANCER_*`` variables.
        overrides: parts to use in place of the configured ones, by their names in ``Container``
            (``embedder``, ``clock``, ``extractor``, …).
        on_rebuild: called while read models are rebuilt from the log, with what is being done,
            how much is done and how much there is.

    Opening touches the disk and may rebuild read models; in a running loop prefer
    ``await AsyncMemory.open(...)``, which does so in a thread.

    Raises:
        InvalidRequest: the settings are wrong, or the file is not a remembrancer database.
        AdapterUnavailable: an engine did not answer.
    """

    _mode = "threads"

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        settings: Settings | None = None,
        overrides: Mapping[str, Any] | None = None,
        on_rebuild: OnRebuild | None = None,
    ) -> None:
        container = Container(
            settings=providers.Object(settings or load_settings(path=path)),
            mode=providers.Object(self._mode),
        )
        for name, part in (overrides or {}).items():
            if name not in container.providers:
                raise InvalidRequest(
                    f"overrides.{name}", f"is not a part; see {Container.__module__}.Container"
                )
            container.providers[name].override(providers.Object(part))
        self._container = container
        self._grace: float = container.settings().grace
        try:
            catch_up = getattr(container.read_models(), "catch_up", None)
            if catch_up is not None:
                caught_up = catch_up(container.audit_log(), on_rebuild)
                if inspect.iscoroutine(caught_up):
                    run_inline(caught_up)
            self._queues: LedgerQueues = container.queues()
            self._ordered_remember: OrderedRemember = container.ordered_remember()
            self._remember_many: RememberMany = container.remember_many()
            self._recall: Recall = container.recall()
            self._browse: Browse = container.browse()
            self._curate: Curate = container.curate()
            self._explore: Explore = container.explore()
            self._verify: Verify = container.verify()
            self._collect_statistics: CollectStatistics = container.collect_statistics()
            self._refill: EmbeddingBackfill = container.embedding_backfill()
            self._retry: Retry = container.retry()
            self._clock: Clock = container.lifted_clock()
            self._after_commit: AfterCommit = container.after_commit()
            self._dead_letters: DeadLetters = container.dead_letters()
            self._beside: BesideThreads | BesideTasks = container.beside()
        except BaseException:
            self._close()
            raise

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        settings: Settings | None = None,
        overrides: Mapping[str, Any] | None = None,
        on_rebuild: OnRebuild | None = None,
    ) -> Self:
        """Open without blocking the loop; arguments as for the class."""
        return await asyncio.to_thread(
            cls, path, settings=settings, overrides=overrides, on_rebuild=on_rebuild
        )

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Open with settings from a mapping, a TOML or a YAML file."""
        return cls(settings=load_settings(config))

    def _close(self) -> None:
        self._container.shutdown_resources()

    @overload
    async def add(
        self, messages: Messages, *, wait: Literal[False], **options: Unpack[AddOptions]
    ) -> AsyncPendingReceipt: ...

    @overload
    async def add(
        self, messages: Messages, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Receipt: ...

    async def add(
        self,
        messages: Messages,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        infer: bool = True,
        kind: str | None = None,
        instructions: str | None = None,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        categories: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        actor: str = DEFAULT_ACTOR,
        wait: bool = True,
    ) -> Receipt:
        """Remember what was said.

        Args:
            messages: a string (said by the user), a message or a list of messages; a message is a
                mapping with ``content`` (a string, or a list of text and image parts as OpenAI's
                and Anthropic's APIs have them) and, if wanted, ``role``, ``name``, ``timestamp``
                and ``metadata``.
            user_id: whose memory it is; see ``Scope``.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            metadata: a JSON object that every fact drawn from the messages carries.
            occurred_at: when it was said, for messages without a ``timestamp``; now if left out.
            expires_at: when the facts are to be forgotten.
            infer: draw facts from the messages; ``False`` stores each message as a fact, word for
                word.
            kind: ``procedural`` makes of the messages, the run of an agent (``agent_id`` or
                ``run_id``), one procedural fact: how the task was done, in steps.
            instructions: what is wanted of the facts of this call, in plain words, in place of
                what the settings say; likewise the following.
            include: topics that alone are kept.
            exclude: topics that are left out.
            categories: labels; those that fit a fact stand in its metadata as ``categories``.
            idempotency_key: the same key with the same messages is carried out once, with what
                was asked for at first, and returns the first receipt ever after.
            actor: who asks, for the audit.
            wait: ``False`` returns as soon as what was said is in the ledger; facts are drawn
                from it in the background, and the receipt, whose ``pending`` names what is still
                to do, has a method ``wait`` that returns the final one.

        Rules, which extract where there is no model, follow no guidance: what they ignored stands
        in the receipt.

        Raises:
            InvalidRequest: an argument is wrong; nothing was written.
            Conflict: others kept writing to this ledger; what was said is in the ledger.
            AdapterUnavailable: an engine did not answer; a model among them leaves what was said
                in the ledger, for ``retry``.
            ModelError: a model answered with nothing usable; likewise.
        """
        request = request_of(
            messages,
            user_id=user_id,
            agent_id=agent_id,
            run_id=run_id,
            app_id=app_id,
            metadata=metadata,
            occurred_at=occurred_at,
            expires_at=expires_at,
            infer=infer,
            kind=kind,
            instructions=instructions,
            include=include,
            exclude=exclude,
            categories=categories,
            idempotency_key=idempotency_key,
            actor=actor,
        )
        if parse_flag(wait, "wait"):
            return await self._ordered_remember(request)
        return self._pending(*await self._ordered_remember.later(request))

    def _pending(self, receipt: Receipt, final: Future[Receipt]) -> Receipt:
        return AsyncPendingReceipt(
            **fields_of(receipt), outcome=lambda timeout: self._queues.outcome(final, timeout)
        )

    async def add_many(
        self,
        conversations: Iterable[Conversation],
        *,
        concurrency: int | None = None,
        progress: Callable[[Adding], None] | None = None,
    ) -> Added:
        """Remember many conversations: those of different ledgers at a time, those of one ledger
        one after the other, in the order given.

        Args:
            conversations: each a mapping of ``messages`` and the other arguments of ``add``.
                Give them an ``idempotency_key`` each, and a call that was interrupted can be
                made again.
            concurrency: ledgers to work on at a time; the setting ``concurrency`` if left out.
                The language model has a limit of its own.
            progress: called after each conversation with how far it is, and at what cost.

        Returns:
            A receipt or a failure for each, in the order given.

        Raises:
            InvalidRequest: an argument is wrong; ``path`` says which conversation, and nothing
                was written of any.
            AdapterUnavailable: the memory is closed.
        """
        return await self._remember_many(
            requests_of(conversations),
            limit=None if concurrency is None else parse_count(concurrency, "concurrency"),
            progress=progress,
        )

    async def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
        threshold: float | None = None,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        explain: bool = False,
        rerank: bool | None = None,
    ) -> SearchResult:
        """Find what matters for a question.

        Args:
            query: the question, in words.
            user_id: whose memory to search; see ``Scope``.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            filters: conditions on attributes; see ``remembrancer.domain.filters.ast``.
            limit: facts to return, 1 to 1000.
            threshold: lowest score to return, from 0 to 1.
            as_of: answer from what the ledger believed then (transaction time).
            valid_at: only what held then in the world (valid time).
            explain: also return every signal that made up the scores.
            rerank: whether a reranker has the last word, whose relevance is then the score; left
                out, it has if one is configured. If it fails, the order stays as it was, and
                ``degraded`` says ``reranker``.

        Raises:
            InvalidRequest: an argument is wrong.
            AdapterUnavailable: an engine did not answer.
        """
        now = await self._clock.now()
        moment = parse_as_of(as_of, now)
        return await self._recall(
            RecallRequest(
                scope=Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id),
                query=parse_text(query, "query", MAX_QUERY_CHARACTERS),
                where=parse_filter(filters),
                limit=parse_limit(limit),
                threshold=parse_threshold(threshold),
                now=moment or now,
                as_of=moment,
                valid_at=parse_moment(valid_at, "valid_at"),
                explain=explain,
                rerank=_optional_flag(rerank, "rerank"),
            )
        )

    async def get(
        self,
        fact_id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        as_of: datetime | str | None = None,
    ) -> Fact:
        """One fact: its latest version, whatever its status, or the one believed at ``as_of``.

        Args:
            fact_id: which fact.
            user_id: if ids are given, the fact must be theirs.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            as_of: transaction time to look back to.

        Raises:
            NotFound: there is no such fact, or not for these ids, or not yet then.
        """
        return await self._browse.get(
            FactId(parse_id(fact_id, "fact_id")),
            scope=_guard(user_id, agent_id, run_id, app_id),
            as_of=parse_as_of(as_of, await self._clock.now()),
        )

    async def get_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str = Order.CREATED_DESC.value,
        limit: int = 100,
        cursor: str | None = None,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
    ) -> Page:
        """List facts, a page at a time; all pages show the moment of the first one.

        Args:
            user_id: whose memory to list; see ``Scope``.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            filters: conditions on attributes; see ``remembrancer.domain.filters.ast``.
            order: ``created_at`` or ``occurred_at``, with ``-`` before it for newest first.
            limit: facts per page, 1 to 1000.
            cursor: what the page before returned; the other arguments must stay the same.
            as_of: what the ledger believed then (transaction time).
            valid_at: only what held then in the world (valid time).

        Raises:
            InvalidRequest: an argument is wrong.
        """
        if order not in tuple(Order):
            raise InvalidRequest("order", f"{order!r} is not one of {', '.join(Order)}")
        now = await self._clock.now()
        moment = parse_as_of(as_of, now)
        query = FactQuery(
            scope=Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id),
            where=parse_filter(filters),
            now=moment or now,
            as_of=moment,
            valid_at=parse_moment(valid_at, "valid_at"),
            order=Order(order),
            limit=parse_limit(limit),
        )
        return await self._browse.get_all(query, cursor)

    async def graph(
        self,
        entity: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        depth: int = 2,
        limit: int = 60,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
    ) -> Exploration | None:
        """What is known around an entity: its relations, the facts that name it, and so on.

        Args:
            entity: its name, an alias, or a name very like it; the entity with most links if left
                out.
            user_id: whose memory; see ``Scope``.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            depth: how many links away to look, 1 to 5.
            limit: links to return, nearest first, 1 to 1000.
            as_of: what the ledger believed then (transaction time).
            valid_at: only what held then in the world (valid time); left out, what has ended is
                among the links.

        Returns:
            The neighbourhood, ``None`` if no entity was named and none is known.

        Raises:
            InvalidRequest: an argument is wrong.
            NotFound: there is no such entity; the message names the nearest ones.
            AdapterUnavailable: an engine did not answer.
        """
        request = ExploreRequest(
            view=await self._view(
                Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id),
                as_of,
                valid_at,
                ended=True,
            ),
            entity=None if entity is None else parse_text(entity, "entity", MAX_KEY_CHARACTERS),
            depth=parse_depth(depth),
            limit=parse_limit(limit),
        )
        return await self._explore(request)

    async def entities(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        limit: int = 100,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
    ) -> list[Entity]:
        """The entities that facts and relations name, those with most links first.

        Args:
            user_id: whose memory; see ``Scope``.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            limit: entities to return, 1 to 1000.
            as_of: what the ledger believed then (transaction time).
            valid_at: what held then in the world (valid time).

        Raises:
            InvalidRequest: an argument is wrong.
            AdapterUnavailable: an engine did not answer.
        """
        scope = Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id)
        view = await self._view(scope, as_of, valid_at)
        return list(await self._explore.entities(view, parse_limit(limit)))

    async def relations(
        self,
        entity: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        limit: int = 100,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
    ) -> list[Relation]:
        """How an entity stands to others, under any of its names, newest first.

        Args:
            entity: its name, an alias, or a name very like it.
            user_id: whose memory; see ``Scope``.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            limit: relations to return, 1 to 1000.
            as_of: what the ledger believed then (transaction time).
            valid_at: what held then in the world (valid time).

        Raises:
            InvalidRequest: an argument is wrong.
            NotFound: there is no such entity; the message names the nearest ones.
            AdapterUnavailable: an engine did not answer.
        """
        scope = Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id)
        name = parse_text(entity, "entity", MAX_KEY_CHARACTERS)
        view = await self._view(scope, as_of, valid_at)
        return list(await self._explore.relations(view, name, parse_limit(limit)))

    async def _view(
        self,
        scope: Scope,
        as_of: datetime | str | None,
        valid_at: datetime | str | None,
        *,
        ended: bool = False,
    ) -> View:
        now = await self._clock.now()
        moment = parse_as_of(as_of, now)
        return View(
            scope=scope,
            now=moment or now,
            as_of=moment,
            valid_at=parse_moment(valid_at, "valid_at"),
            ended=ended,
        )

    async def update(
        self,
        fact_id: str,
        text: str | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        reason: str = "",
        actor: str = DEFAULT_ACTOR,
    ) -> Receipt | None:
        """Correct a fact; the version before stays in its history.

        Args:
            fact_id: which fact.
            text: the new text; left out, it stays.
            metadata: the new metadata as a whole; left out, it stays.
            user_id: if ids are given, the fact must be theirs.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            reason: kept in the ledger.
            actor: who asks, for the audit.

        Returns:
            The receipt, ``None`` if the fact says all that already.

        Raises:
            InvalidRequest: an argument is wrong, or there is nothing to change.
            NotFound: there is no such active fact, or not for these ids.
        """
        receipt = await self._curate.update(
            FactId(parse_id(fact_id, "fact_id")),
            scope=_guard(user_id, agent_id, run_id, app_id),
            text=None if text is None else parse_text(text, "text"),
            metadata=None if metadata is None else parse_metadata(metadata),
            reason=_reason(reason),
            actor=parse_name(actor, "actor") or DEFAULT_ACTOR,
        )
        return receipt and await self._followed(receipt)

    async def delete(
        self,
        fact_id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        reason: str = "",
        actor: str = DEFAULT_ACTOR,
    ) -> Receipt:
        """Withdraw a fact: it is not found any more, and its history stays.

        Args:
            fact_id: which fact.
            user_id: if ids are given, the fact must be theirs.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            reason: kept in the ledger.
            actor: who asks, for the audit.

        Raises:
            NotFound: there is no such active fact, or not for these ids.
        """
        receipt = await self._curate.delete(
            FactId(parse_id(fact_id, "fact_id")),
            scope=_guard(user_id, agent_id, run_id, app_id),
            reason=_reason(reason),
            actor=parse_name(actor, "actor") or DEFAULT_ACTOR,
        )
        return await self._followed(receipt)

    async def delete_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        reason: str = "",
        actor: str = DEFAULT_ACTOR,
    ) -> Receipt | None:
        """Withdraw every active fact of a scope, at once.

        Args:
            user_id: whose memory; see ``Scope``. Without an owner it is refused.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            reason: kept in the ledger.
            actor: who asks, for the audit.

        Returns:
            The receipt, ``None`` if there was nothing to withdraw.
        """
        receipt = await self._curate.delete_all(
            Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id),
            reason=_reason(reason),
            actor=parse_name(actor, "actor") or DEFAULT_ACTOR,
        )
        return receipt and await self._followed(receipt)

    async def history(
        self,
        fact_id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
    ) -> list[Fact]:
        """All versions of a fact, oldest first.

        Args:
            fact_id: which fact.
            user_id: if ids are given, the fact must be theirs.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.

        Raises:
            NotFound: there is no such fact, or not for these ids.
        """
        return list(
            await self._browse.history(
                FactId(parse_id(fact_id, "fact_id")),
                scope=_guard(user_id, agent_id, run_id, app_id),
            )
        )

    async def verify(self, progress: Progress | None = None) -> Verification:
        """Check everything: every hash, every version number, and that the facts are what the
        log says.

        Args:
            progress: called with the events checked so far and the events in all.
        """
        return await self._verify(progress)

    async def stats(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
    ) -> Statistics:
        """How much there is, in the ledger of these ids or, without any, in all of them.

        Args:
            user_id: see ``Scope``.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
        """
        return await self._collect_statistics(_guard(user_id, agent_id, run_id, app_id))

    async def retry(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        actor: str = DEFAULT_ACTOR,
        progress: Callable[[int, int], None] | None = None,
    ) -> Retried:
        """Draw facts from messages that a model could not be had for, or made nothing of.

        Args:
            user_id: whose; without any id, everybody's. See ``Scope``.
            agent_id: likewise.
            run_id: likewise.
            app_id: likewise.
            actor: who asks, for the audit.
            progress: called with the requests tried so far and those to try in all.

        Returns:
            The receipts of what is done now, and what still waits, with the reasons.
        """
        scope = _guard(user_id, agent_id, run_id, app_id)
        retried = await self._retry(
            scope.ledger if scope else None,
            actor=parse_name(actor, "actor") or DEFAULT_ACTOR,
            progress=progress,
        )
        return evolve(
            retried,
            receipts=tuple([await self._followed(receipt) for receipt in retried.receipts]),
        )

    async def refill(self, progress: Callable[[int], None] | None = None) -> int:
        """Embed the facts that the embedder could not be reached for when they were added.

        Adding facts does so too, a batch at a time, once the embedder answers again.

        Args:
            progress: called with the documents that have got their vector so far.

        Returns:
            Documents that have got their vector.

        Raises:
            AdapterUnavailable: the embedder does not answer.
        """
        return await self._refill(progress)

    async def _followed(self, receipt: Receipt) -> Receipt:
        """A receipt that says which external projections lag behind it, if any do."""
        lagging = await self._after_commit(receipt.ledger, receipt.positions[1])
        return evolve(receipt, lagging=(*receipt.lagging, *lagging)) if lagging else receipt

    async def run_worker(
        self,
        *,
        stop: Callable[[], bool] = _never,
        on_report: OnReport | None = None,
        once: bool = False,
    ) -> Report:
        """Drive the external index and graph from the log, until told to stop.

        Any number of workers may run, in any processes; each partition has one at a time.

        Args:
            stop: asked several times a second whether to end; without it a task is cancelled, and
                a thread interrupted.
            on_report: called about once a second with how everything stands.
            once: end as soon as all that the log holds by now has been delivered, or the engine
                in question does not answer.

        Returns:
            How everything stands at the end.

        Raises:
            InvalidRequest: nothing external is configured, or it has to be rebuilt first.
            AdapterUnavailable: the log's database did not answer at the beginning.
        """
        worker: Worker = self._container.worker()
        await worker.check()
        await self._run(worker, stop, on_report, once=once)
        return await worker.report()

    async def _run(
        self, worker: Worker, stop: Callable[[], bool], on_report: OnReport | None, *, once: bool
    ) -> None:
        beside = type(self._beside)()
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
            *(partial(worker.follow, track, stopped) for track in worker.tracks),
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

    async def rebuild(self, projection: str, *, on_report: OnReport | None = None) -> Report:
        """Empty an external engine and feed it again from the beginning of the log.

        Until it is through, searches are answered by the log's own database. If it is cut short,
        workers go on with it; so does whoever calls this with ``run_worker(once=True)``.

        Args:
            projection: ``vector_index`` or ``knowledge_graph``.
            on_report: called about once a second with how it stands.

        Raises:
            InvalidRequest: there is no such external projection.
            AdapterUnavailable: the engine or the log's database did not answer.
        """
        projections: Sequence[Projector] = self._container.projections()
        chosen = [item for item in projections if item.feed.projection == projection]
        if not chosen:
            names = ", ".join(item.feed.projection for item in projections) or "none"
            raise InvalidRequest(
                "projection", f"{projection!r} is not external; those are: {names}"
            )
        await chosen[0].partition_states()
        await chosen[0].restart()
        worker: Worker = self._container.worker(
            projections=chosen, measure_lag=self._container.measure_lag(projections=chosen)
        )
        await self._run(worker, _never, on_report, once=True)
        report = await worker.report()
        for lag, _ in report.tracks:
            if lag.problem is not None:
                raise AdapterUnavailable(projection, f"the rebuild is cut short: {lag.problem}")
        return report

    async def compact(self) -> int:
        """Have indexes make what speeds up searches of very large ledgers and is due: on
        PostgreSQL, and in ``pgvector``, a graph from 50,000 documents on.

        Searches are right without it. Writers and readers go on meanwhile. A worker does it by
        itself; without one, call it now and then.

        Returns:
            How many graphs or segments were made.

        Raises:
            AdapterUnavailable: an engine did not answer; what was made until then stays.
        """
        made: int = await self._container.index_maintenance()()
        return made

    async def dead_letters(self) -> list[DeadLetter]:
        """The events that external engines would not take, each with its cause."""
        return await self._dead_letters.listed()

    async def retry_dead_letters(self) -> Revived:
        """Bring external engines once more what they would not take.

        Raises:
            AdapterUnavailable: an engine did not answer; no letter is lost.
            InvalidRequest: an engine has to be rebuilt first.
        """
        return await self._dead_letters.retry()

    async def _leave(self) -> None:
        """End what runs beside, and let go of the engines that were made here."""
        self._after_commit.stop()
        await self._beside.close()
        container = self._container
        for built, lifted, embedded in (
            (container.vector_index, container.lifted_index, container.embedded_index),
            (container.knowledge_graph, container.lifted_graph, container.embedded_graph),
        ):
            # What the caller brought along is the caller's to close.
            if not built.overridden and built() is not embedded():
                await lifted().close()

    async def close(self) -> None:
        """Finish what the background has still to do, for at most ``grace`` seconds (a setting),
        and close all connections. What is not done by then waits in the ledger, for ``retry``.

        Closing twice does nothing.
        """
        await self._close_within(self._grace)

    async def _close_within(self, grace: float) -> None:
        await self._queues.close(grace)
        try:
            await self._leave()
        finally:
            await asyncio.to_thread(self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close_within(_grace_after(error, self._grace))


class _Inline(AsyncMemory):
    _mode = "inline"

    def _pending(self, receipt: Receipt, final: Future[Receipt]) -> Receipt:
        return PendingReceipt(
            **fields_of(receipt),
            outcome=lambda timeout: run_inline(self._queues.outcome(final, timeout)),
        )

    async def _close_within(self, grace: float) -> None:
        await self._queues.close(grace)
        try:
            await self._leave()
        finally:
            self._close()
        await self._queues.farewell()


def _driven(
    method: Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Memory, P], T]:
    @wraps(method)
    def call(self: Memory, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_inline(method(self._inner, *args, **kwargs))

    return cast("Callable[Concatenate[Memory, P], T]", call)


class Memory:
    """A memory for agents. Threads may share one instance; no event loop is needed.

    Args:
        path: a SQLite file, made if it does not exist; left out, the settings decide (by default
            a database in memory that is gone when it is closed).
        settings: everything that can be chosen; ``None`` reads ``REMEMBRANCER_*`` variables.
        overrides: parts to use in place of the configured ones, by their names in ``Container``
            (``embedder``, ``clock``, ``extractor``, …).
        on_rebuild: called while read models are rebuilt from the log, with what is being done,
            how much is done and how much there is.

    Raises:
        InvalidRequest: the settings are wrong, or the file is not a remembrancer database.
        AdapterUnavailable: an engine did not answer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        settings: Settings | None = None,
        overrides: Mapping[str, Any] | None = None,
        on_rebuild: OnRebuild | None = None,
    ) -> None:
        self._inner = _Inline(path, settings=settings, overrides=overrides, on_rebuild=on_rebuild)

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Open with settings from a mapping, a TOML or a YAML file."""
        return cls(settings=load_settings(config))

    # Spelled out, since what is overloaded can't be derived.
    @overload
    def add(
        self, messages: Messages, *, wait: Literal[False], **options: Unpack[AddOptions]
    ) -> PendingReceipt: ...

    @overload
    def add(
        self, messages: Messages, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Receipt: ...

    @wraps(AsyncMemory.add)
    def add(
        self, messages: Messages, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Receipt:
        return run_inline(self._inner.add(messages, wait=wait, **options))

    add_many = _driven(AsyncMemory.add_many)
    search = _driven(AsyncMemory.search)
    get = _driven(AsyncMemory.get)
    get_all = _driven(AsyncMemory.get_all)
    graph = _driven(AsyncMemory.graph)
    entities = _driven(AsyncMemory.entities)
    relations = _driven(AsyncMemory.relations)
    update = _driven(AsyncMemory.update)
    delete = _driven(AsyncMemory.delete)
    delete_all = _driven(AsyncMemory.delete_all)
    history = _driven(AsyncMemory.history)
    verify = _driven(AsyncMemory.verify)
    stats = _driven(AsyncMemory.stats)
    refill = _driven(AsyncMemory.refill)
    retry = _driven(AsyncMemory.retry)
    run_worker = _driven(AsyncMemory.run_worker)
    rebuild = _driven(AsyncMemory.rebuild)
    compact = _driven(AsyncMemory.compact)
    dead_letters = _driven(AsyncMemory.dead_letters)
    retry_dead_letters = _driven(AsyncMemory.retry_dead_letters)

    def close(self) -> None:
        """Finish what the background has still to do, for at most ``grace`` seconds (a setting),
        and close all connections. What is not done by then waits in the ledger, for ``retry``.

        Closing twice does nothing.
        """
        run_inline(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run_inline(self._inner.__aexit__(kind, error, trace))


def _grace_after(error: BaseException | None, grace: float) -> float:
    """Whoever is interrupted is not kept waiting."""
    return grace if error is None or isinstance(error, Exception) else 0.0


def _guard(
    user_id: str | None, agent_id: str | None, run_id: str | None, app_id: str | None
) -> Scope | None:
    if (user_id, agent_id, run_id, app_id) == (None, None, None, None):
        return None
    return Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id)


def _optional_flag(value: object, path: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise InvalidRequest(path, f"expected true or false, got {type(value).__name__}")


def _reason(reason: str) -> str:
    return parse_text(reason, "reason", 10_000) if reason else ""
