"""The face: ``AsyncMemory``, and ``Memory``, which is the same one driven without a loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from datetime import datetime
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from remembrancer.application.inline import run_inline
from remembrancer.application.parsing.arguments import (
    MAX_KEY_CHARACTERS,
    MAX_QUERY_CHARACTERS,
    parse_count,
    parse_depth,
    parse_flag,
    parse_guard,
    parse_id,
    parse_limit,
    parse_moment,
    parse_optional_flag,
    parse_scope,
    parse_status,
    parse_text,
    parse_threshold,
)
from remembrancer.application.parsing.conversations import (
    AddOptions,
    Conversation,
    request_of,
    requests_of,
)
from remembrancer.application.parsing.keywords import check_keywords
from remembrancer.application.parsing.messages import Messages
from remembrancer.application.recall.browse import Page
from remembrancer.application.recall.explore import Exploration, ExploreRequest
from remembrancer.application.recall.recall import RecallRequest, SearchResult
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.remember.remember_many import Added, Adding
from remembrancer.audit import AsyncAudit, Audit
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.filters.parse import parse_filter
from remembrancer.domain.graph.graph import Entity, Relation, View
from remembrancer.domain.ports.fact_store import FactQuery, Order
from remembrancer.domain.ports.read_models import OnRebuild
from remembrancer.domain.scope import Scope, ScopeIds
from remembrancer.edits import Edits
from remembrancer.operations import Uncopyable
from remembrancer.prompts import Prompts
from remembrancer.runtime.pending import AsyncPendingReceipt, PendingReceipt, fields_of
from remembrancer.wiring.lifecycle import Lifecycle
from remembrancer.wiring.settings import Settings, given_settings, load_settings

P = ParamSpec("P")
T = TypeVar("T")

Config = Mapping[str, Any] | str | os.PathLike[str]


@check_keywords
class AsyncMemory(Edits, Prompts):
    """A memory for agents, for use in an event loop. Tasks may share one instance.

    Whose memory a call is about is said by its keyword arguments ``user_id``, ``agent_id``,
    ``run_id`` and ``app_id`` (``ids`` below); see ``Scope``.

    Args:
        path: a SQLite file, made if it does not exist; left out, the settings decide (by default
            a database in memory that is gone when it is closed).
        settings: everything that can be chosen; ``None`` reads ``REMEMBRANCER_*`` variables.
        overrides: parts to use in place of the configured ones, by their names in ``Container``
            (``embedder``, ``clock``, ``extractor``, ``store``, …).
        on_rebuild: called while read models are built from the log, with a label, the events done
            and the events in all.

    Opening touches the disk, and builds read models that are missing or behind the log; in a
    running loop prefer ``await AsyncMemory.open(...)``, which does so in a thread.

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
        settings = given_settings(path, settings)
        self._lifecycle = Lifecycle(
            settings, mode=self._mode, overrides=overrides or {}, on_rebuild=on_rebuild
        )
        self._container = self._lifecycle.container
        self._settings = settings

    @property
    def audit(self) -> AsyncAudit:
        """What was believed, since when, and why."""
        return AsyncAudit(self._lifecycle)

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

    @overload
    async def add(
        self, messages: Messages, *, wait: Literal[False], **options: Unpack[AddOptions]
    ) -> AsyncPendingReceipt: ...

    @overload
    async def add(
        self, messages: Messages, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Receipt: ...

    async def add(
        self, messages: Messages, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Receipt:
        """Remember what was said.

        Args:
            messages: a string (said by the user), a message or a list of messages; a message is a
                mapping with ``content`` and, if wanted, ``role``, ``name``, ``timestamp`` and
                ``metadata``, or a message of OpenAI, Anthropic, Gemini or LangChain, as a mapping
                or as an object of their SDKs. What can't be remembered is in the receipt's
                ``skipped``.
            user_id, agent_id, run_id, app_id: whose memory it is; see ``Scope``.
            metadata: a JSON object that every fact drawn from the messages carries.
            occurred_at: when it was said, for messages without a ``timestamp``; by default now.
            expires_at: when the facts expire; later than now.
            infer: draw facts from the messages; ``False`` stores each message as a fact, word for
                word.
            kind: ``procedural`` makes one procedural fact of the messages, the run of an agent
                (``agent_id`` or ``run_id``): how the task was done, in steps.
            instructions: which facts to keep, in plain words, in place of the setting.
            include: the only topics to keep, in place of the setting.
            exclude: topics to leave out, in place of the setting.
            categories: labels, in place of the setting; those that fit a fact stand in its
                metadata as ``categories``.
            idempotency_key: the same key with the same messages is carried out once, with the
                options of the first call, and returns the first receipt ever after.
            actor: who asks, for the audit; by default ``api``.
            wait: ``False`` returns as soon as the messages are in the ledger; facts are drawn in
                the background. The receipt's ``pending`` names what is still to do, and its
                ``wait`` returns the final receipt.

        Rules, which extract where no model is configured, follow no guidance; the receipt names
        what they ignored.

        Raises:
            InvalidRequest: an argument is wrong, or nothing of the messages can be remembered
                (``NothingToRemember``); nothing was written.
            Conflict: other writers kept writing to this ledger; the messages are in the ledger.
            AdapterUnavailable: an engine did not answer. If it is a model, the messages are in the
                ledger, for ``retry``.
            ModelError: a model's answer was unusable; the messages are in the ledger, for
                ``retry``.
        """
        request = self._settings.limits.checked(request_of(messages, **options))
        if parse_flag(wait, "wait"):
            return await self._use.remember(request)
        return self._pending(*await self._use.remember.later(request))

    def _pending(self, receipt: Receipt, final: Future[Receipt]) -> Receipt:
        return AsyncPendingReceipt(
            **fields_of(receipt), outcome=lambda timeout: self._use.queues.outcome(final, timeout)
        )

    async def add_many(
        self,
        conversations: Iterable[Conversation],
        *,
        concurrency: int | None = None,
        progress: Callable[[Adding], None] | None = None,
    ) -> Added:
        """Remember many conversations: those of different ledgers at the same time, those of one
        ledger one after the other, in the order given.

        Args:
            conversations: each a mapping of ``messages`` and the other arguments of ``add``.
                Give them an ``idempotency_key`` each, and an interrupted call can be repeated.
            concurrency: ledgers to work on at a time; by default the setting ``concurrency``.
                The language model has a limit of its own.
            progress: called after each conversation with the counts and the cost so far.

        Returns:
            A receipt or a failure for each, in the order given.

        Raises:
            InvalidRequest: an argument is wrong; ``path`` says which conversation, and nothing
                was written of any.
            AdapterUnavailable: the memory is closed.
        """
        return await self._use.remember_many(
            requests_of(conversations, self._settings.limits),
            limit=None if concurrency is None else parse_count(concurrency, "concurrency"),
            progress=progress,
        )

    async def search(
        self,
        query: str,
        *,
        filters: Mapping[str, Any] | None = None,
        limit: int = 10,
        threshold: float | None = None,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        status: str | None = None,
        explain: bool = False,
        rerank: bool | None = None,
        abstain: bool = False,
        **ids: Unpack[ScopeIds],
    ) -> SearchResult:
        """Find facts that matter for a question.

        Args:
            query: the question, in words.
            filters: conditions on attributes; see ``domain.filters.evaluate``.
            limit: facts to return, 1 to 1000.
            threshold: lowest score to return, from 0 to 1. A score compares between questions and
                memories: below 0.3 hardly any answer is found, see "How to read scores".
            as_of: answer from what the ledger believed then (transaction time): a time, ISO 8601 as
                a string, or ``"@N"`` for the ledger's version N. Events that were appended together
                are one moment: ``"@N"`` stands for all of them.
            valid_at: only facts that held then in the world (valid time).
            status: other facts than the active ones; see ``get_all``. The latest 1000 of them are
                scored by words and similarity.
            explain: also return every signal that made up the scores.
            rerank: whether a reranker orders the result, whose relevance is then the score; by
                default it does if one is configured. If it fails, the order stays as it was, and
                ``degraded`` names ``reranker``.
            abstain: return nothing if the answer is probably not known: if no fact scores 0.3, or
                the best one is not of the person that the question names. The result says
                ``abstained``.
            ids: whose memory to search.

        Raises:
            InvalidRequest: an argument is wrong.
            AdapterUnavailable: an engine did not answer.
        """
        where = parse_filter(filters)  # first: its error for a user_id says where that goes
        scope = parse_scope(ids)
        when = await self._use.resolve_as_of(as_of, scope.ledger)
        return await self._use.recall(
            RecallRequest(
                where=where,
                scope=scope,
                query=parse_text(query, "query", MAX_QUERY_CHARACTERS),
                limit=parse_limit(limit),
                threshold=parse_threshold(threshold),
                now=when.now,
                as_of=when.as_of,
                valid_at=parse_moment(valid_at, "valid_at"),
                status=parse_status(status),
                explain=explain,
                rerank=parse_optional_flag(rerank, "rerank"),
                abstain=parse_flag(abstain, "abstain"),
            )
        )

    async def get(
        self,
        fact_id: str,
        *,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        **ids: Unpack[ScopeIds],
    ) -> Fact:
        """One fact: its latest version, whatever its status, or the one believed at ``as_of``.

        Args:
            fact_id: which fact.
            as_of: transaction time to look back to, a time or ``"@N"``; see ``search``.
            valid_at: the time at which that version must hold (valid time).
            ids: if any are given, the fact must be theirs.

        Raises:
            InvalidRequest: an argument is wrong.
            NotFound: there is no such fact, or not for these ids, or not yet then, or it does not
                hold at ``valid_at``.
        """
        return await self._use.browse.get(
            FactId(parse_id(fact_id, "fact_id")),
            scope=parse_guard(ids),
            as_of=as_of,
            valid_at=parse_moment(valid_at, "valid_at"),
        )

    async def get_all(
        self,
        *,
        filters: Mapping[str, Any] | None = None,
        order: str = Order.CREATED_DESC.value,
        limit: int = 100,
        cursor: str | None = None,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        status: str | None = None,
        total: bool = False,
        **ids: Unpack[ScopeIds],
    ) -> Page:
        """List facts, a page at a time; all pages show the moment of the first one.

        Args:
            filters: conditions on attributes; see ``domain.filters.evaluate``.
            order: ``created_at`` or ``occurred_at``, with ``-`` before it for newest first.
            limit: facts per page, 1 to 1000.
            cursor: the cursor of the page before; the other arguments must stay the same.
            as_of: what the ledger believed then, a time or ``"@N"``; see ``search``.
            valid_at: only facts that held then in the world (valid time).
            status: ``superseded`` facts, which have ended, ``retracted`` or ``expired`` ones, or
                ``rival`` ones, which stand beside another answer; by default ``active``. Without
                ``valid_at``, ended facts are listed whenever they held.
            total: also count the facts in all pages.
            ids: whose memory to list.

        Raises:
            InvalidRequest: an argument is wrong.
        """
        if order not in tuple(Order):
            raise InvalidRequest("order", f"{order!r} is not one of {', '.join(Order)}")
        where = parse_filter(filters)
        scope = parse_scope(ids)
        when = await self._use.resolve_as_of(as_of, scope.ledger)
        query = FactQuery(
            where=where,
            scope=scope,
            now=when.now,
            as_of=when.as_of,
            valid_at=parse_moment(valid_at, "valid_at"),
            status=parse_status(status),
            order=Order(order),
            limit=parse_limit(limit),
        )
        return await self._use.browse.get_all(query, cursor, total=parse_flag(total, "total"))

    async def graph(
        self,
        entity: str | None = None,
        *,
        depth: int = 2,
        limit: int = 60,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        **ids: Unpack[ScopeIds],
    ) -> Exploration | None:
        """The neighbourhood of an entity: its relations, the facts that name it, and so on.

        Args:
            entity: its name, an alias, or a name very like it; by default the entity with most
                links.
            depth: how many links away to look, 1 to 5.
            limit: links to return, nearest first, 1 to 1000.
            as_of: what the ledger believed then, a time or ``"@N"``; see ``search``.
            valid_at: only what held then in the world (valid time); by default links that have
                ended are included.
            ids: whose memory.

        Returns:
            The neighbourhood, ``None`` if no entity was named and none is known.

        Raises:
            InvalidRequest: an argument is wrong.
            NotFound: there is no such entity; the message names the nearest ones.
            AdapterUnavailable: an engine did not answer.
        """
        request = ExploreRequest(
            view=await self._view(parse_scope(ids), as_of, valid_at, ended=True),
            entity=None if entity is None else parse_text(entity, "entity", MAX_KEY_CHARACTERS),
            depth=parse_depth(depth),
            limit=parse_limit(limit),
        )
        return await self._use.explore(request)

    async def entities(
        self,
        *,
        limit: int = 100,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        **ids: Unpack[ScopeIds],
    ) -> list[Entity]:
        """The entities that facts and relations name, those with most links first.

        Args:
            limit: entities to return, 1 to 1000.
            as_of: what the ledger believed then, a time or ``"@N"``; see ``search``.
            valid_at: what held then in the world (valid time).
            ids: whose memory.

        Raises:
            InvalidRequest: an argument is wrong.
            AdapterUnavailable: an engine did not answer.
        """
        view = await self._view(parse_scope(ids), as_of, valid_at)
        return list(await self._use.explore.entities(view, parse_limit(limit)))

    async def relations(
        self,
        entity: str,
        *,
        limit: int = 100,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        **ids: Unpack[ScopeIds],
    ) -> list[Relation]:
        """The relations of an entity, under any of its names, newest first.

        Args:
            entity: its name, an alias, or a name very like it.
            limit: relations to return, 1 to 1000.
            as_of: what the ledger believed then, a time or ``"@N"``; see ``search``.
            valid_at: what held then in the world (valid time).
            ids: whose memory.

        Raises:
            InvalidRequest: an argument is wrong.
            NotFound: there is no such entity; the message names the nearest ones.
            AdapterUnavailable: an engine did not answer.
        """
        name = parse_text(entity, "entity", MAX_KEY_CHARACTERS)
        view = await self._view(parse_scope(ids), as_of, valid_at)
        return list(await self._use.explore.relations(view, name, parse_limit(limit)))

    async def _view(
        self,
        scope: Scope,
        as_of: datetime | str | None,
        valid_at: datetime | str | None,
        *,
        ended: bool = False,
    ) -> View:
        when = await self._use.resolve_as_of(as_of, scope.ledger)
        return View(
            scope=scope,
            now=when.now,
            as_of=when.as_of,
            valid_at=parse_moment(valid_at, "valid_at"),
            ended=ended,
        )

    async def history(
        self,
        fact_id: str,
        *,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        **ids: Unpack[ScopeIds],
    ) -> list[Fact]:
        """All versions of a fact, oldest first.

        Args:
            fact_id: which fact.
            as_of: only the versions that were recorded by then, a time or ``"@N"``; see ``search``.
            valid_at: only the versions that hold then in the world (valid time).
            ids: if any are given, the fact must be theirs.

        Raises:
            InvalidRequest: an argument is wrong.
            NotFound: there is no such fact, or not for these ids, or not yet then.
        """
        versions = await self._use.browse.history(
            FactId(parse_id(fact_id, "fact_id")),
            scope=parse_guard(ids),
            as_of=as_of,
            valid_at=parse_moment(valid_at, "valid_at"),
        )
        return list(versions)

    async def close(self) -> None:
        """Finish background work for at most ``grace`` seconds (a setting), and close all
        connections. What is not done by then waits in the ledger, for ``retry``.

        Closing twice does nothing.
        """
        await self._close_within(self._settings.grace)

    async def _close_within(self, grace: float) -> None:
        if self._lifecycle.inherited:
            return
        await self._use.queues.close(grace)
        try:
            await self._lifecycle.leave()
        finally:
            await self._shut()

    async def _shut(self) -> None:
        await asyncio.to_thread(self._lifecycle.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Whoever is interrupted is not kept waiting.
        interrupted = error is not None and not isinstance(error, Exception)
        await self._close_within(0.0 if interrupted else self._settings.grace)


class _Inline(AsyncMemory):
    _mode = "inline"

    def _pending(self, receipt: Receipt, final: Future[Receipt]) -> Receipt:
        return PendingReceipt(
            **fields_of(receipt),
            outcome=lambda timeout: run_inline(self._use.queues.outcome(final, timeout)),
        )

    async def _shut(self) -> None:
        self._lifecycle.close()
        await self._use.queues.farewell()


def _driven(
    method: Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Memory, P], T]:
    @wraps(method)
    def call(self: Memory, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_inline(method(self._inner, *args, **kwargs))

    return cast("Callable[Concatenate[Memory, P], T]", call)


class Memory(Uncopyable):
    """A memory for agents. Threads may share one instance; no event loop is needed.

    Its methods are those of ``AsyncMemory``, without ``await``; so are its arguments and errors.
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

    @property
    def audit(self) -> Audit:
        """What was believed, since when, and why."""
        return Audit(self._inner.audit)

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Open with settings from a mapping, a TOML or a YAML file."""
        return cls(settings=load_settings(config))

    # Spelled out, since an overloaded method can't be derived.
    @overload
    def add(
        self, messages: Messages, *, wait: Literal[False], **options: Unpack[AddOptions]
    ) -> PendingReceipt: ...

    @overload
    def add(
        self, messages: Messages, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Receipt: ...

    @wraps(AsyncMemory.add)
    def add(self, *arguments: Any, **options: Any) -> Receipt:
        return cast("Receipt", run_inline(self._inner.add(*arguments, **options)))

    add_many = _driven(AsyncMemory.add_many)
    search = _driven(AsyncMemory.search)
    context = _driven(AsyncMemory.context)
    profile = _driven(AsyncMemory.profile)
    get = _driven(AsyncMemory.get)
    get_all = _driven(AsyncMemory.get_all)
    graph = _driven(AsyncMemory.graph)
    entities = _driven(AsyncMemory.entities)
    relations = _driven(AsyncMemory.relations)
    state = _driven(AsyncMemory.state)
    end = _driven(AsyncMemory.end)
    correct = _driven(AsyncMemory.correct)
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
    close = _driven(AsyncMemory.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run_inline(self._inner.__aexit__(kind, error, trace))
