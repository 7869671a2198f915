"""Look-up of messages and the facts that cite them, for the pure (sync) indexing functions.

``settled`` calls such a function with the data that is cached so far, fetches in one batch
everything that was missing, and calls it again; two or three rounds are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from remembrancer.adapters.stores.postgres.fact_store import PostgresFactStore
from remembrancer.adapters.stores.postgres.sessions import Reader
from remembrancer.domain.conversation import Message
from remembrancer.domain.facts.fact import Fact, MessageId
from remembrancer.domain.recall.documents import SAME_CONVERSATION, Surroundings
from remembrancer.domain.recall.index_context import NEIGHBOURS

T = TypeVar("T")

_GAP = SAME_CONVERSATION // SAME_CONVERSATION.resolution
"""Microseconds."""

_NEXT = (
    "(SELECT version, occurred_at FROM message WHERE ledger_id = own.ledger_id "
    "AND conversation = own.conversation AND version {side} own.version "
    "ORDER BY version {direction} LIMIT %s)"
)
_AROUND = f"""
SELECT own.message_id, own.version, payload, type, schema_version, near.version, ledger.name,
    event_id
FROM message AS own
CROSS JOIN LATERAL (
    {_NEXT.format(side="<=", direction="DESC")} UNION ALL {_NEXT.format(side=">", direction="ASC")}
) AS near
JOIN event ON event.ledger_id = own.ledger_id AND event.version = near.version
JOIN ledger ON ledger.id = own.ledger_id
WHERE own.message_id = ANY(%s) AND abs(near.occurred_at - own.occurred_at) <= %s
ORDER BY own.message_id, near.version
"""


class PostgresConversations:
    """``Conversations`` over the tables of the facts read model, for one transaction."""

    def __init__(self, connection: Reader, facts: PostgresFactStore) -> None:
        self._connection = connection
        self._facts = facts
        self._around: dict[MessageId, Surroundings | None] = {}
        self._citing: dict[MessageId, list[Fact]] = {}
        self._unknown: set[MessageId] = set()
        self._uncited: set[MessageId] = set()

    async def settled(self, ask: Callable[[], T]) -> T:
        """Call ``ask`` until all that it looks up here is cached; return its result."""
        while True:
            answer = ask()
            if not self._unknown and not self._uncited:
                return answer
            await self._fetch()

    def around(self, message_id: MessageId) -> Surroundings | None:
        """See ``Conversations.around``."""
        if message_id not in self._around:
            self._unknown.add(message_id)
        return self._around.get(message_id)

    def citing(self, message_id: MessageId) -> Sequence[Fact]:
        """See ``Conversations.citing``."""
        if message_id not in self._citing:
            self._uncited.add(message_id)
        return self._citing.get(message_id, ())

    async def _fetch(self) -> None:
        if self._unknown:
            self._around |= dict.fromkeys(self._unknown) | await self._surroundings()
            self._unknown = set()
        if self._uncited:
            self._citing |= {message_id: [] for message_id in self._uncited}
            for message_id, fact in await self._facts.citing_in(
                self._connection, sorted(self._uncited)
            ):
                self._citing[message_id].append(fact)
            self._uncited = set()

    async def _surroundings(self) -> dict[MessageId, Surroundings]:
        cursor = await self._connection.execute(
            _AROUND, (NEIGHBOURS + 1, NEIGHBOURS, sorted(self._unknown), _GAP)
        )
        near: dict[tuple[MessageId, int], dict[int, Message]] = {}
        for message_id, own, *stored in await cursor.fetchall():
            message = self._facts.message(tuple(stored))
            if message is not None:
                near.setdefault((MessageId(message_id), own), {})[stored[3]] = message
        return {
            message_id: Surroundings(
                before=tuple(message for at, message in found.items() if at < own),
                own=found[own],
                after=tuple(message for at, message in found.items() if at > own),
            )
            for (message_id, own), found in near.items()
            if own in found
        }
