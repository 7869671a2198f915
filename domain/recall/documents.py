"""Make index documents from facts: pure, so that every index gets the same documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from attrs import frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.events import Event, FactAdded, FactRevised, MessageObserved
from remembrancer.domain.facts.evolve import FactChange, fact_ids_of
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, FactStatus, Interval, MessageId
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.index_context import (
    HEAD,
    NEIGHBOURS,
    context_of,
    in_context,
    is_document,
)
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId, Scope

SAME_CONVERSATION = timedelta(hours=1)
"""Maximum time between neighbouring messages, in any run."""

INDEXED = (FactStatus.ACTIVE, FactStatus.SUPERSEDED)
"""A retracted or expired version is not indexed; the one before it is, for reads ``as_of``."""


def indexed_versions(change: FactChange) -> list[Fact]:
    """The indexed versions among the one that a change ended and the one that it began."""
    versions = [change.before, change.after]
    return [fact for fact in versions if fact is not None and fact.status in INDEXED]


def document_of(fact: Fact, *, context: str, vector: Vector | None) -> Document:
    """The index document of one version of a fact."""
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
    """The fields of a fact that a filter can name, as in ``domain.filters.ast``."""
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
    """A message with the ones just before and just after it, oldest first."""

    before: tuple[Message, ...]
    own: Message
    after: tuple[Message, ...]


class Conversations(Protocol):
    """The lookups of indexing, in the state of the ledger that the index is written for."""

    def around(self, message_id: MessageId) -> Surroundings | None:
        """A message with its ``index_context.NEIGHBOURS`` on either side, without those said more
        than ``SAME_CONVERSATION`` away from it.

        The order of the ledger alone decides about neighbours. If messages of another time were
        skipped, a late message could join the context of a message that is not among its own
        neighbours, and ``to_index`` would miss that.
        """
        ...

    def citing(self, message_id: MessageId) -> Sequence[Fact]:
        """All versions of the facts that have a message as evidence."""
        ...


def to_index(
    chain: Sequence[Recorded], changes: Sequence[FactChange], conversations: Conversations
) -> list[tuple[Fact, str]]:
    """The versions to index after an append, each with its context.

    Besides the changed facts, these are the facts whose context grew: a message joins the context
    of the messages before it, even if they were appended earlier.
    """
    versions = {fact.key: fact for change in changes for fact in indexed_versions(change)}
    seen: dict[MessageId, Surroundings | None] = {}

    def around(message_id: MessageId) -> Surroundings | None:
        if message_id not in seen:
            seen[message_id] = conversations.around(message_id)
        return seen[message_id]

    here = {
        item.event.message.message_id for item in chain if isinstance(item.event, MessageObserved)
    }
    earlier = {
        message.message_id: None
        for message_id in _first_observed(chain)
        if (near := around(message_id)) is not None
        for message in near.before
        if message.message_id not in here and not is_document(message)
    }
    for message_id in earlier:
        for fact in conversations.citing(message_id):
            if fact.status in INDEXED:
                versions.setdefault(fact.key, fact)
    return [(fact, _context(fact, around)) for fact in versions.values()]


def _first_observed(chain: Sequence[Recorded]) -> Iterator[MessageId]:
    """The messages that may follow one that is not in ``chain``: the first ones of each
    conversation, in every part of the chain that has no gap.
    """
    last: dict[LedgerId, int] = {}
    met: dict[LedgerId, Counter[Scope]] = {}
    for item in chain:
        if last.get(item.ledger) != item.version - 1:
            met[item.ledger] = Counter()
        last[item.ledger] = item.version
        if isinstance(item.event, MessageObserved):
            message = item.event.message
            met[item.ledger][message.scope] += 1
            if met[item.ledger][message.scope] <= NEIGHBOURS:
                yield message.message_id


def texts_to_analyse(events: Iterable[Event], conversations: Conversations) -> set[str]:
    """The texts that make up the documents which an append of ``events`` will write, as far as
    they are known before it: for an index that analyses them before it takes a lock.
    """
    messages: dict[MessageId, Message] = {}
    cited: set[MessageId] = set()
    texts: set[str] = set()
    for event in events:
        if isinstance(event, MessageObserved):
            messages[event.message.message_id] = event.message
        elif isinstance(event, FactAdded | FactRevised):
            texts |= {event.text} if event.text else set()
            cited |= {evidence.message_id for evidence in event.evidence[:1]}
    near = filter(None, map(conversations.around, sorted(cited - messages.keys())))
    for each in near:
        messages |= {m.message_id: m for m in (*each.before, each.own, *each.after)}
    for message in messages.values():
        texts |= {in_context(message), message.text[:HEAD]}
    return texts


def touched(
    chain: Sequence[Recorded],
    conversations: Conversations,
    versions: Callable[[FactId], Sequence[Fact]],
) -> list[tuple[Fact, str]]:
    """The versions whose documents ``chain`` may have changed, in their current state, each with
    its context: for an index that is updated after the commit.

    The current state may include events later than ``chain``. Delivering those events too writes
    the same documents again, so deliveries are idempotent: in any order and number, the index ends
    up with the documents that ``to_index`` would have written.
    """
    first: dict[FactId, datetime] = {}
    for item in chain:
        for fact_id in fact_ids_of(item.event):
            first.setdefault(fact_id, item.recorded_at)
    found: dict[FactKey, Fact] = {}
    left = list(first)
    while left:
        fact_id = left.pop()
        for fact in versions(fact_id):
            # The version that an event ended, the one that it began, and all later ones.
            if fact.recorded.end is not None and fact.recorded.end < first[fact_id]:
                continue
            if fact.status in INDEXED:
                found[fact.key] = fact
            # With the fact, its rivalries have ended.
            fresh = [rival for rival in fact.rivals if rival not in first]
            first.update(dict.fromkeys(fresh, first[fact_id]))
            left += fresh
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
