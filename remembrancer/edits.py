"""The methods that change single facts: state, end, correct, update, delete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import EllipsisType
from typing import Any, Unpack

from remembrancer.application.edit.correct import Correction
from remembrancer.application.parsing.arguments import (
    DEFAULT_ACTOR,
    MAX_KEY_CHARACTERS,
    parse_actor,
    parse_flag,
    parse_guard,
    parse_id,
    parse_moment,
    parse_reason,
    parse_scope,
    parse_text,
)
from remembrancer.application.parsing.keywords import check_keywords
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.statements.make_statement import StatementRequest
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactId, Interval, Statement
from remembrancer.domain.scope import ScopeIds
from remembrancer.operations import Operations
from remembrancer.wiring.settings import Settings


@check_keywords
class Edits(Operations):
    """Base class of ``AsyncMemory`` with the methods that change single facts."""

    _settings: Settings

    async def state(
        self,
        subject: str,
        predicate: str,
        value: str,
        *,
        valid_from: datetime | str | None = None,
        valid_to: datetime | str | None = None,
        single: bool = True,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        reason: str = "",
        actor: str = DEFAULT_ACTOR,
        **ids: Unpack[ScopeIds],
    ) -> Receipt:
        """State a fact as subject, predicate and value, with the time in which it holds.

        Statements share slots with what was said: ``state("user", "lives in", "Rome")`` succeeds
        "I live in Berlin". At any time, the value with the latest start holds, among equal starts
        the one that was told last. A value with an end interrupts what holds, which then resumes;
        one that begins later ends nothing before.

        Args:
            subject: who or what it is about; ``user`` is the speaker of sentences with "I".
            predicate: such as ``lives in``.
            value: such as ``Rome``.
            valid_from: when it begins to hold; by default now.
            valid_to: when it ceases to hold, which is no longer part of its time; by default never.
            single: the subject has one value of this predicate at a time. With ``False``, values
                stand side by side.
            text: the fact in words; by default made of subject, predicate and value.
            metadata: a JSON object.
            reason: kept in the ledger.
            actor: who asks, for the audit.
            ids: whose memory.

        Raises:
            InvalidRequest: an argument is wrong; nothing was written.
            Conflict: other writers kept writing to this ledger.
            AdapterUnavailable: an engine did not answer.
        """
        return await self._use.make_statement(
            StatementRequest(
                scope=parse_scope(ids),
                statement=Statement(
                    subject=parse_text(subject, "subject", MAX_KEY_CHARACTERS),
                    predicate=parse_text(predicate, "predicate", MAX_KEY_CHARACTERS),
                    value=parse_text(value, "value"),
                ),
                valid=Interval(
                    start=parse_moment(valid_from, "valid_from"),
                    end=parse_moment(valid_to, "valid_to"),
                ),
                single=parse_flag(single, "single"),
                text=None if text is None else parse_text(text, "text"),
                metadata=self._settings.limits.metadata_of(metadata) or {},
                reason=parse_reason(reason),
                actor=parse_actor(actor),
            )
        )

    async def end(
        self,
        fact_id: str,
        *,
        at: datetime | str,
        reason: str = "",
        actor: str = DEFAULT_ACTOR,
        **ids: Unpack[ScopeIds],
    ) -> Receipt:
        """Say that a fact was true until a time, and nothing followed it. What the fact succeeded
        does not come back; what a stay interrupted resumes.

        Args:
            fact_id: which fact.
            at: when it ceased to hold, or will.
            reason: kept in the ledger.
            actor: who asks, for the audit.
            ids: if any are given, the fact must be theirs.

        Raises:
            InvalidRequest: the fact had not begun by then, or had ended.
            NotFound: there is no such fact, or not for these ids, or it was withdrawn or expired.
        """
        moment = parse_moment(at, "at")
        if moment is None:
            raise InvalidRequest("at", "expected a time, got NoneType")
        return await self._use.end_fact(
            FactId(parse_id(fact_id, "fact_id")),
            at=moment,
            scope=parse_guard(ids),
            reason=parse_reason(reason),
            actor=parse_actor(actor),
        )

    async def correct(
        self,
        fact_id: str,
        *,
        text: str | None = None,
        value: str | None = None,
        valid_from: datetime | str | EllipsisType | None = ...,
        valid_to: datetime | str | EllipsisType | None = ...,
        reason: str = "",
        actor: str = DEFAULT_ACTOR,
        **ids: Unpack[ScopeIds],
    ) -> Receipt | None:
        """Correct what the ledger believes of a fact of any status, ended ones included. What is
        not given stays as it was, and what was believed before is still found with ``as_of``.

        Args:
            fact_id: which fact.
            text: the right text; by default it is made anew if the value changes.
            value: the right value of a stated fact.
            valid_from: when it began to hold; ``None``: nobody knows.
            valid_to: when it ceased to hold; ``None``: it has not.
            reason: kept in the ledger.
            actor: who asks, for the audit.
            ids: if any are given, the fact must be theirs.

        Returns:
            The receipt, ``None`` if the fact is like that already.

        Raises:
            InvalidRequest: an argument is wrong, or there is nothing to correct.
            NotFound: there is no such fact, or not for these ids.
        """
        correction = Correction(
            text=None if text is None else parse_text(text, "text"),
            value=None if value is None else parse_text(value, "value"),
            valid_from=... if valid_from is ... else parse_moment(valid_from, "valid_from"),
            valid_to=... if valid_to is ... else parse_moment(valid_to, "valid_to"),
            reason=parse_reason(reason),
        )
        return await self._use.correct(
            FactId(parse_id(fact_id, "fact_id")),
            correction,
            scope=parse_guard(ids),
            actor=parse_actor(actor),
        )

    async def update(
        self,
        fact_id: str,
        text: str | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        reason: str = "",
        actor: str = DEFAULT_ACTOR,
        **ids: Unpack[ScopeIds],
    ) -> Receipt | None:
        """Correct a fact; the version before stays in its history.

        Args:
            fact_id: which fact.
            text: the new text; by default it stays.
            metadata: the new metadata as a whole; by default it stays.
            reason: kept in the ledger.
            actor: who asks, for the audit.
            ids: if any are given, the fact must be theirs.

        Returns:
            The receipt, ``None`` if the fact says all that already.

        Raises:
            InvalidRequest: an argument is wrong, or there is nothing to change.
            NotFound: there is no such active fact, or not for these ids.
        """
        return await self._use.update(
            FactId(parse_id(fact_id, "fact_id")),
            scope=parse_guard(ids),
            text=None if text is None else parse_text(text, "text"),
            metadata=self._settings.limits.metadata_of(metadata),
            reason=parse_reason(reason),
            actor=parse_actor(actor),
        )

    async def delete(
        self,
        fact_id: str,
        *,
        reason: str = "",
        block: bool = False,
        actor: str = DEFAULT_ACTOR,
        **ids: Unpack[ScopeIds],
    ) -> Receipt:
        """Withdraw a fact: searches do not find it any more, and its history stays. What the fact
        ended or interrupted in its slot holds again.

        Args:
            fact_id: which fact.
            reason: kept in the ledger.
            block: do not draw the fact again from the same or like words, nor its value in its
                slot, until its owner says it anew or it is stated (``state``).
            actor: who asks, for the audit.
            ids: if any are given, the fact must be theirs.

        Raises:
            NotFound: there is no such active fact, or not for these ids.
        """
        return await self._use.withdraw(
            FactId(parse_id(fact_id, "fact_id")),
            block=parse_flag(block, "block"),
            scope=parse_guard(ids),
            reason=parse_reason(reason),
            actor=parse_actor(actor),
        )

    async def delete_all(
        self, *, reason: str = "", actor: str = DEFAULT_ACTOR, **ids: Unpack[ScopeIds]
    ) -> Receipt | None:
        """Withdraw every active fact of a scope, in one append. Ended facts stay ended.

        Args:
            reason: kept in the ledger.
            actor: who asks, for the audit.
            ids: whose memory. Without an owner the call is refused.

        Returns:
            The receipt, ``None`` if there was nothing to withdraw.
        """
        return await self._use.withdraw_all(
            parse_scope(ids), reason=parse_reason(reason), actor=parse_actor(actor)
        )
