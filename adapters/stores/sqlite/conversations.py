"""Look up messages, their neighbours and the facts that cite them, inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.domain.conversation import Message
from remembrancer.domain.facts.fact import Fact, MessageId
from remembrancer.domain.recall.documents import SAME_CONVERSATION, Surroundings
from remembrancer.domain.recall.index_context import NEIGHBOURS

_GAP = SAME_CONVERSATION // SAME_CONVERSATION.resolution
"""In microseconds."""

_PLACE = "SELECT position, ledger_id, conversation, occurred_at FROM message WHERE message_id = ?"
_NEXT = (
    "SELECT position, message.occurred_at, payload, type, schema_version, ledger.name, event_id "
    "FROM message JOIN event USING (position) JOIN ledger ON ledger.id = message.ledger_id "
    "WHERE message.ledger_id = :ledger AND conversation = :conversation AND position {side} "
    "ORDER BY position {direction} LIMIT :limit + {more}"
)
_AROUND = " UNION ALL ".join(
    f"SELECT * FROM ({_NEXT.format(side=side, direction=direction, more=more)}) "
    "WHERE abs(occurred_at - :occurred_at) <= :gap"
    for side, direction, more in (("<= :position", "DESC", 1), ("> :position", "ASC", 0))
)


@frozen
class _Place:
    position: int
    ledger: int
    conversation: str
    occurred_at: int


class SqliteConversations:
    """``Conversations`` on the tables of the facts read model, for one transaction."""

    def __init__(self, connection: sqlite3.Connection, facts: SqliteFactStore) -> None:
        self._connection = connection
        self._facts = facts
        self._places: dict[MessageId, _Place] = {}
        self._messages: dict[int, Message] = {}

    def around(self, message_id: MessageId) -> Surroundings | None:
        """See ``Conversations.around``."""
        place = self._place(message_id)
        if place is None:
            return None
        rows = self._connection.execute(
            _AROUND,
            {
                "position": place.position,
                "ledger": place.ledger,
                "conversation": place.conversation,
                "occurred_at": place.occurred_at,
                "gap": _GAP,
                "limit": NEIGHBOURS,
            },
        )
        near = {
            position: message
            for position, occurred_at, *stored in sorted(rows)
            if (message := self._message(place, position, occurred_at, stored)) is not None
        }
        if place.position not in near:
            return None
        return Surroundings(
            before=tuple(message for at, message in near.items() if at < place.position),
            own=near[place.position],
            after=tuple(message for at, message in near.items() if at > place.position),
        )

    def _place(self, message_id: MessageId) -> _Place | None:
        if message_id not in self._places:
            row = self._connection.execute(_PLACE, (message_id,)).fetchone()
            if row is None:
                return None
            self._places[message_id] = _Place(*row)
        return self._places[message_id]

    def _message(
        self, near: _Place, position: int, occurred_at: int, stored: Sequence[Any]
    ) -> Message | None:
        if position not in self._messages:
            payload, type_name, schema_version, ledger, event_id = stored
            message = self._facts.message(
                (payload, type_name, schema_version, position, ledger, event_id)
            )
            if message is None:
                return None
            self._messages[position] = message
            self._places[message.message_id] = _Place(
                position, near.ledger, near.conversation, occurred_at
            )
        return self._messages[position]

    def citing(self, message_id: MessageId) -> Sequence[Fact]:
        """See ``Conversations.citing``."""
        return self._facts.citing_in(self._connection, message_id)
