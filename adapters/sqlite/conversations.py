"""Looking up messages and the facts that cite them, inside an open transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from memledger.adapters.fact_store.sqlite import SqliteFactStore
from memledger.domain.context import NEIGHBOURS
from memledger.domain.fact import Fact, FactId, MessageId
from memledger.domain.indexing import SAME_CONVERSATION, Surroundings

_GAP = SAME_CONVERSATION.total_seconds() * 1_000_000


class SqliteConversations:
    """``Conversations`` over the tables of the facts read model."""

    def __init__(self, connection: sqlite3.Connection, facts: SqliteFactStore) -> None:
        self._connection = connection
        self._facts = facts

    def around(self, message_id: MessageId) -> Surroundings | None:
        """See ``Conversations.around``."""
        place = self._connection.execute(
            "SELECT position, ledger_id, conversation, occurred_at FROM message "
            "WHERE message_id = ?",
            (message_id,),
        ).fetchone()
        if place is None:
            return None
        position, ledger_id, conversation, occurred_at = place
        near = (ledger_id, conversation, position, occurred_at, _GAP, NEIGHBOURS)
        same = "message.ledger_id = ? AND conversation = ? AND position"
        close = "abs(message.occurred_at - ?) <= ?"
        before = self._facts.messages_in(
            self._connection, f"{same} < ? AND {close} ORDER BY position DESC LIMIT ?", near
        )
        after = self._facts.messages_in(
            self._connection, f"{same} > ? AND {close} ORDER BY position LIMIT ?", near
        )
        own = self._facts.messages_in(self._connection, "position = ?", (position,))
        return Surroundings(before=tuple(reversed(before)), own=own[0], after=tuple(after))

    def citing(self, message_id: MessageId) -> Sequence[Fact]:
        """See ``Conversations.citing``."""
        cited = self._connection.execute(
            "SELECT fact_id FROM evidence WHERE message_id = ?", (message_id,)
        ).fetchall()
        return [
            version
            for (fact_id,) in cited
            for version in self._facts.versions_in(self._connection, FactId(fact_id))
        ]
