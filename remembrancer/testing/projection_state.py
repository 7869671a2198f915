"""The contract of ``ProjectionState``: one lease holder at a time; positions never go back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer.domain.events import EventId
from remembrancer.domain.ports.projection_state import (
    LONGEST_LEASE,
    DeadLetter,
    Feed,
    Lease,
    PartitionState,
)
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import ALICE, BOB, NOON
from remembrancer.testing.driving import Driven

FEED = Feed(projection="vector_index", fingerprint="weaviate/hashing/256")
SHARED = evolve(FEED, partitions=4)
LONG = 1_000.0
"""Seconds; such a lease does not expire during a test."""

GONE = 0.0
"""Seconds; such a lease has expired at once."""


def letter(position: int, ledger: LedgerId = ALICE, feed: Feed = FEED) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(
        projection=feed.projection,
        partition=feed.partition_of(ledger),
        position=Position(position),
        version=position,
        event_id=EventId(f"{position:032x}"),
        ledger=ledger,
        type_name="FactAdded",
        cause="vector: 3 components, not 256",
        tries=3,
        since=NOON + timedelta(seconds=position),
    )


class ProjectionStateContract:
    """Inherit and implement ``make_state``."""

    def make_state(self, tmp_path: Path) -> Any:
        """A fresh, empty state. Two calls with one ``tmp_path`` may return the same object."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _state(self, tmp_path: Path) -> None:
        self.state = Driven(self.make_state(tmp_path))

    def taken(
        self, feed: Feed = FEED, partition: int = 0, owner: str = "ann", seconds: float = LONG
    ) -> Lease:
        """Acquire a lease, which must be free."""
        lease = self.state.acquire(feed, partition, owner=owner, seconds=seconds)
        assert isinstance(lease, Lease)
        return lease

    def refused(self, feed: Feed = FEED, partition: int = 0, owner: str = "bob") -> bool:
        """Whether a lease can't be acquired."""
        return self.state.acquire(feed, partition, owner=owner, seconds=LONG) is None

    def partition_state(self, partition: int = 0) -> PartitionState:
        """The state of one partition."""
        found: PartitionState = self.state.partition_states(FEED.projection)[partition]
        return found

    # Enrol

    def test_projection_is_unknown_before_it_is_enrolled(self) -> None:
        assert list(self.state.partition_states(FEED.projection)) == []
        assert self.state.reach(FEED, ALICE) == 0
        assert self.refused()

    def test_enrolled_projection_starts_at_position_zero(self) -> None:
        self.state.enrol(FEED)
        assert self.state.partition_states(FEED.projection) == [
            PartitionState(
                projection=FEED.projection,
                partition=0,
                fingerprint=FEED.fingerprint,
                position=Position(0),
                owner=None,
                dead=0,
                must_clear=False,
                problem=None,
            )
        ]

    def test_enrolling_again_changes_nothing(self) -> None:
        self.state.enrol(FEED)
        assert self.state.advance(self.taken(), Position(7))
        self.state.enrol(FEED)
        assert self.partition_state().position == 7

    def test_other_fingerprint_is_refused_until_a_restart(self) -> None:
        self.state.enrol(FEED)
        self.state.advance(self.taken(seconds=GONE), Position(7))
        other = evolve(FEED, fingerprint="weaviate/other/3")
        self.state.enrol(other)
        assert self.partition_state().fingerprint == FEED.fingerprint
        assert self.refused(other)
        assert self.state.reach(other, ALICE) == 0
        assert self.state.reach(FEED, ALICE) == 7

    def test_new_partitions_start_at_the_lowest_old_position(self) -> None:
        self.state.enrol(SHARED)
        old = [self.taken(SHARED, partition) for partition in range(4)]
        for lease in old:
            assert self.state.advance(lease, Position(lease.partition + 5))
        fewer = evolve(FEED, partitions=2)
        self.state.enrol(fewer)
        assert [item.position for item in self.state.partition_states(FEED.projection)] == [5, 5]
        # And leases of the old partitions are void
        assert not self.state.advance(old[0], Position(9))
        assert self.refused(SHARED)
        assert self.taken(fewer, 1).position == 5

    def test_dead_letters_move_to_the_new_partitions(self) -> None:
        self.state.enrol(FEED)
        self.state.advance(self.taken(), Position(9), dead=[letter(4), letter(6, BOB)])
        self.state.enrol(SHARED)
        for ledger, position in ((ALICE, 4), (BOB, 6)):
            found = self.state.dead_letters(FEED.projection, partition=SHARED.partition_of(ledger))
            assert position in {item.position for item in found}

    # Leases

    def test_partition_has_one_lease_at_a_time(self) -> None:
        self.state.enrol(FEED)
        lease = self.taken()
        assert self.partition_state().owner == "ann"
        assert self.refused(owner="bob")
        assert self.refused(owner="ann")
        self.state.release(lease)
        assert self.partition_state().owner is None
        assert self.taken(owner="bob").token > lease.token

    def test_partitions_are_leased_independently(self) -> None:
        self.state.enrol(SHARED)
        leases = [self.taken(SHARED, partition, f"w{partition}") for partition in range(4)]
        assert [self.partition_state(partition).owner for partition in range(4)] == [
            "w0",
            "w1",
            "w2",
            "w3",
        ]
        assert self.state.advance(leases[2], Position(3))
        assert [self.partition_state(partition).position for partition in range(4)] == [0, 0, 3, 0]

    def test_expired_lease_is_taken_over(self) -> None:
        self.state.enrol(FEED)
        dead = self.taken(owner="ann", seconds=GONE)
        alive = self.taken(owner="bob")
        # The first owner, if it is still alive, can't record anything
        assert not self.state.advance(dead, Position(5))
        assert self.partition_state().position == 0
        self.state.release(dead, "late")
        assert self.partition_state().owner == "bob"
        assert self.partition_state().problem is None
        assert self.state.advance(alive, Position(3))

    def test_lease_that_ends_in_years_is_none(self) -> None:
        self.state.enrol(FEED)
        strange = self.taken(owner="ann", seconds=2 * LONGEST_LEASE)
        assert self.partition_state().owner is None
        assert self.taken(owner="bob").token > strange.token
        assert not self.state.advance(strange, Position(5))

    def test_released_lease_cannot_advance(self) -> None:
        self.state.enrol(FEED)
        lease = self.taken()
        self.state.release(lease)
        assert not self.state.advance(lease, Position(5))

    def test_exactly_one_of_many_owners_acquires_a_lease(self) -> None:
        self.state.enrol(FEED)
        with ThreadPoolExecutor(8) as threads:
            leases = list(
                threads.map(
                    lambda owner: self.state.acquire(FEED, 0, owner=f"w{owner}", seconds=LONG),
                    range(16),
                )
            )
        assert sum(lease is not None for lease in leases) == 1

    def test_heartbeat_renews_the_leases_of_its_owner(self) -> None:
        self.state.enrol(FEED)
        lease = self.taken(owner="ann", seconds=GONE)
        self.state.renew("ann", [(FEED.projection, 0)], LONG)
        assert self.refused(owner="bob")
        assert self.state.advance(lease, Position(2))

    def test_late_heartbeat_does_not_restore_a_lost_lease(self) -> None:
        self.state.enrol(FEED)
        self.taken(owner="ann", seconds=GONE)
        self.state.release(self.taken(owner="bob"))
        self.state.renew("ann", [(FEED.projection, 0)], LONG)
        assert not self.refused(owner="eve")

    def test_lease_that_the_heartbeat_does_not_name_expires(self) -> None:
        # The answer of acquire was lost, or the call of release
        self.state.enrol(FEED)
        self.taken(owner="ann", seconds=GONE)
        self.state.renew("ann", [], LONG)
        assert not self.refused(owner="ann")

    def test_workers_are_counted_until_they_leave(self) -> None:
        self.state.enrol(FEED)
        assert self.state.renew("ann", [], LONG) == 1
        assert self.state.renew("bob", [], LONG) == 2
        assert self.state.renew("ann", [], LONG) == 2
        self.taken(owner="ann")
        self.state.renew("ann", [], 0)
        assert self.state.renew("bob", [], LONG) == 1
        assert not self.refused(owner="bob")

    # Positions

    def test_a_position_never_goes_back(self) -> None:
        self.state.enrol(FEED)
        lease = self.taken()
        assert self.state.advance(lease, Position(5))
        assert not self.state.advance(lease, Position(4))
        assert self.state.advance(lease, Position(5))
        assert self.partition_state().position == 5

    def test_lease_holds_the_position_to_continue_from(self) -> None:
        self.state.enrol(FEED)
        self.state.advance(self.taken(seconds=GONE), Position(5))
        assert self.taken().position == 5

    def test_problem_is_reported_until_the_next_advance(self) -> None:
        self.state.enrol(FEED)
        self.state.release(self.taken(), "weaviate: connection refused")
        assert self.partition_state().problem == "weaviate: connection refused"
        lease = self.taken()
        assert self.partition_state().problem == "weaviate: connection refused"
        self.state.advance(lease, Position(1))
        assert self.partition_state().problem is None

    # Dead letters

    def test_dead_letters_are_stored_with_the_advance_past_them(self) -> None:
        self.state.enrol(FEED)
        lease = self.taken()
        letters = [letter(8), letter(3), letter(5, BOB)]
        assert self.state.advance(lease, Position(9), dead=letters)
        assert list(self.state.dead_letters(FEED.projection)) == [
            letter(3), letter(5, BOB), letter(8)
        ]  # fmt: skip
        assert self.partition_state().dead == 3
        assert list(self.state.dead_letters(FEED.projection, after=Position(3), limit=1)) == [
            letter(5, BOB)
        ]
        assert list(self.state.dead_letters("knowledge_graph")) == []

    def test_a_lost_lease_records_no_dead_letter(self) -> None:
        self.state.enrol(FEED)
        lost = self.taken(seconds=GONE)
        self.taken(owner="bob")
        assert not self.state.advance(lost, Position(9), dead=[letter(3)])
        assert list(self.state.dead_letters(FEED.projection)) == []

    def test_revived_event_is_no_longer_a_dead_letter(self) -> None:
        self.state.enrol(FEED)
        lease = self.taken()
        self.state.advance(lease, Position(9), dead=[letter(3), letter(5)])
        again = evolve(letter(5), tries=6)
        assert self.state.advance(lease, Position(9), dead=[again], revived=[Position(3)])
        assert list(self.state.dead_letters(FEED.projection)) == [again]

    def test_reach_of_a_ledger_ends_before_its_first_dead_letter(self) -> None:
        self.state.enrol(SHARED)
        for partition in range(4):
            self.state.advance(
                self.taken(SHARED, partition),
                Position(9),
                dead=[letter(6, feed=SHARED), letter(4, feed=SHARED)]
                if partition == SHARED.partition_of(ALICE)
                else [],
            )
        assert self.state.reach(SHARED, ALICE) == 3
        assert self.state.reach(SHARED, BOB) == 9

    # Restart

    def test_restart_clears_first_and_starts_at_position_zero(self) -> None:
        self.state.enrol(SHARED)
        for partition in range(4):
            lease = self.taken(SHARED, partition)
            self.state.advance(lease, Position(9), dead=[letter(3)] if partition == 0 else [])
            self.state.release(lease)
        other = evolve(SHARED, fingerprint="weaviate/other/3")
        # When
        self.state.restart(other)
        # Then only partition 0 can be leased, and it must be cleared first
        assert list(self.state.dead_letters(FEED.projection)) == []
        assert self.state.reach(other, ALICE) == 0
        assert self.refused(SHARED)
        assert self.refused(other, 1)
        lease = self.taken(other)
        assert (lease.position, lease.must_clear) == (0, True)
        assert not self.state.advance(lease, Position(4))
        # And the other partitions after that
        assert self.state.cleared(lease)
        assert not self.taken(other, 1).must_clear
        assert self.state.advance(lease, Position(4))

    def test_restart_waits_for_held_leases(self) -> None:
        self.state.enrol(SHARED)
        busy = self.taken(SHARED, 3)
        self.state.restart(SHARED)
        assert self.refused(SHARED)
        # The held lease can neither advance nor be renewed, so the wait is short
        assert not self.state.advance(busy, Position(9))
        self.state.renew("ann", [], LONG)
        assert self.partition_state(3).owner is None

    def test_interrupted_clear_is_repeated_by_the_next_owner(self) -> None:
        self.state.enrol(FEED)
        self.state.restart(FEED)
        lost = self.taken(seconds=GONE)
        assert self.taken(owner="bob").must_clear
        assert not self.state.cleared(lost)
        assert self.partition_state().must_clear
