"""``Memory`` and ``AsyncMemory`` end to end: the same behaviour on every store."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from inspect import iscoroutinefunction
from itertools import product
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from attrs import define, evolve, field

from remembrancer import AsyncMemory, Memory
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.domain.errors import (
    AdapterUnavailable,
    InvalidRequest,
    ModelError,
    NotFound,
    RemembrancerError,
    SettingsError,
)
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal
from remembrancer.domain.ports.embedder import Purpose, Vector
from remembrancer.domain.ports.reconciler import Reconciliation
from remembrancer.testing.depth import depth
from remembrancer.wiring.settings import load_settings
from tests.helpers.clock import VirtualClock

NOON = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)
NOBODY = "0" * 32


# One driver for both faces


class Driver:
    """A memory of either kind, its methods as plain calls."""

    def __init__(self, memory: Memory | AsyncMemory, runner: asyncio.Runner) -> None:
        self.memory = memory
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.memory, name)
        if not iscoroutinefunction(method):
            return method
        return lambda *args, **kwargs: self._runner.run(method(*args, **kwargs))

    def at_once(self, *calls: Callable[[Any], Any]) -> list[Any]:
        """Make calls concurrently, in threads or tasks; return the results and exceptions."""
        if isinstance(self.memory, AsyncMemory):
            return self._runner.run(self._in_tasks(calls))
        return self._in_threads(calls)

    async def _in_tasks(self, calls: Sequence[Callable[[Any], Any]]) -> list[Any]:
        made = [call(self.memory) for call in calls]
        return await asyncio.gather(*made, return_exceptions=True)

    def _in_threads(self, calls: Sequence[Callable[[Any], Any]]) -> list[Any]:
        outcomes: list[Any] = [None] * len(calls)
        start = threading.Barrier(len(calls))

        def go(place: int) -> None:
            start.wait()
            try:
                outcomes[place] = calls[place](self.memory)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                outcomes[place] = error

        threads = [threading.Thread(target=go, args=(place,)) for place in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes


@define
class Place:
    """The face and the store of the memories of a test."""

    face: str
    log: dict[str, Any]
    runner: asyncio.Runner
    vault: Any = "none"
    options: dict[str, Any] = field(factory=dict)
    opened: list[Driver] = field(factory=list)

    @property
    def settings(self) -> Any:
        return load_settings(
            {"audit_log": self.log, "key_vault": self.vault, **self.options}, environment={}
        )

    def open(self, **overrides: Any) -> Driver:
        kind = Memory if self.face == "Memory" else AsyncMemory
        memory = kind(settings=self.settings, overrides=overrides)
        self.opened.append(Driver(memory, self.runner))
        return self.opened[-1]


FACES = ("Memory", "AsyncMemory")
LASTING = ("file", "postgres", "sealed file")
STORES = (*LASTING, ":memory:", "lists")


def on_each(stores: Sequence[str], test: str) -> list[tuple[str, str]]:
    """Each of the stores with one face, so that a test meets every store and both faces; tests
    differ in the pairs. "thorough" takes all pairs.
    """
    if depth() > 1:
        return list(product(FACES, stores))
    first = crc32(test.encode())
    return [(FACES[(first + place) % 2], store) for place, store in enumerate(stores)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, stores in (("place", STORES), ("lasting", LASTING)):
        if fixture in metafunc.fixturenames:
            pairs = on_each(stores, metafunc.function.__name__)
            metafunc.parametrize(fixture, pairs, ids="-".join, indirect=True)


def log_of(store: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a fresh log."""
    if store == "lists":
        return {"provider": "memory"}
    if store == "postgres":
        settings = request.getfixturevalue("postgres")
        return {
            "provider": "postgres",
            **{name: getattr(settings, name) for name in ("dsn", "schema", "partitions")},
        }
    path = store
    if store in ("file", "sealed file"):
        path = str(request.getfixturevalue("tmp_path") / "memory.db")
    return {"provider": "sqlite", "path": path, "durability": "normal"}


def vault_of(store: str, request: pytest.FixtureRequest) -> Any:
    """The settings of a fresh key vault."""
    if store != "sealed file":
        return "none"
    return {"provider": "sqlite", "path": str(request.getfixturevalue("tmp_path") / "keys.db")}


def place_of(face: str, store: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    with asyncio.Runner() as runner:
        place = Place(face, log_of(store, request), runner, vault_of(store, request))
        yield place
        for driver in place.opened:
            driver.close()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A face on a store."""
    face, store = request.param
    yield from place_of(face, store, request)


@pytest.fixture
def lasting(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A face on a persistent store."""
    face, store = request.param
    yield from place_of(face, store, request)


@pytest.fixture
def held(place: Place) -> Driver:
    return place.open()


def texts(held: Driver, user: str = "alice", **named: Any) -> list[str]:
    """The listed texts of a user, oldest first."""
    page = held.get_all(user_id=user, order="created_at", **named)
    assert page.cursor is None
    return [fact.text for fact in page.facts]


def found(held: Driver, query: str, user: str = "alice", **named: Any) -> list[str]:
    return [result.fact.text for result in held.search(query, user_id=user, **named)]


def added(held: Driver, text: str, user: str = "alice", **named: Any) -> str:
    """Add one statement and return the id of its fact."""
    (verdict,) = held.add(text, user_id=user, **named).verdicts
    return verdict.fact_id


def decisions(receipt: Any) -> list[str]:
    return [verdict.decision.value for verdict in receipt.verdicts]


# Add and find


def test_added_text_is_found_listed_and_in_the_receipt(held: Driver) -> None:
    receipt = held.add("I live in Paris. I like tea!", user_id="alice", metadata={"source": "chat"})
    assert decisions(receipt) == ["add", "add"]
    assert [verdict.text for verdict in receipt.verdicts] == ["I live in Paris.", "I like tea!"]
    assert (receipt.ledger, receipt.positions[0], len(receipt.messages)) == ("user:alice", 1, 1)
    assert (receipt.replayed, receipt.lagging) == (False, ())
    assert texts(held) == ["I live in Paris.", "I like tea!"]
    assert found(held, "Where do I live?")[0] == "I live in Paris."
    fact = held.get(receipt.verdicts[0].fact_id)
    assert (fact.text, fact.version, fact.metadata) == (
        "I live in Paris.",
        1,
        {"source": "chat"},
    )
    assert [evidence.message_id for evidence in fact.evidence] == list(receipt.messages)


def test_small_talk_is_stored_and_skipped_without_a_fact(held: Driver) -> None:
    receipt = held.add("Hello! How are you?", user_id="alice")
    assert receipt.verdicts == ()
    assert {skipped.text for skipped in receipt.skipped} == {"Hello!", "How are you?"}
    assert held.stats().messages == 1
    assert texts(held) == []


def test_add_without_inference_stores_every_message_verbatim(held: Driver) -> None:
    receipt = held.add(
        [
            {"role": "user", "content": "Hello! How are you?", "name": "Alice"},
            {"role": "assistant", "content": "Fine. I moved."},
        ],
        user_id="alice",
        infer=False,
    )
    assert receipt.extractor == "verbatim"
    assert decisions(receipt) == ["add", "add"]
    assert texts(held) == ["Hello! How are you?", "Fine. I moved."]
    facts = held.get_all(user_id="alice", order="created_at").facts
    assert [fact.speaker for fact in facts] == ["Alice", "assistant"]


def test_metadata_of_a_message_overrides_that_of_the_request(held: Driver) -> None:
    held.add(
        [{"content": "I like tea", "metadata": {"a": 1, "b": 1}}],
        user_id="alice",
        metadata={"b": 2, "c": 2},
    )
    (fact,) = held.get_all(user_id="alice").facts
    assert fact.metadata == {"a": 1, "b": 1, "c": 2}


def test_timestamp_of_a_message_overrides_that_of_the_request(held: Driver) -> None:
    held.add("I like tea", user_id="alice", occurred_at="2020-01-02T03:04:05+01:00")
    held.add(
        [{"content": "I like coffee", "timestamp": "2021-01-01T00:00:00Z"}],
        user_id="alice",
        occurred_at="2020-01-01T00:00:00Z",
    )
    facts = held.get_all(user_id="alice", order="occurred_at").facts
    assert [fact.occurred_at for fact in facts] == [
        datetime(2020, 1, 2, 2, 4, 5, tzinfo=UTC),
        datetime(2021, 1, 1, tzinfo=UTC),
    ]


@pytest.mark.parametrize("offset", ["+02:00", "Z", "-07:00"])
def test_yesterday_is_resolved_in_the_time_zone_of_the_message(held: Driver, offset: str) -> None:
    fact_id = added(held, "I saw a dentist yesterday", occurred_at=f"2024-05-03T00:30:00{offset}")
    assert held.get(fact_id).valid.start == datetime.fromisoformat(f"2024-05-02T00:00:00{offset}")


def test_repeated_statement_reaffirms_the_fact(held: Driver) -> None:
    fact_id = added(held, "I like tea")
    receipt = held.add("I like tea.", user_id="alice")
    assert decisions(receipt) == ["reaffirm"]
    assert texts(held) == ["I like tea"]
    fact = held.get(fact_id)
    assert (fact.reaffirmed, fact.version, len(fact.evidence)) == (1, 2, 2)


def test_new_answer_supersedes_the_old_one_and_both_are_kept(held: Driver) -> None:
    old = added(held, "I live in Paris", occurred_at="2024-01-01T00:00:00Z")
    receipt = held.add("I live in Berlin now", user_id="alice", occurred_at="2024-06-01T00:00:00Z")
    assert decisions(receipt) == ["supersede"]
    assert receipt.verdicts[0].target == old
    assert texts(held) == ["I live in Berlin now"]
    assert held.get(old).status.value == "superseded"
    assert held.get(old).superseded_by == receipt.verdicts[0].fact_id


@pytest.mark.parametrize(
    "other", [{"metadata": {"n": 2}}, {"expires_at": "2999-01-01T00:00:00Z"}, {"metadata": {}}]
)
def test_same_text_with_other_metadata_or_expiry_is_another_fact(
    held: Driver, other: dict[str, Any]
) -> None:
    # Given a message stored with metadata
    held.add("Thanks!", user_id="alice", infer=False, metadata={"n": 1})
    # When it is stored again with other metadata or another expiry
    receipt = held.add("Thanks!", user_id="alice", infer=False, **other)
    # Then both are kept
    assert decisions(receipt) == ["add"]
    assert decisions(held.add("Thanks!", user_id="alice", infer=False, **other)) == ["reaffirm"]
    assert texts(held, filters={"n": 1}) == ["Thanks!"]


class Insisting:
    """A reconciler that revises the first neighbour to the same text every time."""

    async def reconcile(
        self,
        candidates: Sequence[Candidate],
        neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
    ) -> Reconciliation:
        add = Proposal(decision=Decision.ADD)
        return Reconciliation(
            proposals=tuple(
                Proposal(decision=Decision.REVISE, target=next(iter(near)), text="I like green tea")
                if near
                else add
                for near in neighbours
            )
        )


def test_second_identical_revision_in_one_request_reaffirms(place: Place) -> None:
    # Given a known fact, and a reconciler that revises it twice to the same text
    held = place.open(reconciler=Insisting())
    fact_id = added(held, "I like tea")
    # When two statements come in one message
    receipt = held.add("I like tea a lot. I like tea very much.", user_id="alice")
    # Then the second is judged on the result of the first
    assert decisions(receipt) == ["revise", "reaffirm"]
    assert [fact.text for fact in held.history(fact_id)] == [
        "I like tea",
        "I like green tea",
        "I like green tea",
    ]


# Valid time and transaction time


def test_valid_at_returns_the_fact_of_that_time(held: Driver) -> None:
    added(held, "I live in Paris", occurred_at="2024-01-01T00:00:00Z")
    added(held, "I live in Berlin now", occurred_at="2024-06-01T00:00:00Z")
    for moment, expected in (
        ("2023-12-31T00:00:00Z", []),
        ("2024-03-01T00:00:00Z", ["I live in Paris"]),
        ("2024-06-01T00:00:00Z", ["I live in Berlin now"]),
        (None, ["I live in Berlin now"]),
    ):
        assert texts(held, valid_at=moment) == expected
        assert found(held, "Where do I live?", valid_at=moment) == expected


def test_as_of_returns_the_version_of_that_time(held: Driver) -> None:
    # Given a fact that was updated and deleted
    fact_id = added(held, "I like tea")
    held.update(fact_id, "I like green tea")
    held.delete(fact_id)
    first, second, third = (fact.updated_at for fact in held.history(fact_id))
    # When it is read as of each of these times
    # Then every read returns the version of that time
    for moment, expected in (
        (first - timedelta(microseconds=1), []),
        (first, ["I like tea"]),
        (second, ["I like green tea"]),
        (third, []),
        (None, []),
    ):
        assert texts(held, as_of=moment) == expected
        assert found(held, "tea", as_of=moment) == expected
    assert held.get(fact_id, as_of=first).text == "I like tea"
    assert held.get(fact_id, as_of=second).text == "I like green tea"
    with pytest.raises(NotFound, match=f"fact {fact_id} was not known at"):
        held.get(fact_id, as_of=first - timedelta(microseconds=1))


@pytest.mark.parametrize(
    "read",
    [
        lambda held, moment: held.search("tea", user_id="alice", as_of=moment),
        lambda held, moment: held.get(NOBODY, as_of=moment),
        lambda held, moment: held.get_all(user_id="alice", as_of=moment),
    ],
    ids=["search", "get", "get_all"],
)
def test_as_of_in_the_future_is_refused(
    place: Place, read: Callable[[Driver, datetime], object]
) -> None:
    held = place.open(clock=VirtualClock())
    with pytest.raises(InvalidRequest) as refused:
        read(held, NOON + timedelta(seconds=1))
    assert str(refused.value).startswith(
        "as_of: 2024-05-03T12:00:01+00:00 is in the future; leave it out to read the latest, or "
        "use valid_at for what will be true then"
    )


def test_fact_is_not_found_after_it_expires(place: Place) -> None:
    # Given a fact that expires in an hour, and one that does not
    clock = VirtualClock()
    held = place.open(clock=clock)
    fact_id = added(held, "My parking code is 1234", expires_at=NOON + timedelta(hours=1))
    clock.move(minutes=1)
    added(held, "I like tea")
    assert sorted(texts(held)) == ["I like tea", "My parking code is 1234"]
    assert "My parking code is 1234" in found(held, "parking code")
    # When the hour has passed
    clock.move(hours=1)
    # Then no read finds it
    assert texts(held) == ["I like tea"]
    assert found(held, "parking code") == ["I like tea"]
    # but as_of still finds it
    assert "My parking code is 1234" in texts(held, as_of=NOON + timedelta(minutes=30))
    # and the next write records the expiry
    added(held, "I like coffee")
    assert held.get(fact_id).status.value == "expired"
    assert held.verify().ok


def test_one_event_of_a_clock_that_was_wrong_expires_nothing(place: Place) -> None:
    # Given a fact that expires in an hour, and another one changed while the clock said 2099
    clock = VirtualClock()
    held = place.open(clock=clock)
    parking = added(held, "My parking code is 1234", expires_at=NOON + timedelta(hours=1))
    tea = added(held, "I like tea")
    clock.time = clock.time.replace(year=2099)
    held.update(tea, "I like green tea")
    # When the clock is right again
    clock.time = NOON
    # Then every read finds both, and only in their latest versions
    assert sorted(texts(held)) == ["I like green tea", "My parking code is 1234"]
    assert sorted(found(held, "parking code, tea")) == sorted(texts(held))
    # and writes are refused instead of following the wrong clock
    with pytest.raises(AdapterUnavailable, match="clock_lead"):
        held.add("I like coffee", user_id="alice")
    assert held.get(parking).status.value == "active"
    # and verify says so
    verification = held.verify()
    assert verification.ok
    assert ["2099" in warning for warning in verification.warnings] == [True]


def test_clock_lead_lets_a_ledger_be_written_after_a_clock_was_wrong(place: Place) -> None:
    clock = VirtualClock(time=NOON.replace(year=2099))
    added(place.open(clock=clock), "I like tea")
    clock.time = NOON
    place.options["clock_lead"] = timedelta(days=30_000).total_seconds()
    held = place.open(clock=clock)
    parking = added(held, "My parking code is 1234", expires_at=NOON + timedelta(hours=1))
    added(held, "I like coffee")
    assert held.get(parking).status.value == "active"
    assert "My parking code is 1234" in found(held, "parking code")
    clock.move(hours=2)
    assert "My parking code is 1234" not in found(held, "parking code")
    assert held.verify().warnings == ()


def test_expired_fact_is_added_anew_when_repeated(place: Place) -> None:
    clock = VirtualClock()
    held = place.open(clock=clock)
    first = added(held, "I like tea", expires_at=NOON + timedelta(hours=1))
    clock.move(hours=2)
    second = added(held, "I like tea")
    assert first != second
    assert texts(held) == ["I like tea"]


@pytest.mark.parametrize("seconds", [0, -50])
def test_changed_fact_is_not_found_in_its_old_version_with_a_stopped_or_slow_clock(
    place: Place, seconds: float
) -> None:
    # Given a clock that gives an update and a deletion no later time than the facts
    clock = VirtualClock()
    held = place.open(clock=clock)
    first, second = added(held, "I like tea"), added(held, "I like coffee")
    clock.move(seconds=seconds)
    held.update(first, "I like green tea")
    held.delete(second)
    # Then reads return the latest versions
    assert texts(held) == ["I like green tea"]
    assert found(held, "What do I like? tea or coffee") == ["I like green tea"]
    # and the next statements are compared with them
    assert decisions(held.add("I like green tea", user_id="alice")) == ["reaffirm"]
    assert decisions(held.add("I like coffee", user_id="alice")) == ["add"]


# Update and delete


def test_update_keeps_the_previous_version(held: Driver) -> None:
    fact_id = added(held, "I like tea", metadata={"a": 1})
    receipt = held.update(fact_id, "I like green tea", reason="typo", actor="alice")
    assert decisions(receipt) == ["revise"]
    assert (receipt.extractor, receipt.verdicts[0].reason) == ("caller", "typo")
    history = held.history(fact_id)
    assert [(fact.version, fact.text) for fact in history] == [
        (1, "I like tea"),
        (2, "I like green tea"),
    ]
    assert held.get(fact_id) == history[-1]
    assert history[-1].metadata == {"a": 1}
    assert texts(held) == found(held, "tea") == ["I like green tea"]


def test_update_replaces_metadata_as_a_whole(held: Driver) -> None:
    fact_id = added(held, "I like tea", metadata={"a": 1, "b": 2})
    held.update(fact_id, metadata={"b": True})
    assert held.get(fact_id).metadata == {"b": True}
    assert held.get(fact_id).text == "I like tea"
    assert found(held, "tea", filters={"b": True}) == ["I like tea"]
    assert found(held, "tea", filters={"a": 1}) == []


def test_update_that_changes_nothing_writes_nothing(held: Driver) -> None:
    fact_id = added(held, "I like tea", metadata={"a": 1})
    before = held.stats()
    assert held.update(fact_id, "I like tea") is None
    assert held.update(fact_id, "I like tea", metadata={"a": 1}) is None
    with pytest.raises(InvalidRequest, match="nothing to change; pass a text or metadata"):
        held.update(fact_id)
    assert held.stats() == before
    # 1 and true are two values, although Python says that they are equal
    assert decisions(held.update(fact_id, metadata={"a": True})) == ["revise"]


def test_deleted_fact_is_not_found_and_keeps_its_history(held: Driver) -> None:
    fact_id = added(held, "I like tea")
    added(held, "I like coffee")
    receipt = held.delete(fact_id, reason="wrong")
    assert decisions(receipt) == ["retract"]
    assert (receipt.verdicts[0].fact_id, receipt.verdicts[0].target) == (None, fact_id)
    assert texts(held) == found(held, "tea") == ["I like coffee"]
    assert [fact.status.value for fact in held.history(fact_id)] == ["active", "retracted"]
    assert held.get(fact_id).status.value == "retracted"


def test_retracted_fact_cannot_be_updated_or_deleted(held: Driver) -> None:
    fact_id = added(held, "I like tea")
    held.delete(fact_id)
    before = held.stats()
    for change in (lambda: held.delete(fact_id), lambda: held.update(fact_id, "I like coffee")):
        with pytest.raises(NotFound) as refused:
            change()
        assert str(refused.value) == (f"fact {fact_id} is retracted, only its history can be read")
    assert held.stats() == before


def test_delete_all_retracts_every_fact_of_a_scope(held: Driver) -> None:
    added(held, "I like tea")
    added(held, "I like coffee", run_id="r")
    added(held, "I like milk", user="bob")
    receipt = held.delete_all(user_id="alice", run_id="r")
    assert decisions(receipt) == ["retract"]
    assert texts(held) == ["I like tea"]
    assert decisions(held.delete_all(user_id="alice")) == ["retract"]
    assert held.delete_all(user_id="alice") is None
    assert (texts(held), texts(held, "bob")) == ([], ["I like milk"])
    assert held.verify().ok


def test_deleted_facts_are_not_found_at_any_valid_time(held: Driver) -> None:
    # Given facts that have ended, and facts that are valid now
    added(held, "I live in Berlin", occurred_at="2024-06-01T00:00:00Z")
    added(held, "I live in Paris", occurred_at="2024-01-01T00:00:00Z")
    added(held, "I like tea")
    # When all are deleted
    held.delete_all(user_id="alice")
    # Then no valid time shows them
    for moment in ("2024-02-01T00:00:00Z", "2024-07-01T00:00:00Z", "2999-01-01T00:00:00Z"):
        assert texts(held, valid_at=moment) == []
        assert found(held, "Where do I live?", valid_at=moment) == []


@pytest.mark.parametrize("named", [{}, {"app_id": "app"}])
def test_delete_all_without_an_owner_is_refused(held: Driver, named: dict[str, str]) -> None:
    added(held, "I like tea")
    with pytest.raises(InvalidRequest, match="scope: has no owner"):
        held.delete_all(**named)
    assert texts(held) == ["I like tea"]


def test_unknown_fact_is_not_found(held: Driver) -> None:
    for use in (
        lambda: held.get(NOBODY),
        lambda: held.history(NOBODY),
        lambda: held.update(NOBODY, "x"),
        lambda: held.delete(NOBODY),
    ):
        with pytest.raises(NotFound, match=f"no fact {NOBODY} that this scope may see"):
            use()


# Idempotency


@pytest.mark.parametrize("infer", [True, False])
def test_reused_idempotency_key_returns_the_first_receipt_and_writes_nothing(
    held: Driver, infer: bool
) -> None:
    request: dict[str, Any] = {"user_id": "alice", "infer": infer, "idempotency_key": "k"}
    first = held.add("I live in Paris. Hello!", **request)
    added(held, "I like tea")
    before = held.stats()
    again = held.add("I live in Paris. Hello!", **request)
    assert again == evolve(first, replayed=True)
    assert held.stats() == before


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("I like coffee", {}),
        (["I like tea", "I like tea"], {}),
        ([{"role": "assistant", "content": "I like tea"}], {}),
        ([{"name": "Alice", "content": "I like tea"}], {}),
        ("I like tea", {"run_id": "r"}),
        ("I like tea", {"agent_id": "a"}),
    ],
)
def test_idempotency_key_of_another_request_is_refused(
    held: Driver, words: Any, other: dict[str, str]
) -> None:
    held.add("I like tea", user_id="alice", idempotency_key="k")
    before = held.stats()
    with pytest.raises(InvalidRequest) as refused:
        held.add(words, user_id="alice", idempotency_key="k", **other)
    assert str(refused.value) == (
        "idempotency_key: was used before for other messages; make a new key"
    )
    assert held.stats() == before


def test_idempotency_key_is_per_owner(held: Driver) -> None:
    for user in ("alice", "bob"):
        assert not held.add("I like tea", user_id=user, idempotency_key="k").replayed


@pytest.mark.parametrize("infer", [True, False])
def test_exactly_one_of_many_requests_with_one_key_is_applied(held: Driver, infer: bool) -> None:
    receipts = held.at_once(
        *(
            lambda memory: memory.add(
                "I like tea", user_id="alice", infer=infer, idempotency_key="k"
            )
            for _ in range(8)
        )
    )
    assert {receipt.correlation_id for receipt in receipts} == {receipts[0].correlation_id}
    assert texts(held) == ["I like tea"]
    assert held.stats().messages == 1
    assert held.verify().ok


class Dying(RulesExtractor):
    """An extractor whose process is killed at the first call, as if it had asked a model."""

    local = False

    def __init__(self) -> None:
        self.calls = 0

    async def extract(self, messages: Any, ids: Any, guidance: Any = None) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise SystemExit("killed")
        return await super().extract(messages, ids, guidance)


def test_request_interrupted_before_extraction_is_completed_under_its_key(place: Place) -> None:
    # Given a process that died between observing a message and extracting facts
    held = place.open(extractor=Dying())
    with pytest.raises(SystemExit):
        held.add("I live in Paris", user_id="alice", idempotency_key="k")
    assert (held.stats().messages, held.stats().pending, texts(held)) == (1, 1, [])
    # When the request is sent again
    receipt = held.add("I live in Paris", user_id="alice", idempotency_key="k")
    # Then it is completed without duplicates
    assert (decisions(receipt), len(receipt.messages)) == (["add"], 1)
    assert (held.stats().messages, held.stats().pending) == (1, 0)
    assert texts(held) == ["I live in Paris"]
    # and from now on the key returns this receipt
    again = held.add("I live in Paris", user_id="alice", idempotency_key="k")
    assert again == evolve(receipt, replayed=True)
    assert held.verify().ok


def test_interrupted_request_is_completed_by_another_process(lasting: Place) -> None:
    dying = lasting.open(extractor=Dying())
    with pytest.raises(SystemExit):
        dying.add("I live in Paris", user_id="alice", idempotency_key="k")
    dying.close()
    receipt = lasting.open().add("I live in Paris", user_id="alice", idempotency_key="k")
    assert decisions(receipt) == ["add"]
    assert texts(lasting.opened[-1]) == ["I live in Paris"]


def test_failed_extraction_leaves_the_message_in_the_ledger(place: Place) -> None:
    class Failing(RulesExtractor):
        async def extract(self, messages: Any, ids: Any, guidance: Any = None) -> Any:
            raise AdapterUnavailable("model", "is down")

    held = place.open(extractor=Failing())
    with pytest.raises(AdapterUnavailable, match="model: is down"):
        held.add("I live in Paris", user_id="alice")
    assert (held.stats().messages, held.stats().pending) == (1, 1)
    assert held.verify().ok


# Owners and scopes

HOSTILE = [
    "alice",
    "ALICE",
    "alice ",
    "Alice' OR '1'='1",
    'alice"; DROP TABLE fact; --',
    "%",
    "_____",
    "*",
    "user:alice",
    "alice\u200b",
    "аlice",
    "日本",
    "💥",
    "../alice",
    "null",
    "None",
    "0",
]


def test_owner_reads_only_its_own_facts(held: Driver) -> None:
    # Given many owners with names that are easy to confuse
    for number, user in enumerate(HOSTILE):
        held.add(f"My secret is {number}", user_id=user, infer=False)
    # Then every read returns only the facts of its owner
    for number, user in enumerate(HOSTILE):
        mine = [f"My secret is {number}"]
        assert texts(held, user) == mine
        assert found(held, "secret", user, limit=1000) == mine
        assert held.stats(user_id=user).facts == {"active": 1}
    assert held.verify().ok


def test_user_agent_and_run_of_one_name_are_different_owners(held: Driver) -> None:
    for kind in ("user_id", "agent_id", "run_id"):
        held.add(f"I am a {kind}", **{kind: "x"}, infer=False)
    for kind in ("user_id", "agent_id", "run_id"):
        page = held.get_all(**{kind: "x"})
        assert [fact.text for fact in page.facts] == [f"I am a {kind}"]


def test_narrower_scope_finds_fewer_facts(held: Driver) -> None:
    held.add("alone", user_id="alice", infer=False)
    held.add("in a run", user_id="alice", run_id="r", infer=False)
    held.add("in an app", user_id="alice", run_id="r", app_id="a", infer=False)
    assert set(texts(held)) == {"alone", "in a run", "in an app"}
    assert set(texts(held, run_id="r")) == {"in a run", "in an app"}
    assert texts(held, run_id="r", app_id="a") == ["in an app"]
    assert texts(held, app_id="b") == []
    assert set(found(held, "in a run", run_id="r")) == {"in a run", "in an app"}


SCOPE_FILTERS: list[dict[str, Any]] = [
    {"user_id": "bob"},
    {"user_id": {"in": ["alice", "bob"]}},
    {"OR": [{"user_id": "bob"}, {"kind": "semantic"}]},
    {"NOT": {"user_id": "alice"}},
    {"AND": [{"OR": [{"run_id": "*"}]}]},
    {"agent_id": None},
    {"app_id": {"exists": True}},
]


@pytest.mark.parametrize("filters", SCOPE_FILTERS, ids=json.dumps)
def test_filter_on_a_scope_id_is_refused(held: Driver, filters: dict[str, Any]) -> None:
    added(held, "I like tea")
    for read in (held.get_all, lambda **named: held.search("tea", **named)):
        with pytest.raises(InvalidRequest, match="scope can't be widened by a filter"):
            read(user_id="alice", filters=filters)


@pytest.mark.parametrize(
    "filters",
    [
        {"metadata.user_id": "bob"},
        {"OR": [{"text": "*"}, {"kind": "semantic"}]},
        {"NOT": {"text": "nothing"}},
        {"fact_id": "*"},
    ],
    ids=json.dumps,
)
def test_no_filter_finds_facts_of_another_owner(held: Driver, filters: dict[str, Any]) -> None:
    added(held, "I like tea", "bob", metadata={"user_id": "bob"})
    added(held, "I like coffee", "alice", metadata={"user_id": "bob"})
    assert texts(held, filters=filters) == ["I like coffee"]
    assert found(held, "tea", filters=filters) == ["I like coffee"]


def test_fact_of_another_scope_cannot_be_read_or_changed(held: Driver) -> None:
    fact_id = added(held, "I like tea", "bob")
    before = held.stats()
    for use in (
        lambda: held.get(fact_id, user_id="alice"),
        lambda: held.get(fact_id, user_id="bob", run_id="r"),
        lambda: held.history(fact_id, user_id="alice"),
        lambda: held.update(fact_id, "I like gin", user_id="alice"),
        lambda: held.delete(fact_id, user_id="alice"),
        lambda: held.delete(fact_id, agent_id="bob"),
    ):
        with pytest.raises(NotFound, match="that this scope may see"):
            use()
    assert held.delete_all(user_id="alice") is None
    assert held.stats() == before
    assert held.get(fact_id, user_id="bob").text == "I like tea"


# Pages


def paged(held: Driver, size: int, between: Callable[[], object] = int, **named: Any) -> list[Fact]:
    """A whole listing, page by page; ``between`` is called after each page."""
    facts: list[Fact] = []
    cursor = None
    while True:
        page = held.get_all(user_id="alice", limit=size, cursor=cursor, **named)
        assert len(page.facts) <= size
        facts.extend(page.facts)
        if page.cursor is None:
            return facts
        cursor = page.cursor
        between()


@pytest.mark.parametrize("order", ["created_at", "-created_at", "occurred_at", "-occurred_at"])
@pytest.mark.parametrize("size", [1, 3, 7, 8])
def test_pages_hold_every_fact_once_in_order(held: Driver, order: str, size: int) -> None:
    for number in range(7):
        held.add(
            f"number {number}",
            user_id="alice",
            infer=False,
            occurred_at=NOON + timedelta(hours=number * 3 % 7 // 2),
        )
    facts = paged(held, size, order=order)
    assert sorted(fact.text for fact in facts) == [f"number {number}" for number in range(7)]
    keys = [(getattr(fact, order.lstrip("-")), fact.fact_id) for fact in facts]
    assert keys == sorted(keys, reverse=order.startswith("-"))


@pytest.mark.parametrize("order", ["created_at", "-created_at", "occurred_at"])
def test_pages_show_the_state_of_the_first_page_despite_later_writes(
    held: Driver, order: str
) -> None:
    # Given a listing whose first page was read
    ids = [
        added(held, f"I like drink number {number}", occurred_at=NOON + timedelta(hours=number))
        for number in range(6)
    ]
    ids.append(added(held, "I live in Paris", occurred_at=NOON))
    whole = held.get_all(user_id="alice", order=order).facts
    writes = iter(
        [
            lambda: added(held, "I like gin", occurred_at=NOON - timedelta(days=1)),
            lambda: held.delete(ids[5]),
            lambda: held.delete(ids[0]),
            lambda: held.update(ids[4], "I like nothing"),
            lambda: held.update(ids[1], "I like nothing any more"),
            lambda: held.add("I live in Berlin now", user_id="alice"),
        ]
    )
    # When facts are added, updated, superseded and deleted between the pages
    facts = paged(held, 1, lambda: next(writes)(), order=order)
    # Then the pages show the state of the first page, without repetition or gap
    assert [fact.key for fact in facts] == [fact.key for fact in whole]
    assert [fact.text for fact in facts] == [fact.text for fact in whole]
    # and a new listing shows the current state
    assert "I like gin" in texts(held)
    assert len(texts(held)) == 6


def test_fact_that_expires_between_two_pages_is_still_listed(place: Place) -> None:
    clock = VirtualClock()
    held = place.open(clock=clock)
    for number in range(3):
        added(held, f"I like {number}", expires_at=NOON + timedelta(hours=1))
    assert len(paged(held, 1, lambda: clock.move(hours=1), order="created_at")) == 3
    assert texts(held) == []


def test_cursor_of_another_owner_shows_no_foreign_facts(held: Driver) -> None:
    for number in range(3):
        added(held, f"I like {number}")
    added(held, "I like tea", "bob")
    cursor = held.get_all(user_id="alice", limit=1).cursor
    assert {fact.text for fact in held.get_all(user_id="bob", cursor=cursor).facts} <= {
        "I like tea"
    }


@pytest.mark.parametrize(
    "cursor",
    ["x", "äöü", "W10=", "e30=", "AAAA", "Wzld", "[" * 9000, "W1tbW1tb" * 20_000, 7],
    ids=lambda cursor: str(cursor)[:8],
)
def test_damaged_cursor_is_refused(held: Driver, cursor: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        held.get_all(user_id="alice", cursor=cursor)
    assert str(refused.value) == (
        "cursor: is damaged; start again without one, or pass it as it was given"
    )


def test_cursor_of_another_order_is_refused(held: Driver) -> None:
    for number in range(3):
        added(held, f"I like {number}")
    cursor = held.get_all(user_id="alice", limit=1, order="created_at").cursor
    with pytest.raises(InvalidRequest, match="cursor: belongs to a listing ordered by created_at"):
        held.get_all(user_id="alice", limit=1, cursor=cursor)


# Concurrency


@pytest.mark.parametrize("infer", [True, False])
def test_concurrent_identical_adds_leave_one_active_fact(held: Driver, infer: bool) -> None:
    receipts = held.at_once(
        *(lambda memory: memory.add("I like tea", user_id="alice", infer=infer) for _ in range(12))
    )
    assert sorted(decision for receipt in receipts for decision in decisions(receipt)) == [
        "add",
        *["reaffirm"] * 11,
    ]
    assert texts(held) == ["I like tea"]
    assert held.get(receipts[0].verdicts[0].fact_id).reaffirmed == 11
    assert held.stats().messages == 12
    assert held.verify().ok


def test_concurrent_different_adds_are_all_kept(held: Driver) -> None:
    held.at_once(
        *(
            lambda memory, number=number: memory.add(
                f"I like drink number {number}", user_id=f"user {number % 3}"
            )
            for number in range(12)
        )
    )
    kept = [text for user in range(3) for text in texts(held, f"user {user}")]
    assert sorted(kept) == sorted(f"I like drink number {number}" for number in range(12))
    assert held.verify().ok


def test_concurrent_conflicting_answers_leave_one_active_fact(held: Driver) -> None:
    added(held, "I live in Oslo", occurred_at=NOON)
    towns = ["Paris", "Berlin", "Rome", "Lima", "Cairo", "Delhi"]
    held.at_once(
        *(
            lambda memory, town=town: memory.add(
                f"I live in {town} now", user_id="alice", occurred_at=NOON + timedelta(days=1)
            )
            for town in towns
        )
    )
    assert len(texts(held)) == 1
    assert held.stats().facts["superseded"] == 6
    assert held.verify().ok


def test_concurrent_updates_leave_a_history_that_folds_to_the_facts(
    held: Driver,
) -> None:
    fact_id = added(held, "I like tea")
    receipts = held.at_once(
        *(
            lambda memory, number=number: memory.update(fact_id, f"I like tea number {number}")
            for number in range(10)
        )
    )
    assert all(decisions(receipt) == ["revise"] for receipt in receipts)
    history = held.history(fact_id)
    assert [fact.version for fact in history] == list(range(1, 12))
    assert len({fact.text for fact in history}) == 11
    assert texts(held) == found(held, "tea") == [history[-1].text]
    assert held.verify().ok


def test_exactly_one_of_many_concurrent_deletes_succeeds(
    held: Driver,
) -> None:
    fact_id = added(held, "I like tea")
    outcomes = held.at_once(
        lambda memory: memory.update(fact_id, "I like coffee"),
        *(lambda memory: memory.delete(fact_id) for _ in range(5)),
    )
    withdrawn = [each for each in outcomes[1:] if not isinstance(each, Exception)]
    assert len(withdrawn) == 1
    assert all(isinstance(each, NotFound) for each in outcomes[1:] if each not in withdrawn)
    assert texts(held) == []
    assert held.verify().ok


def test_concurrent_reads_and_writes_do_not_interfere(held: Driver) -> None:
    outcomes = held.at_once(
        *(
            call
            for number in range(6)
            for call in (
                lambda memory, number=number: memory.add(
                    f"I like {number}", user_id="alice", infer=False
                ),
                lambda memory: memory.search("like", user_id="alice"),
                lambda memory: memory.get_all(user_id="alice"),
                lambda memory: memory.verify(),
            )
        )
    )
    assert [each for each in outcomes if isinstance(each, BaseException)] == []
    assert all(each.ok for each in outcomes[3::4])
    assert len(texts(held)) == 6


ADD_IN_A_PROCESS = """
import json, sys
from remembrancer import Memory
with Memory.from_config(json.loads(sys.argv[1])) as held:
    print("ready", flush=True)
    sys.stdin.readline()
    for infer in (True, False):
        held.add("I like tea", user_id="alice", infer=infer)
    held.add(f"I like number {sys.argv[2]}", user_id="alice")
"""


@pytest.mark.slow
def test_identical_adds_by_several_processes_leave_one_active_fact(lasting: Place) -> None:
    # Given processes that have the same store open
    held = lasting.open()
    config = json.dumps({"audit_log": lasting.log, "key_vault": lasting.vault})
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADD_IN_A_PROCESS, config, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    # When all of them add the same text at once
    ended = [process.communicate("go\n") for process in processes]
    assert [errors for _, errors in ended] == [""] * 4
    # Then it is stored once, and the other texts are all kept
    assert sorted(texts(held)) == sorted(
        ["I like tea", *(f"I like number {number}" for number in range(4))]
    )
    assert held.verify().ok


def test_two_memories_on_one_store_see_the_writes_of_each_other(lasting: Place) -> None:
    one, other = lasting.open(), lasting.open()
    fact_id = added(one, "I like tea")
    assert texts(other) == found(other, "tea") == ["I like tea"]
    other.update(fact_id, "I like green tea")
    assert texts(one) == found(one, "tea") == ["I like green tea"]
    assert one.verify().ok


# When the embedder fails


@define
class Remote:
    """A remote embedder that can fail or return bad vectors."""

    failure: RemembrancerError | None = None
    spoil: Callable[[Vector], Vector] | None = None
    calls: int = 0
    local: bool = False

    @property
    def model(self) -> str:
        return "remote-1"

    @property
    def dimension(self) -> int:
        return 64

    async def embed(self, some: Sequence[str], purpose: Purpose) -> list[Vector]:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        vectors = HashingEmbedder(64).embed(some, purpose)
        return [self.spoil(vector) for vector in vectors] if self.spoil else vectors


FAILURES = [
    AdapterUnavailable("remote", "is down"),
    ModelError("answered with nonsense"),
    SettingsError("embedder.api_key", "refused"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("infer", [True, False])
def test_add_succeeds_without_vectors_when_the_embedder_fails(
    place: Place, failure: RemembrancerError, infer: bool
) -> None:
    # Given an embedder that does not answer
    remote = Remote(failure=failure)
    held = place.open(embedder=remote)
    # When something is added
    receipt = held.add("I live in Paris", user_id="alice", infer=infer)
    # Then it is stored, the receipt names the lag, and it is found by keyword
    assert receipt.lagging == ("vectors",)
    assert decisions(receipt) == ["add"]
    assert texts(held) == ["I live in Paris"]
    result = held.search("Paris", user_id="alice", explain=True)
    assert result.degraded == ("similarity",)
    assert result[0].fact.text == "I live in Paris"
    assert "similarity" not in result[0].signals
    # and once the embedder answers, the backfill adds the vectors
    remote.failure = None
    assert held.refill() == 1
    result = held.search("Paris", user_id="alice", explain=True)
    assert (result.degraded, result[0].signals["similarity"] > 0.3) == ((), True)
    assert held.verify().ok


class Local(HashingEmbedder):
    """A local embedder that can fail or return bad vectors."""

    failure: RemembrancerError | None = None
    spoiled = False

    def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        if self.failure is not None:
            raise self.failure
        vectors = super().embed(texts, purpose)
        return [vector[:3] for vector in vectors] if self.spoiled else vectors


@pytest.mark.parametrize("failure", [*FAILURES, None], ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("infer", [True, False])
def test_add_succeeds_without_vectors_when_the_local_embedder_fails(
    place: Place, failure: RemembrancerError | None, infer: bool
) -> None:
    local = Local()
    held = place.open(embedder=local)
    added(held, "I like tea")
    local.failure, local.spoiled = failure, failure is None
    receipt = held.add("I live in Paris", user_id="alice", infer=infer)
    assert receipt.lagging == ("vectors",)
    assert texts(held) == ["I like tea", "I live in Paris"]
    local.failure, local.spoiled = None, False
    assert held.refill() == 1
    assert held.verify().ok


def test_update_succeeds_without_vectors_when_the_embedder_fails(place: Place) -> None:
    remote = Remote()
    held = place.open(embedder=remote)
    fact_id = added(held, "I like tea")
    remote.failure = AdapterUnavailable("remote", "is down")
    assert held.update(fact_id, "I like green tea").lagging == ("vectors",)
    assert held.update(fact_id, metadata={"a": 1}).lagging == ()
    assert texts(held) == found(held, "green") == ["I like green tea"]


def test_vector_is_kept_when_the_context_of_its_fact_grows(
    place: Place,
) -> None:
    # Given a fact that was embedded
    remote = Remote()
    held = place.open(embedder=remote)
    added(held, "I live in Paris", occurred_at=NOON)
    # When the embedder fails, and the next message joins the context of the fact
    remote.failure = AdapterUnavailable("remote", "is down")
    added(held, "I like tea", occurred_at=NOON + timedelta(minutes=1))
    remote.failure = None
    # Then the fact still has its vector
    result = held.search("Paris", user_id="alice", explain=True)
    assert result[0].fact.text == "I live in Paris"
    assert result[0].signals["similarity"] > 0.3


def test_known_text_is_not_embedded_again_after_reopening(lasting: Place) -> None:
    first = lasting.open(embedder=Remote())
    added(first, "I live in Paris", occurred_at=NOON)
    first.close()
    remote = Remote()
    held = lasting.open(embedder=remote)
    held.add("I live in Paris", user_id="alice", occurred_at=NOON + timedelta(minutes=1))
    assert remote.calls == 0


BAD_VECTORS: dict[str, Callable[[Vector], Vector]] = {
    "nan": lambda vector: array("f", [float("nan"), *vector[1:]]),
    "infinity": lambda vector: array("f", [*vector[:-1], float("inf")]),
    "another dimension": lambda vector: vector[:10],
    "nothing": lambda vector: vector[:0],
}


@pytest.mark.parametrize("spoil", BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
@pytest.mark.parametrize("infer", [True, False])
def test_invalid_vector_does_not_lose_the_fact(
    place: Place, spoil: Callable[[Vector], Vector], infer: bool
) -> None:
    # Given a memory with a fact, and an embedder that then returns bad vectors
    remote = Remote()
    held = place.open(embedder=remote)
    added(held, "I like tea")
    remote.spoil = spoil
    # When something is added
    receipt = held.add("I live in Paris", user_id="alice", infer=infer)
    # Then it is stored without a vector, as after an error
    assert receipt.lagging == ("vectors",)
    assert texts(held) == ["I like tea", "I live in Paris"]
    assert found(held, "Paris")[0] == "I live in Paris"
    assert held.search("Paris", user_id="alice").degraded == ("similarity",)
    assert held.verify().ok
    # and the backfill adds the vector when the embedder works again
    remote.spoil = None
    assert held.refill() == 1
    assert held.search("Paris", user_id="alice").degraded == ()


# Invalid arguments

ADDING: list[tuple[Any, dict[str, Any], str]] = [
    ("", {}, "messages: is empty"),
    (" \n", {}, "messages: is empty"),
    ([], {}, "messages: is empty"),
    ("x" * 10_000_000, {}, "messages: has 10,000,000 characters"),
    ("a\ud800", {}, "messages: lone surrogate"),
    ("a\0", {}, "messages: NUL byte"),
    ([{"content": " "}, {"content": ""}], {}, r"messages\[0\]\.content: is empty"),
    ("x", {"user_id": "a\n"}, "user_id: control character"),
    ("x", {"user_id": "\ud800"}, "user_id: control character"),
    ("x", {"user_id": None}, "scope: has no owner"),
    ("x", {"user_id": 7}, "user_id: expected a string"),
    ("x", {"occurred_at": datetime(2024, 1, 1)}, "occurred_at: is naive"),  # noqa: DTZ001
    ("x", {"expires_at": "tomorrow"}, "expires_at: 'tomorrow' is not"),
    ("x", {"occurred_at": float("nan")}, "occurred_at: nan is not"),
    ("x", {"metadata": {"a": float("nan")}}, r"metadata\.a: nan is not"),
    ("x", {"metadata": {"a": 10**5000}}, r"metadata\.a: is beyond 64 bits"),
    ("x", {"metadata": {1: 1}}, "metadata: keys are strings"),
    ("x", {"idempotency_key": ""}, "idempotency_key: is empty"),
    ("x", {"idempotency_key": "a\tb"}, "idempotency_key: has a control character"),
    ("x", {"actor": "a\nb"}, "actor: has a control character"),
    ("x", {"infer": 1}, "infer: expected true or false"),
]


@pytest.mark.parametrize(
    ("words", "named", "problem"),
    ADDING,
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_invalid_add_is_refused_and_leaves_the_ledger_unchanged(
    held: Driver, words: Any, named: dict[str, Any], problem: str
) -> None:
    added(held, "I like tea")
    before = held.stats()
    with pytest.raises(InvalidRequest, match=problem):
        held.add(words, **{"user_id": "alice", **named})
    assert held.stats() == before
    assert held.verify().ok


READING: list[tuple[str, dict[str, Any], str]] = [
    ("search", {"query": ""}, "query: is empty"),
    ("search", {"query": "x" * 100_001}, "query: has 100,001 characters"),
    ("search", {"query": "x", "limit": 0}, "limit: expected a whole number"),
    ("search", {"query": "x", "limit": True}, "limit: expected a whole number"),
    ("search", {"query": "x", "threshold": 2}, "threshold: expected a number from 0 to 1"),
    ("search", {"query": "x", "valid_at": "now"}, "valid_at: 'now' is not"),
    (
        "search",
        {"query": "x", "filters": {"a": {"near": 1}}},
        r"filters\.a\.near: unknown operator",
    ),
    ("get_all", {"order": "text"}, "order: 'text' is not one of"),
    ("get_all", {"limit": 10**6}, "limit: expected a whole number"),
    ("get_all", {"filters": []}, "filters: "),
    ("get", {"fact_id": "x"}, "fact_id: expected 32 hex digits"),
    ("get", {"fact_id": 10**5000}, "fact_id: expected 32 hex digits, got int"),
    ("history", {"fact_id": "' OR 1=1"}, "fact_id: expected 32 hex digits"),
    ("delete", {"fact_id": None}, "fact_id: expected 32 hex digits"),
    ("update", {"fact_id": NOBODY, "text": "\0"}, "text: "),
]


@pytest.mark.parametrize(
    ("method", "named", "problem"),
    READING,
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_invalid_read_or_change_is_refused_with_the_argument_name(
    held: Driver, method: str, named: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        getattr(held, method)(user_id="alice", **named)


def test_texts_of_any_script_and_length_are_kept_and_found(held: Driver) -> None:
    said = [
        "她住在苏黎世",
        "カロリンは東京に住んでいます",
        "Zoë a déménagé à Genève",
        "Ελένη ζει στην Αθήνα",
    ]
    for text in said:
        held.add(text, user_id="alice", infer=False)
    assert texts(held) == said
    for query, text in (
        ("苏黎世", said[0]),
        ("東京", said[1]),
        ("geneve", said[2]),
        ("Αθήνα", said[3]),
    ):
        assert found(held, query)[0] == text
    long = "word " * 190_000
    held.add(long, user_id="alice", infer=False)
    assert texts(held)[-1] == long


# Results


def test_to_dict_of_every_result_is_plain_json(held: Driver) -> None:
    receipt = held.add("I live in Paris. Hello!", user_id="alice", metadata={"a": [1, None]})
    fact_id = receipt.verdicts[0].fact_id
    for result in (
        receipt,
        held.update(fact_id, "I live in Paris, France"),
        held.search("Paris", user_id="alice", explain=True),
        held.search("Paris", user_id="alice")[0],
        held.get(fact_id),
        held.history(fact_id)[0],
        held.get_all(user_id="alice"),
        held.verify(),
        held.stats(),
        held.stats(user_id="alice"),
        held.delete(fact_id),
    ):
        shown = result.to_dict()
        assert json.loads(json.dumps(shown)) == shown


def test_results_are_immutable(held: Driver) -> None:
    fact = held.get(added(held, "I like tea"))
    with pytest.raises(AttributeError):
        fact.text = "I like gin"


def test_signals_are_returned_only_with_explain(held: Driver) -> None:
    added(held, "I live in Paris")
    plain, explained = (held.search("Paris", user_id="alice", explain=e) for e in (False, True))
    assert plain[0].signals is None
    assert explained[0].signals["keyword"] > 0
    assert 0 <= explained[0].score <= 1
    assert plain[0].score == explained[0].score


def test_threshold_and_limit_cut_the_results(held: Driver) -> None:
    for number in range(5):
        added(held, f"I like drink number {number}")
    whole = held.search("drink number 3", user_id="alice")
    assert [result.score for result in whole] == sorted((r.score for r in whole), reverse=True)
    assert found(held, "drink number 3", limit=2) == [r.fact.text for r in whole][:2]
    best = whole[0].score
    above = held.search("drink number 3", user_id="alice", threshold=best)
    assert [result.score for result in above] == [r.score for r in whole if r.score >= best]


def test_stats_count_one_ledger_or_all(held: Driver) -> None:
    fact_id = added(held, "I like tea")
    held.delete(fact_id)
    added(held, "I like coffee")
    added(held, "I like milk", "bob")
    mine, all_of_them = held.stats(user_id="alice"), held.stats()
    assert mine.facts == {"active": 1, "retracted": 1}
    assert all_of_them.facts == {"active": 2, "retracted": 1}
    assert (mine.messages, all_of_them.messages) == (2, 3)
    assert all_of_them.events == all_of_them.last_position > mine.events
    assert set(all_of_them.positions.values()) == {all_of_them.last_position}


def test_verify_reports_progress(held: Driver) -> None:
    for user in ("a", "b"):
        added(held, "I like tea", user)
    steps: list[tuple[int, int]] = []
    result = held.verify(lambda done, total: steps.append((done, total)))
    assert (result.ok, result.checked["ledgers"], result.checked["facts"]) == (True, 2, 2)
    assert steps[-1] == (result.checked["events"],) * 2


# Open and close


def test_persistent_memory_keeps_its_facts_after_reopening(lasting: Place) -> None:
    first = lasting.open()
    fact_id = added(first, "I like tea")
    first.update(fact_id, "I like green tea")
    history = first.history(fact_id)
    first.close()
    again = lasting.open()
    assert again.history(fact_id) == history
    assert texts(again) == found(again, "tea") == ["I like green tea"]
    assert again.verify().ok


def test_closing_twice_does_nothing(held: Driver) -> None:
    added(held, "I like tea")
    held.close()
    held.close()


def test_closed_memory_is_adapter_unavailable(lasting: Place) -> None:
    held = lasting.open()
    added(held, "I like tea")
    held.close()
    for use in (
        lambda: held.add("x", user_id="alice"),
        lambda: held.search("x", user_id="alice"),
        lambda: held.get_all(user_id="alice"),
        lambda: held.stats(),
    ):
        with pytest.raises(AdapterUnavailable, match="has been closed; open it again"):
            use()


def test_unknown_override_is_refused(place: Place) -> None:
    with pytest.raises(InvalidRequest, match=r"overrides\.embeder: is not a part"):
        place.open(embeder=Remote())


def test_memory_is_a_context_manager(tmp_path: Path) -> None:
    with Memory(tmp_path / "a.db") as memory:
        memory.add("I like tea", user_id="alice")

    async def main() -> list[str]:
        async with await AsyncMemory.open(tmp_path / "a.db") as opened:
            page = await opened.get_all(user_id="alice")
        return [fact.text for fact in page.facts]

    assert asyncio.run(main()) == ["I like tea"]


def test_memory_can_be_opened_from_a_config(tmp_path: Path) -> None:
    config = {"audit_log": {"path": str(tmp_path / "a.db")}}
    with Memory.from_config(config) as memory:
        memory.add("I like tea", user_id="alice")
    assert (tmp_path / "a.db").exists()

    async def main() -> int:
        async with AsyncMemory.from_config(config) as opened:
            return (await opened.stats()).messages

    assert asyncio.run(main()) == 1


def test_cancelled_add_leaves_an_intact_ledger(tmp_path: Path) -> None:
    # Given an add whose extraction waits for a model
    asked = asyncio.Event()

    class Waiting(RulesExtractor):
        local = False

        async def extract(self, messages: Any, ids: Any, guidance: Any = None) -> Any:
            asked.set()
            await asyncio.Event().wait()

    async def main() -> None:
        async with AsyncMemory(tmp_path / "a.db", overrides={"extractor": Waiting()}) as memory:
            task = asyncio.create_task(
                memory.add("I live in Paris", user_id="alice", idempotency_key="k")
            )
            await asked.wait()
            # When the caller cancels it
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # Then the message is in the ledger
            assert (await memory.stats()).pending == 1
            assert (await memory.verify()).ok

    asyncio.run(main())
    # and the request can be completed under its key
    with Memory(tmp_path / "a.db") as memory:
        receipt = memory.add("I live in Paris", user_id="alice", idempotency_key="k")
    assert decisions(receipt) == ["add"]
