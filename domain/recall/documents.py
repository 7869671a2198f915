"""What the indexes hold for a fact: pure, so that every index is fed the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from attrs import frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.events import MessageObserved
from remembrancer.domain.facts.evolve import FactChange, fact_id_of
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval, MessageId
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.index_context import context_of
from remembrancer.domain.recorded import Recorded

SAME_CONVERSATION = timedelta(hours=1)
"""Messages further apart than this are not neighbours, whatever run they belong to."""

INDEXED = (FactStatus.ACTIVE, FactStatus.SUPERSEDED)
"""A retracted or expired version is never found; the version before it still is, in its time."""


def indexed_versions(change: FactChange) -> list[Fact]:
    """The versions whose documents a change writes: the one that ended and the one that began."""
    versions = [change.before, change.after]
    return [fact for fact in versions if fact is not None and fact.status in INDEXED]


def document_of(fact: Fact, *, context: str, vector: Vector | None) -> Document:
    """The document for one version of a fact."""
    end = fact.recorded.end
    if fact.expires_at is not None:
        end = fact.expires_at if end is None else min(end, fact.expires_at)
    return Document(
        key=fact.key,
        scope=fact.scope,
        text=fact.text,
        context=context,
        speaker=fact.speaker,
        entities=fact.entities,
        occurred_at=fact.occurred_at,
        visible=Interval(start=fact.recorded.start, end=end),
        valid=fact.valid,
        attributes=attributes_of(fact),
        vector=vector,
    )


def attributes_of(fact: Fact) -> Mapping[str, Any]:
    """A fact as filters see it; the fields are those of ``remembrancer.domain.filters.ast``."""
    return {
        "fact_id": fact.fact_id,
        "kind": fact.kind.value,
        "status": fact.status.value,
        "speaker": fact.speaker,
        "text": fact.text,
        "created_at": fact.created_at,
        "updated_at": fact.updated_at,
        "occurred_at": fact.occurred_at,
        "valid_from": fact.valid.start,
        "valid_to": fact.valid.end,
        "expires_at": fact.expires_at,
        "entities": list(fact.entities),
        "metadata": fact.metadata,
    }


@frozen(kw_only=True)
class Surroundings:
    """A message with those that were said just before and just after it, oldest first."""

    before: tuple[Message, ...]
    own: Message
    after: tuple[Message, ...]


class Conversations(Protocol):
    """What indexing needs to look up, in the same state of the ledger that it writes to."""

    def around(self, message_id: MessageId) -> Surroundings | None:
        """A message with those of its ``context.NEIGHBOURS`` on either side that were said within
        ``SAME_CONVERSATION`` of it.

        Who is next to whom is a matter of the ledger's order alone. Were messages of another time
        passed over, one that comes in late could join the context of a message that it does not
        have among its own neighbours, and ``to_index`` would not know.
        """
        ...

    def citing(self, message_id: MessageId) -> Sequence[Fact]:
        """All versions of the facts whose evidence names a message."""
        ...


def to_index(
    chain: Sequence[Recorded], changes: Sequence[FactChange], conversations: Conversations
) -> list[tuple[Fact, str]]:
    """The versions whose documents an append writes, each with its context.

    Besides the facts that changed, these are the facts whose neighbourhood grew: what is said
    next belongs to the context of what was said before, in whatever portions it comes in.
    """
    versions = {fact.key: fact for change in changes for fact in indexed_versions(change)}
    seen: dict[MessageId, Surroundings | None] = {}

    def around(message_id: MessageId) -> Surroundings | None:
        if message_id not in seen:
            seen[message_id] = conversations.around(message_id)
        return seen[message_id]

    observed = [
        item.event.message.message_id for item in chain if isinstance(item.event, MessageObserved)
    ]
    here = set(observed)
    earlier = {
        message.message_id: None
        for message_id in observed
        if (near := around(message_id)) is not None
        for message in near.before
        if message.message_id not in here
    }
    for message_id in earlier:
        for fact in conversations.citing(message_id):
            if fact.status in INDEXED:
                versions.setdefault(fact.key, fact)
    return [(fact, _context(fact, around)) for fact in versions.values()]


def touched(
    chain: Sequence[Recorded],
    conversations: Conversations,
    versions: Callable[[FactId], Sequence[Fact]],
) -> list[tuple[Fact, str]]:
    """The versions whose documents events may have changed, as they stand now, each with its
    context: for an index that is fed after the commit.

    What is known now may be more than what the events of ``chain`` tell. The documents are right
    all the same, and whoever is given the later events as well writes the same ones again: in
    whatever order and however often they are put, an index comes to hold what ``to_index`` would
    have written.
    """
    first: dict[FactId, datetime] = {}
    for item in chain:
        fact_id = fact_id_of(item.event)
        if fact_id is not None:
            first.setdefault(fact_id, item.recorded_at)
    found = {
        fact.key: fact
        for fact_id, moment in first.items()
        for fact in versions(fact_id)
        # The version that an event ended, the one that it began, and those since.
        if fact.status in INDEXED and (fact.recorded.end is None or fact.recorded.end >= moment)
    }
    near = to_index(chain, (), conversations)
    found.update((fact.key, fact) for fact, _ in near)
    return [(fact, context_for(fact, conversations)) for fact in found.values()]


def context_for(fact: Fact, conversations: Conversations) -> str:
    """The context field of a version."""
    return _context(fact, conversations.around)


def _context(fact: Fact, around: Callable[[MessageId], Surroundings | None]) -> str:
    surroundings = around(fact.evidence[0].message_id) if fact.evidence else None
    return context_of(
        surroundings.before if surroundings else (),
        surroundings.own if surroundings else None,
        surroundings.after if surroundings else (),
        speaker=fact.speaker,
        occurred_at=fact.occurred_at,
        slot=fact.slot,
    )
