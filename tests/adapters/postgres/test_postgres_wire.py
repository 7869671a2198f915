"""The audit log on PostgreSQL over an unreliable connection: exactly-once appends, short waits."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any

import pytest
from attrs import evolve

from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog, create_log
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.ports.audit_log import Appended
from remembrancer.domain.recorded import Append, Position, Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import ALICE, BOB
from remembrancer.testing.driving import Driven
from remembrancer.testing.unreliable_wire import UnreliableWire, When
from tests.helpers.appending import Holding, check_ledgers, count_of

PATIENCE = 60.0
SOON = 20.0
"""Seconds. Far above the timeouts that these tests set."""

FACES = pytest.mark.parametrize("blocking", [True, False], ids=["Memory", "AsyncMemory"])

BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED"
LOCK = b"begin_append"
WRITE = b"WITH moved AS"
COMMIT = b"COMMIT; BEGIN"


@contextmanager
def log_at(
    settings: PostgresSettings, blocking: bool = True, listener: Any = None
) -> Iterator[Any]:
    with closing(Database(settings, [create_log], blocking=blocking)) as database:
        yield Driven(PostgresAuditLog(database.sessions, listener=listener))


@pytest.fixture
def direct(postgres: PostgresSettings) -> Iterator[Any]:
    """The log over a direct connection."""
    with log_at(postgres) as log:
        yield log


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def eventually(call: Callable[[], Any], failed: Callable[[], object] = lambda: None) -> Any:
    """Retry a call until it succeeds; return its result."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            return call()
        except AdapterUnavailable:
            assert monotonic() < deadline
            failed()


def check_once(log: Any, *appends: Append) -> None:
    """Check that the log has exactly these appends, each once, in this order."""
    seen = log.read(Position(0))
    assert [item.event_id for item in seen] == [
        new.event_id for append in appends for new in append.events
    ]
    assert [item.position for item in seen] == list(range(1, len(seen) + 1))
    check_ledgers(log, seen)


# Cut


@FACES
@pytest.mark.parametrize("keyed", [True, False], ids=["key", "ids"])
@pytest.mark.parametrize(
    ("said", "when", "made"),
    [
        (LOCK, "before", False),
        (LOCK, "after", False),
        (WRITE, "before", False),
        (WRITE, "after", False),
        (COMMIT, "before", False),
        (COMMIT, "after", True),
    ],
)
def test_retried_append_is_made_once_after_a_lost_connection(
    over_wire: PostgresSettings,
    wire: UnreliableWire,
    direct: Any,
    *,
    said: bytes,
    when: When,
    made: bool,
    keyed: bool,
    blocking: bool,
) -> None:
    first = count_of(2, ALICE)
    append = evolve(count_of(3, ALICE), idempotency_key="again" if keyed else None)
    with log_at(over_wire, blocking) as log:
        log.append(first)
        # Given an append whose connection is cut at one of its steps
        wire.cut_at(said, when)
        with pytest.raises(AdapterUnavailable, match="postgres"):
            log.append(append)
        assert not wire.cuts
        # When it is retried twice
        again, once_more = log.append(append), log.append(append)
    # Then it is recorded once, and a commit whose answer was lost is found again
    assert again.replayed == made
    assert once_more == evolve(again, replayed=True)
    check_once(direct, first, append)


@FACES
@pytest.mark.parametrize("when", ["before", "after"])
def test_append_cut_before_its_first_step_succeeds_without_an_error(
    over_wire: PostgresSettings, wire: UnreliableWire, direct: Any, *, when: When, blocking: bool
) -> None:
    append = count_of(2, ALICE)
    with log_at(over_wire, blocking) as log:
        log.head(ALICE)
        wire.cut_at(BEGIN, when)
        assert not log.append(append).replayed
    assert not wire.cuts
    check_once(direct, append)


@FACES
def test_next_call_works_after_all_pool_connections_were_dropped(
    over_wire: PostgresSettings,
    wire: UnreliableWire,
    direct: Any,
    threads: ThreadPoolExecutor,
    *,
    blocking: bool,
) -> None:
    settings = evolve(over_wire, min_connections=6, max_connections=6)
    calls: list[Callable[[Any], object]] = [
        lambda log: log.append(count_of(1, ALICE)),
        lambda log: log.head(ALICE),
        lambda log: log.read(Position(0)),
        lambda log: log.last_position(),
    ]
    with log_at(settings, blocking) as log:
        for call in calls:
            # Given a pool full of working connections
            list(threads.map(lambda _: log.append(count_of(1, BOB)), range(24)))
            wire.drop()
            # Then the call succeeds
            call(log)
    assert direct.head(ALICE).version == 1
    assert direct.head(BOB).version == 24 * len(calls)


@FACES
def test_call_after_a_long_cut_succeeds_within_connect_timeout(
    over_wire: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(1, ALICE)
    with log_at(evolve(over_wire, connect_timeout=1.0), blocking) as log:
        log.append(append)
        # Given a wire that stays cut during several calls
        wire.cut()
        for _ in range(4):
            with pytest.raises(AdapterUnavailable, match="connect_timeout"):
                log.append(append)
        # When it is mended, then the next call succeeds
        wire.mend()
        assert log.append(append).replayed
    check_once(direct, append)


# Slow


@FACES
def test_network_delay_does_not_count_towards_statement_timeout(
    over_wire: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(1, ALICE)
    with log_at(evolve(over_wire, statement_timeout=0.4), blocking) as log:
        log.head(ALICE)
        # Given a wire on which an answer takes longer than statement_timeout
        wire.delay(0.21)
        # Then the server, which is fast, cancels no statement
        log.append(append)
    check_once(direct, append)


@FACES
def test_delay_beyond_both_timeouts_raises(
    over_wire: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(1, ALICE)
    settings = evolve(over_wire, statement_timeout=0.5, connect_timeout=0.5)
    with log_at(settings, blocking) as log:
        log.head(ALICE)
        wire.delay(1.5)
        with pytest.raises(AdapterUnavailable, match=r"does not answer;.*no answer .* for 1 s"):
            log.append(append)
        wire.mend()
        eventually(lambda: log.append(append))
    check_once(direct, append)


# Half closed


@FACES
def test_half_open_connection_raises_in_time(
    impatient: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(1, ALICE)
    with log_at(impatient, blocking) as log:
        log.head(ALICE)
        wire.half_close()
        began = monotonic()
        for call in (lambda: log.append(append), lambda: log.head(ALICE)):
            with pytest.raises(AdapterUnavailable, match=r"try again|check that"):
                call()
        assert monotonic() - began < SOON
        wire.mend()
        # Connection attempts in progress still wait for lost answers
        eventually(lambda: log.append(append))
    check_once(direct, append)


@FACES
def test_append_with_a_lost_commit_answer_is_replayed_on_retry(
    impatient: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(2, ALICE)
    holding = Holding(ALICE, wire.half_close)
    holding.release.set()
    with log_at(impatient, blocking, holding) as log:
        began = monotonic()
        with pytest.raises(AdapterUnavailable, match=r"does not answer;.*idempotency_key"):
            log.append(append)
        assert monotonic() - began < SOON
        wire.mend()
        assert eventually(lambda: log.append(append)).replayed
    check_once(direct, append)


def test_new_connection_without_an_answer_raises_in_time(
    impatient: PostgresSettings, wire: UnreliableWire
) -> None:
    wire.half_close()
    began = monotonic()
    with pytest.raises(AdapterUnavailable, match="does not answer; try again"):
        Database(impatient, [create_log])
    assert monotonic() - began < SOON


@FACES
def test_vanished_writer_does_not_keep_its_ledger_locked(
    impatient: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    lost, other = count_of(2, ALICE), count_of(1, ALICE)
    holding = Holding(ALICE, wire.silence)
    holding.release.set()
    with log_at(impatient, blocking, holding) as log:
        # Given a writer that holds the lock of a ledger and vanishes
        with pytest.raises(AdapterUnavailable, match="does not answer; check"):
            log.append(lost)
        # Then another writer waits no longer than the idle-in-transaction timeout
        began = monotonic()
        direct.append(other)
        assert monotonic() - began < SOON
    check_once(direct, other)


# All faults combined


class Run:
    """Writers and readers that retry until they succeed, and a thread that injects faults.

    Attributes:
        acknowledged: results of the appends.
        failures: number of calls that raised.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.acknowledged: list[Appended] = []
        self.failures = 0
        self._changed = threading.Condition()

    def _failed(self) -> None:
        with self._changed:
            self.failures += 1
            self._changed.notify_all()

    def write(self, log: Any, appends: list[Append]) -> None:
        for append in appends:
            appended = eventually(lambda append=append: log.append(append), self._failed)
            with self._changed:
                self.acknowledged.append(appended)
                self._changed.notify_all()

    def tail(self, log: Any, events: int) -> list[Recorded]:
        seen: list[Recorded] = []
        while (after := len(seen)) < events:
            seen += eventually(lambda after=after: log.read(Position(after), 7), self._failed)
        return seen

    @property
    def is_over(self) -> bool:
        return len(self.acknowledged) == self.total

    def await_more(self, of: Callable[[], int], more: int) -> None:
        """Wait until a count has grown by ``more``, or all is written."""
        with self._changed:
            target = of() + more
            assert self._changed.wait_for(lambda: self.is_over or of() >= target, PATIENCE)

    def inject_faults(self, wire: UnreliableWire, chance: random.Random) -> None:
        def written() -> int:
            return len(self.acknowledged)

        while not self.is_over:
            self.await_more(written, chance.randint(1, 6))
            fault = chance.choice(["drop", "cut", "delay", "half_close", "silence", "commit"])
            if fault == "drop":
                wire.drop()
            elif fault == "delay":
                wire.delay(0.02)
                self.await_more(written, 2)
            elif fault == "commit":
                whens: list[When] = ["before", "after"]
                # An append's commit, not a reader's: a cut ``call`` is retried and does not fail.
                wire.cut_at(COMMIT, *chance.choices(whens, k=3))
                self.await_more(lambda: self.failures, 2)
            else:
                getattr(wire, fault)()
                self.await_more(lambda: self.failures, 1)
            wire.mend()


@pytest.mark.parametrize("seed", range(3))
def test_acknowledged_appends_are_recorded_once_and_in_order_under_random_faults(
    impatient: PostgresSettings,
    wire: UnreliableWire,
    direct: Any,
    threads: ThreadPoolExecutor,
    *,
    seed: int,
) -> None:
    chance = random.Random(seed)
    # Given four writers, each with its own ledger and one that they share
    work = [
        [
            evolve(
                count_of(chance.randint(1, 3), chance.choice([ALICE, LedgerId(f"user:{number}")])),
                idempotency_key=chance.choice([None, f"{number} {turn}"]),
            )
            for turn in range(20)
        ]
        for number in range(4)
    ]
    appends = [append for of_writer in work for append in of_writer]
    events = sum(len(append.events) for append in appends)
    run = Run(len(appends))
    with log_at(impatient, True) as blocking, log_at(impatient, False) as suspending:
        logs = [blocking, suspending]
        running: list[Future[None]] = [
            threads.submit(run.write, logs[number % 2], of_writer)
            for number, of_writer in enumerate(work)
        ]
        reading = [threads.submit(run.tail, log, events) for log in logs]
        # When random faults are injected
        running.append(threads.submit(run.inject_faults, wire, chance))
        for each in running:
            each.result(2 * PATIENCE)
        tailed = [each.result(2 * PATIENCE) for each in reading]
    # Then every event is recorded once, at the position that its writer got
    seen = direct.read(Position(0))
    assert [item.position for item in seen] == list(range(1, events + 1))
    reported = [item for appended in run.acknowledged for item in appended.recorded]
    assert sorted(reported, key=lambda item: item.position) == list(seen)
    assert {item.event_id for item in seen} == {
        new.event_id for append in appends for new in append.events
    }
    check_ledgers(direct, seen)
    # And the tailing readers read the same events
    assert tailed == [list(seen), list(seen)]
    assert run.failures
