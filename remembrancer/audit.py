"""The questions about the past of a memory: ``memory.audit``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack, cast

from attrs import frozen

from remembrancer.application.audit.diff import Difference
from remembrancer.application.audit.timeline import Timeline
from remembrancer.application.audit.undo import Undone
from remembrancer.application.inline import run_inline
from remembrancer.application.parsing.arguments import (
    DEFAULT_ACTOR,
    MAX_QUERY_CHARACTERS,
    parse_actor,
    parse_count,
    parse_fact_kind,
    parse_flag,
    parse_guard,
    parse_id,
    parse_limit,
    parse_reason,
    parse_scope,
    parse_text,
)
from remembrancer.application.parsing.keywords import check_keywords
from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.audit.dismissal import Dismissal
from remembrancer.domain.audit.provenance import Why
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.recorded import CorrelationId
from remembrancer.domain.scope import ScopeIds
from remembrancer.wiring.lifecycle import Lifecycle, UseCases

P = ParamSpec("P")
T = TypeVar("T")


@check_keywords
@frozen
class AsyncAudit:
    """What was believed, since when, and why. It is the ``audit`` of an ``AsyncMemory``."""

    _lifecycle: Lifecycle

    @property
    def _use(self) -> UseCases:
        return self._lifecycle.use_cases

    async def why(
        self,
        fact_id: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        **ids: Unpack[ScopeIds],
    ) -> Why:
        """Explain a fact: what it came from, what was believed before, what became of it.

        ``answer`` of the result says so in plain words; ``versions`` name the event that made each
        version, with the messages, the calls of models and the decision that led to it. ``gaps``
        names what can't be followed: erased, imported without history, of another scope.

        Args:
            fact_id: which fact.
            version: explain this version, counted from 1; by default the latest.
            as_of: explain the version that was believed then (transaction time), a time or
                ``"@N"``.
            ids: if any are given, the fact must be theirs.

        Raises:
            InvalidRequest: an argument is wrong.
            NotFound: there is no such fact or version, or not for these ids, or not yet then.
        """
        return await self._use.explain_fact(
            FactId(parse_id(fact_id, "fact_id")),
            version=None if version is None else parse_count(version, "version"),
            as_of=as_of,
            scope=parse_guard(ids),
        )

    async def diff(
        self,
        before: datetime | str,
        after: datetime | str | None = None,
        *,
        kind: str | None = None,
        **ids: Unpack[ScopeIds],
    ) -> Difference:
        """The facts that differ between two moments, each with the words that changed and the
        event behind it. The cost follows the events in between, not the ledger.

        Args:
            before: the earlier moment (transaction time): a time or ``"@N"``, the ledger's
                version N.
            after: the later moment; by default now.
            kind: ``semantic``, ``episodic`` or ``procedural`` facts alone.
            ids: whose memory.

        Raises:
            InvalidRequest: an argument is wrong, or ``after`` is earlier than ``before``.
            AdapterUnavailable: the database did not answer.
        """
        return await self._use.compare_moments(
            parse_scope(ids), before, after, kind=parse_fact_kind(kind)
        )

    async def timeline(
        self,
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        limit: int = 10_000,
        **ids: Unpack[ScopeIds],
    ) -> Timeline:
        """What happened between two moments: the events, and the facts that they made or changed,
        with all of their versions. ``remembrancer timeline --html`` draws it.

        Args:
            start: the earlier moment (transaction time): a time or ``"@N"``, the ledger's
                version N; by default before the first event.
            end: the later moment; by default now.
            limit: events to read, the latest ones. ``complete`` of the result is false if there
                are more.
            ids: whose memory.

        Raises:
            InvalidRequest: an argument is wrong, or ``end`` is earlier than ``start``.
            AdapterUnavailable: the database did not answer.
        """
        return await self._use.show_timeline(
            parse_scope(ids), start, end, limit=parse_count(limit, "limit")
        )

    async def why_not(
        self, text: str, *, limit: int = 5, **ids: Unpack[ScopeIds]
    ) -> list[Dismissal]:
        """Explain why something was not remembered: what was said, or proposed by a model, and
        skipped, ignored or refused, each with the reason. The likest to the text come first.

        It reads the whole ledger.

        Args:
            text: what is missing, in any words.
            limit: answers to return, 1 to 1000.
            ids: whose memory.

        Raises:
            InvalidRequest: an argument is wrong.
        """
        return await self._use.explain_dismissal(
            parse_text(text, "text", MAX_QUERY_CHARACTERS),
            scope=parse_scope(ids),
            limit=parse_limit(limit),
        )

    async def undo(
        self,
        request: Receipt | str,
        *,
        cascade: bool = False,
        dry_run: bool = False,
        reason: str = "",
        actor: str = DEFAULT_ACTOR,
        **ids: Unpack[ScopeIds],
    ) -> Undone:
        """Take back what a request did: facts and relations are again what they were before it,
        and what it added is withdrawn. Its messages stay, and are not read again.

        An undo is a request like any other: it is in the history of the facts, and undoing it
        brings the undone request back. A request that was undone already is left alone, and the
        result has the first receipt.

        Args:
            request: the receipt of the request, or its ``correlation_id``.
            cascade: also undo the later requests that changed the same facts since.
            dry_run: write nothing, and return what would be done.
            reason: kept in the ledger.
            actor: who asks, for the audit.
            ids: if any are given, all that the request wrote must be theirs.

        Raises:
            NotFound: there is no such request, or not for these ids.
            Conflict: later requests changed the same facts, and ``cascade`` is false; they are
                named.
            Erased: what was believed before was erased; nothing was written.
            InvalidRequest: an argument is wrong, or messages of the request still wait for
                extraction.
        """
        return await self._use.undo_request(
            CorrelationId(parse_request(request)),
            cascade=parse_flag(cascade, "cascade"),
            dry_run=parse_flag(dry_run, "dry_run"),
            scope=parse_guard(ids),
            reason=parse_reason(reason),
            actor=parse_actor(actor),
        )


def parse_request(value: object) -> str:
    """The correlation id of a receipt, or one as it is."""
    return parse_id(value.correlation_id if isinstance(value, Receipt) else value, "request")


def _driven(
    method: Callable[Concatenate[AsyncAudit, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Audit, P], T]:
    @wraps(method)
    def call(self: Audit, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_inline(method(self._inner, *args, **kwargs))

    return cast("Callable[Concatenate[Audit, P], T]", call)


@frozen
class Audit:
    """What was believed, since when, and why. It is the ``audit`` of a ``Memory``.

    Its methods are those of ``AsyncAudit``, without ``await``.
    """

    _inner: AsyncAudit

    why = _driven(AsyncAudit.why)
    diff = _driven(AsyncAudit.diff)
    timeline = _driven(AsyncAudit.timeline)
    why_not = _driven(AsyncAudit.why_not)
    undo = _driven(AsyncAudit.undo)
