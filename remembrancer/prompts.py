"""The methods that write memories for a prompt: context, profile."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

from remembrancer.application.context.compose import MOST, Context
from remembrancer.application.context.styles import Style
from remembrancer.application.parsing.arguments import (
    MAX_QUERY_CHARACTERS,
    parse_count,
    parse_scope,
    parse_text,
)
from remembrancer.application.parsing.keywords import check_keywords
from remembrancer.application.profile.profile import Profile
from remembrancer.application.recall.recall import RecallRequest
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.fact_store import FactQuery
from remembrancer.domain.scope import ScopeIds
from remembrancer.operations import Operations


@check_keywords
class Prompts(Operations):
    """Base class of ``AsyncMemory`` with the methods that write memories for a prompt."""

    async def context(
        self,
        query: str,
        *,
        max_tokens: int,
        as_of: datetime | str | None = None,
        style: str = Style.FACTS.value,
        **ids: Unpack[ScopeIds],
    ) -> Context:
        """Find facts that matter for a question, and write them for a prompt.

        The text says that it is data; each fact is a quotation on one line, with who said it and
        when, between two marks that no fact contains. Facts that contradict each other stand
        together.

        Args:
            query: the question, in words, such as the user's last message.
            max_tokens: longest text, in tokens of ``cl100k_base``, from 1. They are estimated from
                above if tiktoken or the encoding is not on this machine; the result says which. To
                count otherwise, override the part ``token_counter``.
            as_of: what the ledger believed then, a time or ``"@N"``; see ``search``.
            style: ``facts`` lists them by kind, best first; ``prose`` makes sentences; ``messages``
                puts them in the order in which they were said.
            ids: whose memory.

        Returns:
            The text with the ids of its facts. It is empty if nothing was found, or nothing fits.

        Raises:
            InvalidRequest: an argument is wrong.
            AdapterUnavailable: an engine did not answer.
        """
        if style not in tuple(Style):
            raise InvalidRequest("style", f"{style!r} is not one of {', '.join(Style)}")
        scope = parse_scope(ids)
        when = await self._use.resolve_as_of(as_of, scope.ledger)
        return await self._use.compose_context(
            RecallRequest(
                scope=scope,
                query=parse_text(query, "query", MAX_QUERY_CHARACTERS),
                limit=MOST,
                now=when.now,
                as_of=when.as_of,
            ),
            max_tokens=parse_count(max_tokens, "max_tokens"),
            style=Style(style),
        )

    async def profile(
        self, *, as_of: datetime | str | None = None, **ids: Unpack[ScopeIds]
    ) -> Profile:
        """What is known of a person: the answers to questions with one answer at a time, and the
        latest facts by theme. It is derived from the facts at each call.

        What an assistant or a tool said is left out of a user's profile.

        Args:
            as_of: what the ledger believed then, a time or ``"@N"``; see ``search``.
            ids: whose memory.

        Raises:
            InvalidRequest: an argument is wrong.
            AdapterUnavailable: an engine did not answer.
        """
        scope = parse_scope(ids)
        when = await self._use.resolve_as_of(as_of, scope.ledger)
        return await self._use.describe_person(
            FactQuery(scope=scope, now=when.now, as_of=when.as_of)
        )
