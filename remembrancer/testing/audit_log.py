"""The contract of ``AuditLog``."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer.domain.audit.recorded_chain import faults_of
from remembrancer.domain.errors import AdapterUnavailable, Conflict, InvalidRequest
from remembrancer.domain.events import Event, EventId, FactAdded, FactReaffirmed, FactRetracted
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.recorded import (
    Append,
    CorrelationId,
    Head,
    NewEvent,
    Position,
    Recorded,
)
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.testing.driving import Driven

NOON = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)
ALICE = LedgerId("user:alice")
BOB = LedgerId("user:bob")


def new_id() -> str:
    """A fresh id of 32 hex digits."""
    return uuid.uuid4().hex


def fact_added(text: str = "Alice lives in Zürich 🏔", user: str = "alice") -> FactAdded:
    """A ``FactAdded`` event with non-ASCII text and nested metadata."""
    return FactAdded(
        fact_id=FactId(new_id()),
        scope=Scope(user_id=user),
        text=text,
        metadata={"nested": {"list": [1, 2.5, None, True, "ü"]}},
        occurred_at=NOON,
    )


def append_of(
    events: Sequence[Event],
    *,
    ledger: LedgerId = ALICE,
    at: datetime = NOON,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
) -> Append:
    """An append of events with fresh ids."""
    return Append(
        ledger=ledger,
        events=[
            NewEvent(
                event_id=EventId(new_id()),
                event=event,
                causation_id=EventId(causation_id) if causation_id else None,
            )
            for event in events
        ],
        recorded_at=at,
        correlation_id=CorrelationId(correlation_id or new_id()),
        actor="tester",
        expected_version=expected_version,
        idempotency_key=idempotency_key,
    )


class AuditLogContract:
    """Inherit and implement ``make_log``."""

    def make_log(self, tmp_path: Path) -> Any:
        """A fresh, empty log; ``tmp_path`` is an empty folder."""
        raise NotImplementedError

    @pytest.fixture
    def log(self, tmp_path: Path) -> Any:
        """The log under test, its methods as plain calls."""
        return Driven(self.make_log(tmp_path))

    # Append

    def test_appended_event_is_read_back_unchanged(self, log: Any) -> None:
        event = fact_added()
        appended = log.append(append_of([event], causation_id="0" * 32))
        (read,) = log.read(Position(0))
        assert read == appended.recorded[0]
        assert read.event == event
        assert (read.ledger, read.actor, read.causation_id) == (ALICE, "tester", "0" * 32)
        assert read.recorded_at == NOON

    def test_positions_and_versions_count_from_one_without_gaps(self, log: Any) -> None:
        for ledger in (ALICE, BOB, ALICE, BOB, ALICE):
            log.append(append_of([fact_added(), fact_added()], ledger=ledger))
        events = log.read(Position(0))
        assert [item.position for item in events] == list(range(1, 11))
        for ledger, count in ((ALICE, 6), (BOB, 4)):
            versions = [item.version for item in events if item.ledger == ledger]
            assert versions == list(range(1, count + 1))

    def test_an_empty_append_is_refused(self, log: Any) -> None:
        with pytest.raises(InvalidRequest, match="events"):
            log.append(append_of([]))
        assert log.last_position() == 0

    def test_a_failed_append_leaves_no_gap(self, log: Any) -> None:
        log.append(append_of([fact_added()]))
        for _ in range(3):
            with pytest.raises(Conflict):
                log.append(append_of([fact_added(), fact_added()], expected_version=99))
        appended = log.append(append_of([fact_added()]))
        assert appended.recorded[0].position == 2
        assert appended.recorded[0].version == 2

    @pytest.mark.parametrize("bad", ["", "not hex", "A" * 32, "0" * 31])
    def test_a_malformed_event_id_is_refused(self, log: Any, bad: str) -> None:
        append = append_of([fact_added()])
        broken = Append(
            ledger=ALICE,
            events=[NewEvent(event_id=EventId(bad), event=fact_added())],
            recorded_at=NOON,
            correlation_id=append.correlation_id,
        )
        with pytest.raises(InvalidRequest, match="event_id"):
            log.append(broken)
        assert log.last_position() == 0

    def test_a_naive_time_is_refused(self, log: Any) -> None:
        with pytest.raises(InvalidRequest, match="recorded_at"):
            log.append(append_of([fact_added()], at=datetime(2024, 1, 1)))  # noqa: DTZ001
        assert log.last_position() == 0

    # Optimistic concurrency

    def test_append_on_the_expected_version_succeeds(self, log: Any) -> None:
        log.append(append_of([fact_added()], expected_version=0))
        log.append(append_of([fact_added()], expected_version=1))
        assert log.head(ALICE).version == 2

    def test_append_on_a_stale_version_is_a_conflict_and_changes_nothing(self, log: Any) -> None:
        log.append(append_of([fact_added()]))
        before = log.head(ALICE)
        with pytest.raises(Conflict):
            log.append(append_of([fact_added()], expected_version=0))
        assert log.head(ALICE) == before
        assert log.last_position() == 1

    def test_ledgers_do_not_conflict_with_each_other(self, log: Any) -> None:
        log.append(append_of([fact_added()], ledger=BOB))
        log.append(append_of([fact_added()], ledger=ALICE, expected_version=0))
        assert log.head(ALICE).version == 1

    def test_exactly_one_of_many_threads_on_one_version_succeeds(self, log: Any) -> None:
        outcomes: list[str] = []
        start = threading.Barrier(8)

        def race() -> None:
            start.wait()
            try:
                log.append(append_of([fact_added()], expected_version=0))
                outcomes.append("won")
            except Conflict:
                outcomes.append("lost")

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["lost"] * 7 + ["won"]
        assert log.head(ALICE).version == 1

    def test_reader_skips_no_event_of_concurrent_writers(self, log: Any) -> None:
        writers, each = 4, 25
        seen: list[Recorded] = []

        def write(number: int) -> None:
            for _ in range(each):
                log.append(append_of([fact_added()], ledger=LedgerId(f"user:{number}")))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
        for thread in threads:
            thread.start()
        while len(seen) < writers * each:
            after = seen[-1].position if seen else Position(0)
            seen.extend(log.read(after, 7))
        for thread in threads:
            thread.join()
        assert [item.position for item in seen] == list(range(1, writers * each + 1))

    # Idempotency

    def test_retried_append_is_written_once(self, log: Any) -> None:
        append = append_of([fact_added(), fact_added()])
        first = log.append(append)
        log.append(append_of([fact_added()]))
        again = log.append(append)
        assert not first.replayed
        assert again.replayed
        assert again.recorded == first.recorded
        assert log.last_position() == 3

    def test_retried_append_on_a_stale_version_is_no_conflict(self, log: Any) -> None:
        append = append_of([fact_added()], expected_version=0)
        log.append(append)
        assert log.append(append).replayed

    def test_reused_event_id_with_other_content_is_refused(self, log: Any) -> None:
        append = append_of([fact_added("one")])
        log.append(append)
        other = Append(
            ledger=ALICE,
            events=[NewEvent(event_id=append.events[0].event_id, event=fact_added("two"))],
            recorded_at=NOON,
            correlation_id=append.correlation_id,
        )
        with pytest.raises(InvalidRequest, match="event_id"):
            log.append(other)
        assert log.last_position() == 1

    def test_reused_idempotency_key_returns_the_first_append(self, log: Any) -> None:
        first = log.append(append_of([fact_added("one"), fact_added("two")], idempotency_key="k"))
        again = log.append(append_of([fact_added("three")], idempotency_key="k"))
        assert again.replayed
        assert again.recorded == first.recorded
        assert list(log.find_request(ALICE, "k")) == list(first.recorded)
        assert log.last_position() == 2

    def test_idempotency_key_is_per_ledger(self, log: Any) -> None:
        log.append(append_of([fact_added()], idempotency_key="k"))
        assert not log.append(append_of([fact_added()], ledger=BOB, idempotency_key="k")).replayed
        assert list(log.find_request(LedgerId("user:carol"), "k")) == []

    def test_exactly_one_of_many_threads_with_one_idempotency_key_writes(self, log: Any) -> None:
        results: list[Any] = []
        start = threading.Barrier(8)

        def send() -> None:
            start.wait()
            results.append(log.append(append_of([fact_added()], idempotency_key="once")))

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(result.replayed for result in results) == [False] + [True] * 7
        assert log.last_position() == 1

    # Time and hash chain

    def test_recorded_at_grows_even_if_the_clock_goes_back(self, log: Any) -> None:
        for seconds in (0, 0, -30, 5):
            log.append(append_of([fact_added()], at=NOON + timedelta(seconds=seconds)))
        times = [item.recorded_at for item in log.read_ledger(ALICE)]
        assert all(earlier < later for earlier, later in pairwise(times))
        assert times[-1] == NOON + timedelta(seconds=5)

    def test_append_far_behind_the_last_event_is_refused_and_changes_nothing(
        self, log: Any
    ) -> None:
        log.append(append_of([fact_added()], at=NOON + timedelta(days=27_000)))
        with pytest.raises(AdapterUnavailable, match="clock"):
            log.append(append_of([fact_added()]))
        assert log.head(ALICE).version == 1
        late = append_of([fact_added()])
        log.append(evolve(late, clock_lead=timedelta(days=27_000)))
        times = [item.recorded_at for item in log.read_ledger(ALICE)]
        assert times[0] < times[1]

    def test_hash_chain_of_each_ledger_is_intact(self, log: Any) -> None:
        for ledger, user in ((ALICE, "alice"), (BOB, "bob"), (ALICE, "alice")):
            events = [fact_added(user=user), fact_added("😀" * 50, user)]
            log.append(append_of(events, ledger=ledger))
        for ledger in (ALICE, BOB):
            items = log.read_ledger(ledger)
            assert not faults_of(items)
            assert log.head(ledger) == (Head.after(items[-1]) if items else Head())

    def test_each_event_has_its_own_cause(self, log: Any) -> None:
        append = append_of([fact_added(), fact_added(), fact_added()])
        first, second, third = append.events
        caused = [first, evolve(second, causation_id=first.event_id), third]
        log.append(evolve(append, events=caused))
        found = [item.causation_id for item in log.read_ledger(ALICE)]
        assert found == [None, first.event_id, None]

    def test_handle_stands_for_the_ledger(self, log: Any) -> None:
        log.append(append_of([fact_added(), fact_added()]))
        log.append(append_of([fact_added()]))
        log.append(append_of([fact_added(user="bob")], ledger=BOB))
        alice = {item.handle for item in log.read_ledger(ALICE)}
        bob = {item.handle for item in log.read_ledger(BOB)}
        assert (len(alice), len(bob)) == (1, 1)
        assert alice != bob
        assert all(re.fullmatch("[0-9a-f]{32}", handle) for handle in alice | bob)
        assert log.head(ALICE).handle in alice

    def test_equal_payloads_have_different_digests(self, log: Any) -> None:
        event = FactRetracted(fact_id=FactId(new_id()))
        log.append(append_of([event, event]))
        one, two = log.read(Position(0))
        assert one.event == two.event
        assert one.payload_digest != two.payload_digest

    # Read

    def test_reads_are_paged(self, log: Any) -> None:
        log.append(append_of([fact_added() for _ in range(10)]))
        pages = [log.read(Position(after), 4) for after in (0, 4, 8, 10)]
        assert [len(page) for page in pages] == [4, 4, 2, 0]
        by_version = log.read_ledger(ALICE, after_version=7, limit=2)
        assert [item.version for item in by_version] == [8, 9]

    def test_events_of_a_request_are_read_by_correlation_id(self, log: Any) -> None:
        request = new_id()
        log.append(append_of([fact_added()], correlation_id=request))
        log.append(append_of([fact_added()]))
        log.append(append_of([FactReaffirmed(fact_id=FactId(new_id()))], correlation_id=request))
        found = log.read_correlation(CorrelationId(request))
        assert [item.position for item in found] == [1, 3]
        assert list(log.read_correlation(CorrelationId(new_id()))) == []

    def test_an_unknown_ledger_is_empty(self, log: Any) -> None:
        assert log.head(LedgerId("user:nobody")) == Head()
        assert list(log.read_ledger(LedgerId("user:nobody"))) == []

    def test_ledgers_are_listed_in_pages(self, log: Any) -> None:
        names = [LedgerId(f"user:{letter}") for letter in ("b", "ä", "a", "Z", "日本")]
        for name in names:
            log.append(append_of([fact_added()], ledger=name))
        listed: list[LedgerId] = []
        while page := log.ledgers(listed[-1] if listed else None, 2):
            listed.extend(page)
        assert sorted(listed) == sorted(names)

    @pytest.mark.parametrize("name", ["user:o'brien\"; DROP TABLE event; --", "user:💥", "user:%_"])
    def test_ledger_can_have_any_printable_name(self, log: Any, name: str) -> None:
        log.append(append_of([fact_added()], ledger=LedgerId(name)))
        assert log.head(LedgerId(name)).version == 1
        assert log.head(ALICE).version == 0
