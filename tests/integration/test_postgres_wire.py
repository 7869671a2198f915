"""The log on PostgreSQL over a wire that breaks: once and only once, no wait without end."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any

import pytest
from appending import Holding, check_ledgers, count_of
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

PATIENCE = 60.0
SOON = 20.0
"""Seconds. Far above the bounds that these tests set, far below for ever."""

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
    """The log, past the wire."""
    with log_at(postgres) as log:
        yield log


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def eventually(call: Callable[[], Any], failed: Callable[[], object] = lambda: None) -> Any:
    """What a call returns that is made again until it works."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            return call()
        except AdapterUnavailable:
            assert monotonic() < deadline
            failed()


def check_once(log: Any, *appends: Append) -> None:
    """These appends are the whole log, each of them once, in this order."""
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
def test_an_append_that_is_cut_off_is_made_once_when_it_is_sent_again(
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
        # Given an append that is cut off at one of its steps
        wire.cut_at(said, when)
        with pytest.raises(AdapterUnavailable, match="postgres"):
            log.append(append)
        assert not wire.cuts
        # When it is sent again, and once more
        again, once_more = log.append(append), log.append(append)
    # Then it is there once, and what was made while the answer was lost is found again
    assert again.replayed == made
    assert once_more == evolve(again, replayed=True)
    check_once(direct, first, append)


@FACES
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_append_that_is_cut_off_before_its_first_step_is_made_without_a_word(
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
def test_after_all_connections_of_a_pool_were_dropped_the_very_next_call_works(
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
            # Given a pool that is full of connections that work
            list(threads.map(lambda _: log.append(count_of(1, BOB)), range(24)))
            wire.drop()
            # Then nobody notices
            call(log)
    assert direct.head(ALICE).version == 1
    assert direct.head(BOB).version == 24 * len(calls)


@FACES
def test_however_long_the_wire_was_cut_a_call_after_that_is_served_within_connect_timeout(
    over_wire: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(1, ALICE)
    with log_at(evolve(over_wire, connect_timeout=1.0), blocking) as log:
        log.append(append)
        # Given a wire that stays cut while calls are tried
        wire.cut()
        for _ in range(4):
            with pytest.raises(AdapterUnavailable, match="connect_timeout"):
                log.append(append)
        # When it is mended, then the next call works
        wire.mend()
        assert log.append(append).replayed
    check_once(direct, append)


# Slow


@FACES
def test_a_wire_that_is_slower_than_a_statement_may_be_is_just_slow(
    over_wire: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(1, ALICE)
    with log_at(evolve(over_wire, statement_timeout=0.4), blocking) as log:
        log.head(ALICE)
        # Given a wire on which an answer takes longer than statement_timeout
        wire.delay(0.21)
        # Then the server, which is quick, has nothing to give up
        log.append(append)
    check_once(direct, append)


@FACES
def test_a_wire_that_is_slower_than_both_bounds_is_given_up(
    over_wire: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(1, ALICE)
    settings = evolve(over_wire, statement_timeout=0.5, connect_timeout=0.5)
    with log_at(settings, blocking) as log:
        log.head(ALICE)
        wire.delay(1.5)
        with pytest.raises(AdapterUnavailable, match=r"up and silent.*no answer .* for 1 s"):
            log.append(append)
        wire.mend()
        eventually(lambda: log.append(append))
    check_once(direct, append)


# Half closed


@FACES
def test_a_server_that_hears_and_is_not_heard_is_given_up_in_time(
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
        # Connections that were being made are still waiting for what was swallowed
        eventually(lambda: log.append(append))
    check_once(direct, append)


@FACES
def test_an_append_whose_commit_is_heard_and_not_answered_is_found_again(
    impatient: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    append = count_of(2, ALICE)
    holding = Holding(ALICE, wire.half_close)
    holding.release.set()
    with log_at(impatient, blocking, holding) as log:
        began = monotonic()
        with pytest.raises(AdapterUnavailable, match=r"up and silent.*idempotency_key"):
            log.append(append)
        assert monotonic() - began < SOON
        wire.mend()
        assert eventually(lambda: log.append(append)).replayed
    check_once(direct, append)


def test_a_server_that_does_not_answer_a_new_connection_is_named(
    impatient: PostgresSettings, wire: UnreliableWire
) -> None:
    wire.half_close()
    began = monotonic()
    with pytest.raises(AdapterUnavailable, match="does not answer; try again"):
        Database(impatient, [create_log])
    assert monotonic() - began < SOON


@FACES
def test_a_writer_that_is_lost_without_a_word_does_not_keep_its_ledger(
    impatient: PostgresSettings, wire: UnreliableWire, direct: Any, *, blocking: bool
) -> None:
    lost, other = count_of(2, ALICE), count_of(1, ALICE)
    holding = Holding(ALICE, wire.silence)
    holding.release.set()
    with log_at(impatient, blocking, holding) as log:
        # Given a writer that has the lock of a ledger and is never heard of again
        with pytest.raises(AdapterUnavailable, match="up and silent"):
            log.append(lost)
        # Then another one waits no longer than the server waits to hear
        began = monotonic()
        direct.append(other)
        assert monotonic() - began < SOON
    check_once(direct, other)


# All of it


class Run:
    """Writers and readers that try again for as long as it takes, and somebody who breaks things.

    Attributes:
        acknowledged: the answers to the appends.
        failures: how often somebody was told that it did not work.
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
        """Until there are so many more of something, or all is written."""
        with self._changed:
            target = of() + more
            assert self._changed.wait_for(lambda: self.is_over or of() >= target, PATIENCE)

    def break_things(self, wire: UnreliableWire, chance: random.Random) -> None:
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
                wire.cut_at(b"COMMIT", *chance.choices(whens, k=3))
                self.await_more(lambda: self.failures, 2)
            else:
                getattr(wire, fault)()
                self.await_more(lambda: self.failures, 1)
            wire.mend()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_wire_does_all_that_was_acknowledged_is_there_once_and_read_in_order(
    impatient: PostgresSettings,
    wire: UnreliableWire,
    direct: Any,
    threads: ThreadPoolExecutor,
    *,
    seed: int,
) -> None:
    chance = random.Random(seed)
    # Given four writers, with ledgers of their own and one that they share
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
        # When all kinds of things happen to the wire
        running.append(threads.submit(run.break_things, wire, chance))
        for each in running:
            each.result(2 * PATIENCE)
        tailed = [each.result(2 * PATIENCE) for each in reading]
    # Then every event is there once, where its writer was told that it is
    seen = direct.read(Position(0))
    assert [item.position for item in seen] == list(range(1, events + 1))
    told = [item for appended in run.acknowledged for item in appended.recorded]
    assert sorted(told, key=lambda item: item.position) == list(seen)
    assert {item.event_id for item in seen} == {
        new.event_id for append in appends for new in append.events
    }
    check_ledgers(direct, seen)
    # And those who followed saw the same
    assert tailed == [list(seen), list(seen)]
    assert run.failures
