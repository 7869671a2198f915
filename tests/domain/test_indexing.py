"""Index documents of facts do not depend on how the history is split into appends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Protocol

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.read_models import InMemoryReadModels
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.conversations import SqliteConversations
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactExpired,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    MessageObserved,
)
from remembrancer.domain.facts.fact import (
    Evidence,
    Fact,
    FactId,
    FactKey,
    FactStatus,
    Interval,
    MessageId,
)
from remembrancer.domain.filters.ast import BUILT_IN_FIELDS
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import (
    Surroundings,
    attributes_of,
    document_of,
    to_index,
)
from remembrancer.domain.recall.index_context import NEIGHBOURS
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import NOON, append_of


def message(number: int, minutes: float, run: str = "r") -> Message:
    """A message from Alice, identified by its number."""
    return Message(
        message_id=MessageId(f"{number:032x}"),
        scope=Scope(user_id="alice", run_id=run),
        role=Role.USER,
        text=f"message {number}",
        occurred_at=NOON + timedelta(minutes=minutes),
    )


def fact_of(source: Message) -> FactAdded:
    """The fact extracted from a message; it has the same number."""
    return FactAdded(
        fact_id=FactId(source.message_id),
        scope=source.scope,
        text=f"fact from {source.text}",
        evidence=(Evidence(message_id=source.message_id),),
        occurred_at=source.occurred_at,
    )


def said(number: int, minutes: float, run: str = "r") -> list[Event]:
    """A message and its fact."""
    source = message(number, minutes, run)
    return [MessageObserved(message=source), fact_of(source)]


# Two stores, each with the documents that its appends wrote


class Indexed(Protocol):
    """A log whose facts are indexed. ``documents`` holds the last document written, by key;
    ``forget`` drops all but the log.
    """

    documents: dict[FactKey, Document]

    def append(self, events: Sequence[Event]) -> None: ...

    def read(self) -> Sequence[Recorded]: ...

    def apply(self, chain: Sequence[Recorded]) -> None: ...

    def forget(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self._log = InMemoryAuditLog()
        self.forget()

    def forget(self) -> None:
        self.documents: dict[FactKey, Document] = {}
        self._read_models = InMemoryReadModels(InMemoryFactStore(), self, lambda _texts: {})

    def put(self, documents: Sequence[Document]) -> None:
        self.documents.update((document.key, document) for document in documents)

    def vectors_for(self, texts: Sequence[str]) -> dict[str, Vector]:
        return {}

    def append(self, events: Sequence[Event]) -> None:
        self.apply(self._log.append(append_of(events)).recorded)

    def read(self) -> Sequence[Recorded]:
        return self._log.read(Position(0), 10_000)

    def apply(self, chain: Sequence[Recorded]) -> None:
        self._read_models.apply(chain)


class OnSqlite:
    def __init__(self) -> None:
        self.documents: dict[FactKey, Document] = {}
        self._database = Database(SqliteSettings(), [create_log])
        self._facts = SqliteFactStore(self._database, EventCodec())
        self._log = SqliteAuditLog(self._database)
        with self._database.transaction() as connection:
            self._facts.create(connection)

    def append(self, events: Sequence[Event]) -> None:
        self.apply(self._log.append(append_of(events)).recorded)

    def read(self) -> Sequence[Recorded]:
        return self._log.read(Position(0), 10_000)

    def apply(self, chain: Sequence[Recorded]) -> None:
        with self._database.transaction() as connection:
            changes = self._facts.apply(connection, chain)
            found = to_index(chain, changes, SqliteConversations(connection, self._facts))
            for fact, context in found:
                self.documents[fact.key] = document_of(fact, context=context, vector=None)

    def forget(self) -> None:
        self.documents = {}
        with self._database.transaction() as connection:
            self._facts.clear(connection)


STORES = [InMemory, OnSqlite]


def contexts(portions: Iterable[Sequence[Event]], store: type[Indexed]) -> dict[FactKey, list[str]]:
    """The messages in the context of every version, after one append for each portion."""
    indexed = store()
    for events in portions:
        indexed.append(events)
    return {key: around(document) for key, document in indexed.documents.items()}


def around(document: Document) -> list[str]:
    return [line for line in document.context.splitlines() if line.startswith("message ")]


def of_first(portions: Iterable[Sequence[Event]], store: type[Indexed]) -> list[str]:
    """The context of the fact from message 0."""
    return contexts(portions, store)[FactId(f"{0:032x}"), 1]


# Context windows


@pytest.mark.parametrize("store", STORES)
class TestContext:
    def test_context_has_two_messages_on_either_side(self, store: type[Indexed]) -> None:
        events = [event for number in range(1, 8) for event in said(number, number)]
        found = contexts([events], store)
        assert found[FactId(f"{4:032x}"), 1] == [f"message {number}" for number in range(2, 7)]
        assert found[FactId(f"{1:032x}"), 1] == ["message 1", "message 2", "message 3"]

    @pytest.mark.parametrize(("minutes", "near"), [(59, True), (60, True), (60.1, False)])
    def test_neighbour_is_at_most_one_hour_away(
        self, store: type[Indexed], minutes: float, near: bool
    ) -> None:
        later = [*said(0, 0), *said(1, minutes)]
        assert ("message 1" in of_first([later], store)) == near
        earlier = [*said(1, -minutes), *said(0, 0)]
        assert ("message 1" in of_first([earlier], store)) == near

    @pytest.mark.parametrize(
        "scope",
        [
            Scope(user_id="alice", run_id="other"),
            Scope(user_id="alice"),
            Scope(user_id="alice", run_id="r", agent_id="coach"),
            Scope(user_id="alice", run_id="r", app_id="app"),
        ],
    )
    def test_message_of_another_conversation_is_not_a_neighbour(
        self, store: type[Indexed], scope: Scope
    ) -> None:
        stranger = MessageObserved(message=evolve(message(1, 1), scope=scope))
        assert of_first([[*said(0, 0), stranger]], store) == ["message 0"]
        assert of_first([said(0, 0), [stranger]], store) == ["message 0"]

    def test_later_message_joins_the_context_of_earlier_facts(self, store: type[Indexed]) -> None:
        indexed = store()
        key = (FactId(f"{0:032x}"), 1)
        grown: list[list[str]] = []
        for number in range(4):
            indexed.append(said(number, number))
            grown.append(around(indexed.documents[key]))
        assert grown == [
            ["message 0"],
            ["message 0", "message 1"],
            ["message 0", "message 1", "message 2"],
            ["message 0", "message 1", "message 2"],
        ]

    def test_fact_without_evidence_has_no_neighbours(self, store: type[Indexed]) -> None:
        source = message(0, 0)
        bare = evolve(fact_of(source), evidence=())
        assert of_first([[MessageObserved(message=source), bare], said(1, 1)], store) == []

    def test_fact_with_evidence_in_another_ledger_has_no_neighbours(
        self, store: type[Indexed]
    ) -> None:
        assert of_first([[fact_of(message(0, 0))]], store) == []

    def test_ended_version_gets_later_neighbours_too(self, store: type[Indexed]) -> None:
        revised = FactRevised(fact_id=FactId(f"{0:032x}"), text="better")
        found = contexts([[*said(0, 0), revised], said(1, 1)], store)
        assert found[FactId(f"{0:032x}"), 1] == found[FactId(f"{0:032x}"), 2]
        assert "message 1" in found[FactId(f"{0:032x}"), 1]

    def test_retracted_version_is_not_indexed_but_the_one_before_it_is(
        self, store: type[Indexed]
    ) -> None:
        retracted = FactRetracted(fact_id=FactId(f"{0:032x}"))
        found = contexts([said(0, 0), [retracted], said(1, 1)], store)
        assert sorted(version for fact_id, version in found if fact_id == f"{0:032x}") == [1]


# Histories in portions of any size


@frozen
class History:
    """Events, and the positions at which they are cut into portions."""

    events: Sequence[Event]
    cuts: Sequence[int]

    def portions(self) -> Iterator[Sequence[Event]]:
        bounds = sorted({0, len(self.events), *(cut % (len(self.events) + 1) for cut in self.cuts)})
        for start, end in pairwise(bounds):
            yield self.events[start:end]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Messages of two conversations, in any order of time; facts extracted from them at once or
    later, and changed.
    """
    events: list[Event] = []
    messages: list[Message] = []
    for number in range(draw(st.integers(1, 12))):
        minutes = draw(st.sampled_from([0, 1, 20, 40, 59, 60, 61, 90, 100, 200]))
        messages.append(message(number, minutes, draw(st.sampled_from(["r", "r", "s"]))))
        events.append(MessageObserved(message=messages[-1]))
        for step in draw(st.lists(st.sampled_from(["tell", "revise", "end"]), max_size=3)):
            about = draw(st.sampled_from(messages))
            events.append(change(step, about, draw(st.integers(0, 4))))
    return History(events, draw(st.lists(st.integers(0, 60), max_size=8)))


def change(step: str, about: Message, kind: int) -> Event:
    fact_id = FactId(about.message_id)
    if step == "tell":
        return fact_of(about)
    if step == "revise":
        return FactRevised(fact_id=fact_id, text=f"said better: {kind}")
    return (
        FactRetracted(fact_id=fact_id),
        FactExpired(fact_id=fact_id),
        FactSuperseded(fact_id=fact_id, ended_at=NOON),
        FactReaffirmed(fact_id=fact_id),
        FactReaffirmed(fact_id=fact_id, evidence=(Evidence(message_id=MessageId("f" * 32)),)),
    )[kind]


@pytest.mark.parametrize("store", STORES)
@given(history=histories())
def test_contexts_do_not_depend_on_the_portions(store: type[Indexed], history: History) -> None:
    whole = contexts([history.events], store)
    assert contexts(history.portions(), store) == whole
    assert contexts(([event] for event in history.events), store) == whole


@pytest.mark.parametrize("store", STORES)
@given(history=histories(), size=st.integers(1, 12))
def test_rebuild_in_pages_of_any_size_gives_the_same_documents(
    store: type[Indexed], history: History, size: int
) -> None:
    # Given documents that were written as the events came in
    indexed = store()
    for events in history.portions():
        indexed.append(events)
    written = dict(indexed.documents)
    # When all are rebuilt from the log
    indexed.forget()
    recorded = indexed.read()
    for start in range(0, len(recorded), size):
        indexed.apply(recorded[start : start + size])
    # Then they are the same
    assert indexed.documents == written


@given(history=histories())
def test_memory_and_sqlite_give_the_same_contexts(history: History) -> None:
    portions = list(history.portions())
    assert contexts(portions, InMemory) == contexts(portions, OnSqlite)


class Counting:
    """Conversations that count the messages that they look up."""

    def __init__(self) -> None:
        self.asked: list[MessageId] = []

    def around(self, message_id: MessageId) -> Surroundings | None:
        self.asked.append(message_id)
        return None

    def citing(self, message_id: MessageId) -> Sequence[Fact]:
        return ()


def test_only_the_first_messages_of_each_conversation_are_looked_up() -> None:
    log = InMemoryAuditLog()
    events = [
        MessageObserved(message=message(number, number, run=f"r{number % 3}"))
        for number in range(60)
    ]
    chain = log.append(append_of(events)).recorded
    conversations = Counting()
    to_index(chain, (), conversations)
    assert len(conversations.asked) == 3 * NEIGHBOURS
    # A chain with a gap may lack messages in its middle
    conversations = Counting()
    to_index([*chain[:20], *chain[40:]], (), conversations)
    assert len(conversations.asked) == 6 * NEIGHBOURS


# Documents


FACT = Fact(
    fact_id=FactId("1" * 32),
    version=2,
    scope=Scope(user_id="alice"),
    text="I like tea",
    speaker="Alice",
    metadata={"a": 1},
    entities=("tea",),
    occurred_at=NOON,
    created_at=NOON,
    valid=Interval(start=NOON, end=NOON + timedelta(days=3)),
    recorded=Interval(start=NOON + timedelta(hours=1)),
)


@pytest.mark.parametrize(
    ("ended", "expires", "end"),
    [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (7, 5, 5)],
)
def test_document_is_visible_until_the_next_version_or_expiry(
    ended: int | None, expires: int | None, end: int | None
) -> None:
    def hour(number: int | None) -> datetime | None:
        return None if number is None else NOON + timedelta(hours=number)

    fact = evolve(
        FACT,
        recorded=Interval(start=FACT.recorded.start, end=hour(ended)),
        expires_at=hour(expires),
    )
    document = document_of(fact, context="c", vector=None)
    assert document.visible == Interval(start=FACT.recorded.start, end=hour(end))
    assert document.valid == FACT.valid


def test_attributes_contain_every_filter_field() -> None:
    attributes = attributes_of(evolve(FACT, status=FactStatus.SUPERSEDED))
    assert attributes.keys() == {*BUILT_IN_FIELDS, "metadata"}
    assert attributes["status"] == "superseded"
    assert attributes["updated_at"] == NOON + timedelta(hours=1)
    assert (attributes["valid_from"], attributes["valid_to"]) == (FACT.valid.start, FACT.valid.end)
    assert attributes["entities"] == ["tea"]
