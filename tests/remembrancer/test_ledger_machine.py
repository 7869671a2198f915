"""State machine test: after any operations in any order, all reads equal the fold of the log.

Two memories share one file, as two processes would. Between any two steps each of them can be
closed, lose part of its read models, find events that were not projected, or be reopened with
another embedder; the clock goes forwards and backwards. After every step the facts table, the
listings, the searches and the counts are compared with the fold of the log. At the end the tables
are compared, row by row, with those of a copy that was rebuilt from the log.

Tests that kill processes are in ``tests/crash``.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from remembrancer import Memory
from remembrancer.adapters.clock.system import UuidSource
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.read_models import InMemoryReadModels
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.sqlite import vector_index as sqlite_index
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog
from remembrancer.adapters.stores.sqlite.database import Database, Durability, SqliteSettings
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.sqlite.vector_index import SqliteVectorIndex
from remembrancer.adapters.stores.sqlite.vector_index.sizes import Sizes
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.errors import InvalidRequest, NotFound, RemembrancerError
from remembrancer.domain.events import Event, EventId, FactAdded, FactRetracted, MessageObserved
from remembrancer.domain.facts.evolve import LedgerState, fold
from remembrancer.domain.facts.fact import Evidence, Fact, FactId, FactStatus, Interval, MessageId
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.domain.ports.vector_index import Hit, IndexQuery
from remembrancer.domain.recall.documents import INDEXED
from remembrancer.domain.recorded import (
    Append,
    CorrelationId,
    NewEvent,
    Position,
    Recorded,
)
from remembrancer.domain.scope import SCOPE_IDS, LedgerId, Scope
from remembrancer.domain.text import normalised
from remembrancer.testing.depth import scaled
from remembrancer.wiring.settings import Settings, load_settings
from tests.helpers.clock import VirtualClock

START = datetime(2026, 5, 8, 9, 0, tzinfo=UTC)
DIMENSIONS = (16, 32)
SMALL = Sizes(first=6, tail=4, segment=12)
EVERYTHING = 1_000
CLOCK_LEAD = timedelta(days=30)
"""More than the steps of a run move the clock back."""
"""More facts than any run makes; the maximum size of a listing and of a search."""

ADA = Scope(user_id="ada")
SCOPES = (
    ADA,
    ADA,
    Scope(user_id="ada", agent_id="nurse"),
    Scope(user_id="ada", run_id="monday"),
    Scope(user_id="bob"),
    Scope(agent_id="nurse"),
)

CITIES = st.sampled_from(("Oslo", "Lisbon", "New York", "北京"))
COMPANIES = st.sampled_from(("Acme", "Initech"))
THINGS = st.sampled_from(("green tea", "chess", "Zoë's café"))

SENTENCES = st.one_of(
    st.builds("I live in {}.".format, CITIES),
    st.builds("I moved to {} last week.".format, CITIES),
    st.builds("I no longer live in {}.".format, CITIES),
    st.builds("I work at {}.".format, COMPANIES),
    st.builds("I don't work at {} any more.".format, COMPANIES),
    st.builds("I like {}.".format, THINGS),
    st.builds("I no longer like {}.".format, THINGS),
    st.builds("My favourite game is {}.".format, THINGS),
    st.builds("I live in {} and I work at {}.".format, CITIES, COMPANIES),
    st.sampled_from(
        ("Hello!", "Where do I live?", "We met Zoë in Oslo on 3 May 2026.", "我喜欢绿茶。")
    ),
)


def ids_of(scope: Scope) -> dict[str, Any]:
    """The ids of a scope as keyword arguments."""
    return dict(scope.ids())


def scope_of(request: Mapping[str, Any]) -> Scope:
    """The scope of a request."""
    return Scope(**{name: request[name] for name in SCOPE_IDS if name in request})


DAMAGES = (
    *(f"DROP TABLE {table}" for table in ("fact", "message", "evidence", "index_document")),
    *(f"DELETE FROM {table}" for table in ("fact", "index_document")),
    *(
        f"DELETE FROM {table} WHERE id = (SELECT max(id) FROM {table})"
        for table in ("fact", "index_document")
    ),
    "DROP TABLE projection",
    "DELETE FROM projection WHERE name = 'index'",
    "UPDATE projection SET position = 0, rows = 0 WHERE name = 'facts'",
    "UPDATE projection SET position = position - 1",
    "UPDATE projection SET position = position + 1",
    "UPDATE projection SET rows = rows + 1 WHERE name = 'index'",
    "UPDATE projection SET fingerprint = 'of another release'",
)
"""Damage to read models that is detected when the file is opened."""


class Killed(BaseException):
    """Simulates the end of a process between two appends."""


class KillableExtractor:
    """The rules extractor, which can simulate the end of the process."""

    def __init__(self) -> None:
        self._rules = RulesExtractor()
        self._killed = False

    @property
    def name(self) -> str:
        return self._rules.name

    @property
    def kept_image_bytes(self) -> int:
        return self._rules.kept_image_bytes

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        if self._killed:
            raise Killed
        return await self._rules.extract(messages, ids, guidance)

    @contextmanager
    def killed(self) -> Iterator[None]:
        self._killed = True
        try:
            with pytest.raises(Killed):
                yield
        finally:
            self._killed = False


class Observer:
    """Reads the file on its own, as another process would."""

    def __init__(self, path: Path) -> None:
        settings = SqliteSettings(path=str(path), durability=Durability.NORMAL)
        self._database = Database(settings, SCHEMA_VERSIONS)
        self._facts = SqliteFactStore(self._database, EventCodec())
        self.log = SqliteAuditLog(self._database)
        """Without listeners: events appended here are not projected."""

    def close(self) -> None:
        self._database.close()

    def versions(self, fact_id: FactId) -> tuple[Fact, ...]:
        return tuple(self._facts.versions(fact_id))

    def count(self, table: str) -> int:
        with self._database.reader() as connection:
            count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count

    def hits(self, query: IndexQuery, dimension: int) -> list[Hit]:
        embedder = HashingEmbedder(dimension)
        index = SqliteVectorIndex(self._database, model=embedder.model, dimension=dimension)
        return index.search(query)

    def documents(self, ledger: LedgerId) -> int:
        index = SqliteVectorIndex(self._database, model="any", dimension=1)
        return index.count(ledger)


def read_models_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The rows of the read models, without their internal row ids."""
    queries = {
        "fact": "SELECT fact_id, version, ledger_id, user_id, agent_id, run_id, app_id, status, "
        "hex(digest), slot, occurred_at, created_at, valid_from, valid_to, recorded_from, "
        "recorded_to, expires_at, body FROM fact ORDER BY fact_id, version",
        "message": "SELECT * FROM message ORDER BY position",
        "evidence": "SELECT * FROM evidence ORDER BY message_id, fact_id",
        "projection": "SELECT * FROM projection ORDER BY name",
        "document": "SELECT fact_id, version, ledger.name, agent_id, run_id, app_id, "
        "visible_from, visible_to, valid_from, valid_to, occurred_at, speaker, "
        "document.text_length, document.context_length, hex(text_terms), hex(context_terms), "
        "hex(names), hex(content), pending, attributes, metadata, "
        "hex(digest), hex(vector), index_model.name "
        "FROM index_document AS document "
        "JOIN index_ledger AS ledger ON ledger.id = document.ledger "
        "JOIN index_scope AS scope ON scope.id = document.scope "
        "LEFT JOIN index_embedding AS embedding ON embedding.id = document.embedding "
        "LEFT JOIN index_model ON index_model.id = embedding.model ORDER BY fact_id, version",
        "speaker": "SELECT ledger.name, speaker.name, speaker.documents "
        "FROM index_speaker AS speaker JOIN index_ledger AS ledger ON ledger.id = speaker.ledger "
        "ORDER BY ledger.name, speaker.name",
        "name": "SELECT ledger.name, named.name, named.documents "
        "FROM index_name AS named JOIN index_ledger AS ledger ON ledger.id = named.ledger "
        "ORDER BY ledger.name, named.name",
        "ledger": "SELECT name, documents, text_length, context_length FROM index_ledger "
        "WHERE documents ORDER BY name",
    }
    with closing(sqlite3.connect(path)) as connection:
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}


class LedgerMachine(RuleBasedStateMachine):
    """One file, two memories on it, and the fold of its log."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "memory.db"
        self.clock = VirtualClock(time=START)
        self.extractor = KillableExtractor()
        self.ids = UuidSource()
        self.dimension = DIMENSIONS[0]
        self.observer = Observer(self.path)
        self.memories = [self.opened(), self.opened()]
        self.recorded: list[Recorded] = []
        self.states: dict[LedgerId, LedgerState] = defaultdict(LedgerState)
        self.requests: list[tuple[dict[str, Any], Receipt]] = []
        self.unfinished: list[dict[str, Any]] = []
        self.messages = 0

    def teardown(self) -> None:
        try:
            self.recorded_events_have_not_changed()
            self.rebuilt_copy_has_the_same_rows()
        finally:
            for memory in self.memories:
                memory.close()
            self.observer.close()
            shutil.rmtree(self.folder)

    # Helpers

    def settings_for(self, path: Path) -> Settings:
        return load_settings(
            {
                "audit_log": {"path": str(path), "durability": "normal"},
                "embedder": {"dimension": self.dimension},
                "clock_lead": CLOCK_LEAD.total_seconds(),
            },
            environment={},
        )

    def opened(self, path: Path | None = None) -> Memory:
        with pytest.MonkeyPatch.context() as patch:
            # The sizes are not a setting; with these a few facts fill a segment.
            patch.setattr(
                sqlite_index, "SqliteVectorIndex", partial(SqliteVectorIndex, sizes=SMALL)
            )
            return Memory(
                settings=self.settings_for(path or self.path),
                overrides={"clock": self.clock, "extractor": self.extractor},
            )

    def reopen(self, which: int) -> None:
        self.memories[which].close()
        self.memories[which] = self.opened()

    def request(self, scope: Scope, texts: Sequence[str], **options: Any) -> dict[str, Any]:
        return {"messages": [{"content": text} for text in texts], **ids_of(scope), **options}

    def facts(self) -> list[Fact]:
        return [fact for state in self.states.values() for fact in state.current()]

    def catch_up(self) -> list[Recorded]:
        """Fold and return the events appended since the last call."""
        fresh = list(self.observer.log.read(Position(len(self.recorded)), 100_000))
        assert [item.position for item in fresh] == list(
            range(len(self.recorded) + 1, len(self.recorded) + len(fresh) + 1)
        )
        self.recorded += fresh
        for item in fresh:
            self.states[item.ledger] = fold([item], self.states[item.ledger])
        return fresh

    def visible(
        self, scope: Scope, *, as_of: datetime | None = None, valid_at: datetime | None = None
    ) -> list[Fact]:
        """The facts that a read must return, newest first."""
        now = as_of or self.clock.time
        found = [
            fact
            for versions in self.states[scope.ledger].facts.values()
            for fact in versions
            if scope.covers(fact.scope) and fact.visible(now=now, as_of=as_of, valid_at=valid_at)
        ]
        return sorted(found, key=lambda fact: (fact.created_at, fact.fact_id), reverse=True)

    # Writing

    def add(self, which: int, request: dict[str, Any]) -> Receipt:
        """Send a request for the first time."""
        receipt = self.memories[which].add(**request)
        fresh = self.catch_up()
        self.messages += len(request["messages"])
        assert not receipt.replayed
        assert receipt.lagging == ()
        assert receipt.positions == (fresh[0].position, fresh[-1].position)
        assert len(receipt.messages) == len(request["messages"])
        if not request.get("infer", True) and not request.get("expires_at"):
            said = {message["content"] for message in request["messages"]}
            # What was said before in another spelling is reaffirmed in that spelling.
            visible = self.visible(scope_of(request))
            assert set(map(normalised, said)) <= {normalised(fact.text) for fact in visible}
        return receipt

    @rule(
        which=st.integers(0, 1),
        scope=st.sampled_from(SCOPES),
        texts=st.lists(SENTENCES, min_size=2, max_size=4),
    )
    def talk(self, which: int, scope: Scope, texts: list[str]) -> None:
        for turn, text in enumerate(texts):
            self.add((which + turn) % 2, self.request(scope, [text]))

    @rule(
        which=st.integers(0, 1),
        scope=st.sampled_from(SCOPES),
        texts=st.lists(SENTENCES, min_size=1, max_size=3),
        infer=st.booleans(),
    )
    def say_under_a_key(self, which: int, scope: Scope, texts: list[str], infer: bool) -> None:
        request = self.request(scope, texts, infer=infer, idempotency_key=self.ids.new())
        self.requests.append((request, self.add(which, request)))

    @rule(
        which=st.integers(0, 1),
        scope=st.sampled_from(SCOPES),
        texts=st.lists(SENTENCES, min_size=1, max_size=3),
        infer=st.booleans(),
        said=st.sampled_from((-7200, -3000, 0, 3000)),
        lasts=st.sampled_from((None, 1, 60, 7200)),
    )
    def say_in_time(
        self, which: int, scope: Scope, texts: list[str], infer: bool, said: int, lasts: int | None
    ) -> None:
        now = self.clock.time
        request = self.request(
            scope,
            texts,
            infer=infer,
            occurred_at=now + timedelta(seconds=said),
            expires_at=None if lasts is None else now + timedelta(seconds=lasts),
            metadata={"count": len(texts)},
        )
        self.add(which, request)

    @precondition(lambda self: self.facts())
    @rule(which=st.integers(0, 1), place=st.integers(0, 99))
    def repeat(self, which: int, place: int) -> None:
        fact = self.facts()[place % len(self.facts())]
        self.add(which, self.request(fact.scope, [fact.text], infer=False))

    @precondition(lambda self: self.requests)
    @rule(which=st.integers(0, 1), place=st.integers(0, 99))
    def send_again(self, which: int, place: int) -> None:
        request, receipt = self.requests[place % len(self.requests)]
        again = self.memories[which].add(**request)
        assert again.replayed
        assert (again.verdicts, again.positions) == (receipt.verdicts, receipt.positions)
        assert self.catch_up() == []

    @rule(
        which=st.integers(0, 1),
        scope=st.sampled_from(SCOPES),
        texts=st.lists(SENTENCES, min_size=1, max_size=2),
    )
    def die_before_extraction(self, which: int, scope: Scope, texts: list[str]) -> None:
        request = self.request(scope, texts, idempotency_key=self.ids.new())
        with self.extractor.killed():
            self.memories[which].add(**request)
        self.reopen(which)
        self.messages += len(texts)
        self.unfinished.append(request)

    @precondition(lambda self: self.unfinished)
    @rule(which=st.integers(0, 1), place=st.integers(0, 99), infer=st.booleans())
    def finish(self, which: int, place: int, infer: bool) -> None:
        request = self.unfinished.pop(place % len(self.unfinished))
        again: dict[str, Any] = {**request, "infer": infer}
        receipt = self.memories[which].add(**again)
        assert not receipt.replayed
        assert len(receipt.messages) == len(request["messages"])
        self.requests.append((request, receipt))

    @precondition(lambda self: self.facts())
    @rule(
        which=st.integers(0, 1),
        place=st.integers(0, 99),
        text=st.none() | SENTENCES,
        mood=st.none() | st.integers(0, 1),
    )
    def update(self, which: int, place: int, text: str | None, mood: int | None) -> None:
        fact = self.facts()[place % len(self.facts())]
        memory = self.memories[which]
        metadata = None if mood is None else {"mood": mood}
        if text is None and metadata is None:
            with pytest.raises(InvalidRequest):
                memory.update(fact.fact_id)
        elif fact.status is not FactStatus.ACTIVE:
            with pytest.raises(NotFound):
                memory.update(fact.fact_id, text, metadata=metadata)
        else:
            memory.update(fact.fact_id, text, metadata=metadata, **ids_of(fact.scope))
            self.catch_up()
            now = self.states[fact.scope.ledger].facts[fact.fact_id][-1]
            assert now.text == (text or fact.text)
            assert now.metadata == (fact.metadata if metadata is None else metadata)

    @precondition(lambda self: self.facts())
    @rule(which=st.integers(0, 1), place=st.integers(0, 99))
    def delete(self, which: int, place: int) -> None:
        fact = self.facts()[place % len(self.facts())]
        if fact.status is FactStatus.ACTIVE:
            self.memories[which].delete(fact.fact_id)
        else:
            with pytest.raises(NotFound):
                self.memories[which].delete(fact.fact_id)

    @precondition(lambda self: self.facts())
    @rule(which=st.integers(0, 1), place=st.integers(0, 99))
    def change_fact_of_another_user(self, which: int, place: int) -> None:
        fact = self.facts()[place % len(self.facts())]
        stranger: dict[str, Any] = {"user_id": "bob" if fact.scope.user_id != "bob" else "ada"}
        for attempt in (self.memories[which].delete, self.memories[which].history):
            with pytest.raises(NotFound):
                attempt(fact.fact_id, **stranger)
        assert self.catch_up() == []

    @rule(which=st.integers(0, 1), scope=st.sampled_from(SCOPES))
    def delete_all(self, which: int, scope: Scope) -> None:
        self.memories[which].delete_all(**ids_of(scope))
        self.catch_up()
        assert not [
            fact
            for fact in self.states[scope.ledger].current()
            if scope.covers(fact.scope) and fact.status is FactStatus.ACTIVE
        ]

    # Time, restarts and damage

    @rule(seconds=st.sampled_from((-7200, -60, -0.000001, 0.000001, 1, 60, 7200)))
    def pass_time(self, seconds: float) -> None:
        self.clock.time += timedelta(seconds=seconds)

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.reopen(which)

    @rule(which=st.integers(0, 1), scope=st.sampled_from(SCOPES), text=SENTENCES)
    def change_the_embedder(self, which: int, scope: Scope, text: str) -> None:
        self.dimension = next(d for d in DIMENSIONS if d != self.dimension)
        self.reopen(which)
        left_behind = self.memories[1 - which]
        if self.recorded:
            with pytest.raises(InvalidRequest, match="embedder"):
                self.memories[which].add(text, **ids_of(scope))
            self.memories[which].rebuild("read_models")
            with pytest.raises(InvalidRequest, match="embedder"):
                left_behind.add(text, **ids_of(scope))
        left_behind.search(text, **ids_of(scope))
        self.reopen(1 - which)
        assert self.catch_up() == []

    @rule(
        which=st.integers(0, 1),
        scope=st.sampled_from(SCOPES),
        text=SENTENCES,
        place=st.integers(0, 99),
        written=st.booleans(),
    )
    def append_without_projecting(
        self, which: int, scope: Scope, text: str, place: int, written: bool
    ) -> None:
        """A commit of the log alone, as a crash would leave it if the read models were in another
        file.
        """
        if not self.recorded:
            # The first opening wrote its embedder into the file, and no write of this one has yet.
            self.memories[which].rebuild("read_models")
        active = [fact for fact in self.facts() if fact.status is FactStatus.ACTIVE]
        self.observer.log.append(self.unprojected(scope, text))
        if active:
            gone = active[place % len(active)]
            self.observer.log.append(
                self.appendable(gone.scope, [FactRetracted(fact_id=gone.fact_id)])
            )
        self.messages += 1
        if written:
            with pytest.raises(RemembrancerError):
                self.memories[1 - which].add("I am here too.", **ids_of(scope))
        self.reopen(which)

    def unprojected(self, scope: Scope, text: str) -> Append:
        message = Message(
            message_id=MessageId(self.ids.new()),
            scope=scope,
            role=Role.USER,
            text=text,
            occurred_at=self.clock.time,
        )
        fact = FactAdded(
            fact_id=FactId(self.ids.new()),
            scope=scope,
            text=text,
            evidence=(Evidence(message_id=message.message_id),),
            speaker="Zoë",
            entities=("Zoë",),
            occurred_at=self.clock.time,
            valid=Interval(
                start=self.clock.time - timedelta(hours=3),
                end=self.clock.time - timedelta(hours=1),
            ),
        )
        return self.appendable(scope, [MessageObserved(message=message, extract=False), fact])

    def appendable(self, scope: Scope, events: Sequence[Event]) -> Append:
        return Append(
            ledger=scope.ledger,
            events=[NewEvent(event_id=EventId(self.ids.new()), event=event) for event in events],
            recorded_at=self.clock.time,
            correlation_id=CorrelationId(self.ids.new()),
            clock_lead=CLOCK_LEAD,
        )

    @rule(which=st.integers(0, 1), damage=st.sampled_from(DAMAGES))
    def lose_read_models(self, which: int, damage: str) -> None:
        """Damage them while one memory is closed and the other one is idle."""
        self.memories[which].close()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(damage)
        self.memories[which] = self.opened()
        self.memories[which].rebuild("read_models")

    # Reading

    @precondition(lambda self: self.recorded)
    @rule(
        which=st.integers(0, 1),
        scope=st.sampled_from(SCOPES),
        place=st.integers(0, 999),
        off=st.sampled_from((-1, 0, 1)),
        valid=st.none() | st.integers(-14400, 14400),
    )
    def look_back(self, which: int, scope: Scope, place: int, off: int, valid: int | None) -> None:
        past = self.recorded[place % len(self.recorded)].recorded_at + timedelta(microseconds=off)
        as_of = min(past, self.clock.time)
        valid_at = None if valid is None else self.clock.time + timedelta(seconds=valid)
        self.reads_equal_the_fold(self.memories[which], scope, as_of, valid_at)
        self.reads_equal_the_fold(self.memories[which], scope, None, valid_at)

    def reads_equal_the_fold(
        self, memory: Memory, scope: Scope, as_of: datetime | None, valid_at: datetime | None
    ) -> None:
        expected = self.visible(scope, as_of=as_of, valid_at=valid_at)
        times: dict[str, Any] = {**ids_of(scope), "as_of": as_of, "valid_at": valid_at}
        assert list(memory.get_all(limit=EVERYTHING, **times).facts) == expected
        found = [item.fact for item in memory.search("tea in Oslo", limit=EVERYTHING, **times)]
        assert sorted(found, key=lambda fact: fact.fact_id) == sorted(
            expected, key=lambda fact: fact.fact_id
        )

    @rule(which=st.integers(0, 1), scope=st.sampled_from(SCOPES), limit=st.integers(1, 3))
    def list_in_pages(self, which: int, scope: Scope, limit: int) -> None:
        seen: list[Fact] = []
        cursor = None
        while True:
            page = self.memories[which].get_all(limit=limit, cursor=cursor, **ids_of(scope))
            seen += page.facts
            if (cursor := page.cursor) is None:
                break
        assert seen == self.visible(scope)

    @rule(scope=st.sampled_from(SCOPES), text=SENTENCES)
    def index_hits_equal_those_of_an_index_in_memory(self, scope: Scope, text: str) -> None:
        embedder = HashingEmbedder(self.dimension)
        index = InMemoryVectorIndex()

        def embed(texts: Sequence[str]) -> Mapping[str, Vector]:
            return dict(zip(texts, embedder.embed(texts, "document"), strict=True))

        models = InMemoryReadModels(InMemoryFactStore(), index, embed)
        for item in self.recorded:
            models.apply([item])
        query = IndexQuery(
            scope=scope,
            text=text,
            vector=embedder.embed([text], "query")[0],
            now=self.clock.time,
            limit=EVERYTHING,
        )
        ours = {hit.key: hit for hit in self.observer.hits(query, self.dimension)}
        theirs = {hit.key: hit for hit in index.search(query)}
        assert ours.keys() == theirs.keys()
        for key, hit in ours.items():
            twin = theirs[key]
            assert (hit.speaker, hit.occurred_at, hit.valid) == (
                twin.speaker,
                twin.occurred_at,
                twin.valid,
            )
            for name in ("similarity", "keyword", "context", "entities"):
                assert getattr(hit, name) == pytest.approx(getattr(twin, name), abs=1e-5), name

    def rebuilt_copy_has_the_same_rows(self) -> None:
        copy = self.folder / "copy.db"
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        with self.opened(copy) as memory:
            memory.rebuild("read_models")
        assert read_models_of(copy) == read_models_of(self.path)

    def recorded_events_have_not_changed(self) -> None:
        assert list(self.observer.log.read(Position(0), 100_000)) == self.recorded
        for ledger, state in self.states.items():
            history = [item for item in self.recorded if item.ledger == ledger]
            assert fold(history) == state

    # Invariants

    @invariant()
    def all_reads_equal_the_fold(self) -> None:
        self.catch_up()
        self.facts_table_equals_the_fold()
        self.index_holds_every_indexed_version()
        self.both_memories_equal_the_fold()
        self.no_message_is_lost_or_extracted_twice()
        self.log_verifies()

    def facts_table_equals_the_fold(self) -> None:
        versions = 0
        for state in self.states.values():
            for fact_id, history in state.facts.items():
                assert self.observer.versions(fact_id) == history
                versions += len(history)
        assert self.observer.count("fact") == versions

    def both_memories_equal_the_fold(self) -> None:
        for memory in self.memories:
            for scope in SCOPES:
                self.reads_equal_the_fold(memory, scope, None, None)

    def index_holds_every_indexed_version(self) -> None:
        for ledger, state in self.states.items():
            indexed = sum(
                fact.status in INDEXED for history in state.facts.values() for fact in history
            )
            assert self.observer.documents(ledger) == indexed

    def no_message_is_lost_or_extracted_twice(self) -> None:
        observed = [item for item in self.recorded if isinstance(item.event, MessageObserved)]
        assert len(observed) == self.messages
        stats = self.memories[0].stats()
        assert stats.messages == self.messages
        assert stats.pending == sum(len(state.pending) for state in self.states.values())
        assert stats.pending == sum(len(request["messages"]) for request in self.unfinished)
        assert stats.facts == Counter(fact.status for fact in self.facts())
        assert set(stats.positions.values()) == {len(self.recorded)}

    def log_verifies(self) -> None:
        verification = self.memories[1].verify()
        assert verification.faults == ()
        assert verification.checked["events"] == len(self.recorded)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=scaled(30),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# Regressions: sequences of steps that once failed


@contextmanager
def manual_steps() -> Iterator[LedgerMachine]:
    """A machine whose steps the test chooses."""
    machine = LedgerMachine()
    try:
        yield machine
        machine.all_reads_equal_the_fold()
    finally:
        machine.teardown()


def test_deleted_fact_is_not_found_when_the_clock_goes_back() -> None:
    with manual_steps() as state:
        state.talk(0, ADA, ["I like chess."])
        state.pass_time(7200)
        state.delete(0, 0)
        state.pass_time(-7200)


def test_expired_fact_can_be_added_again_when_the_clock_goes_back() -> None:
    with manual_steps() as state:
        state.say_in_time(0, ADA, ["I like chess."], infer=True, said=0, lasts=60)
        state.talk(0, ADA, ["I live in Oslo."])
        state.pass_time(7200)
        state.update(0, 1, "I live in Lisbon.", None)
        state.pass_time(-7200)
        state.talk(1, ADA, ["I like chess."])
        assert "I like chess." in [fact.text for fact in state.visible(ADA)]


def test_late_message_gives_the_same_contexts_as_a_rebuild() -> None:
    with manual_steps() as state:
        for said in (-3000, 3000, 3000, 0):
            state.say_in_time(0, ADA, [f"Said at {said}."], infer=False, said=said, lasts=None)


def test_unfinished_request_is_finished_with_its_original_options() -> None:
    with manual_steps() as state:
        state.die_before_extraction(0, ADA, ["I live in Oslo."])
        state.finish(0, 0, infer=False)


def test_delete_all_deletes_facts_that_are_not_valid_now() -> None:
    with manual_steps() as state:
        state.append_without_projecting(0, ADA, "I lived in Oslo.", 0, written=False)
        state.delete_all(0, ADA)


def test_write_is_refused_after_events_that_were_not_projected() -> None:
    with manual_steps() as state:
        state.append_without_projecting(0, ADA, "I live in Oslo.", 0, written=True)


MONDAY = Scope(user_id="ada", run_id="monday")


def test_clause_said_again_as_a_sentence_reaffirms_the_clause() -> None:
    with manual_steps() as state:
        state.talk(0, MONDAY, ["I live in Lisbon and I work at Initech."])
        state.add(0, state.request(MONDAY, ["I live in Lisbon."], infer=False))
        assert "I live in Lisbon" in [fact.text for fact in state.visible(MONDAY)]


def test_text_of_a_hidden_fact_said_again_is_visible() -> None:
    with manual_steps() as state:
        # Given a fact of the user outside of a run, and one that has ended
        state.say_in_time(0, ADA, ["I work at Acme."], infer=True, said=0, lasts=None)
        state.say_in_time(0, ADA, ["I work at Initech."], infer=True, said=-3000, lasts=None)
        # When both are said again, then the machine finds them among the visible facts
        state.say_in_time(0, MONDAY, ["I work at Acme."], infer=False, said=0, lasts=None)
        state.say_in_time(0, ADA, ["I work at Initech."], infer=False, said=0, lasts=None)
