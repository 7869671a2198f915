"""A torture suite of both clocks: what holds when, and what was believed when.

``Claims`` is the reference: what a caller may expect of one predicate with one value at a time. A
memory agrees with it at every valid time, as of every moment, in listings, searches and the graph.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from attrs import define, evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from remembrancer.domain.errors import NotFound
from remembrancer.domain.facts.fact import FactStatus
from remembrancer.domain.facts.verdicts import Decision
from remembrancer.testing.depth import scaled

NOW = datetime(2024, 12, 1, 12, tzinfo=UTC)
"""When a scenario begins."""

_LAST = datetime.max.replace(tzinfo=UTC)


@frozen
class Claim:
    """A value that was told to hold in ``[start, end)``."""

    value: str
    start: datetime
    end: datetime = _LAST


@define
class Claims:
    """The reference model: the claims in the order told, as they were after each change."""

    snapshots: list[tuple[datetime, dict[str, Claim]]] = field(factory=list)

    def tell(self, at: datetime, key: str, claim: Claim | None) -> None:
        """State or correct the claim ``key``; ``None`` withdraws it."""
        claims = {**self.latest, key: claim}
        self._keep(at, {name: each for name, each in claims.items() if each is not None})

    def end(self, at: datetime, key: str, moment: datetime) -> None:
        """End a claim. If it had no end, what it succeeded does not come back."""
        order, ended = list(self.latest), self.latest[key]
        over = {key} | {
            name
            for name, claim in self.latest.items()
            if ended.end == _LAST
            and (claim.start, order.index(name)) < (ended.start, order.index(key))
        }
        self._keep(
            at,
            {
                name: evolve(claim, end=min(claim.end, moment)) if name in over else claim
                for name, claim in self.latest.items()
            },
        )

    def holds(self, valid: datetime, known: datetime | None = None) -> set[str]:
        """What is believed, as of ``known``, to hold at ``valid``: of the claims about that time
        the one that starts last, among equal starts the one told last.
        """
        claims = [c for at, c in self.snapshots if known is None or at <= known]
        found = [c for c in (claims[-1] if claims else {}).values() if c.start <= valid < c.end]
        ranked = sorted(enumerate(found), key=lambda item: (item[1].start, item[0]))
        return {ranked[-1][1].value} if ranked else set()

    @property
    def latest(self) -> dict[str, Claim]:
        """The claims now."""
        return self.snapshots[-1][1] if self.snapshots else {}

    def _keep(self, at: datetime, claims: dict[str, Claim]) -> None:
        self.snapshots.append((at, claims))


class Clock:
    """A clock that a story moves."""

    def __init__(self, time: datetime = NOW) -> None:
        self.time = time

    def now(self) -> datetime:
        """See ``Clock.now``."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        self.time += timedelta(seconds=seconds)


Answers: TypeAlias = dict[str, set[str]]


@define
class Story:
    """Where the user lives, as it is told to a memory, an hour between two sentences."""

    memory: Any
    clock: Clock
    user: str = field(factory=lambda: uuid.uuid4().hex)
    """A user of its own, so that stories can share a store."""

    def state(self, value: str, start: str | datetime, end: str | datetime | None = None) -> str:
        """State a residence; returns the id of its fact."""
        return self.tell(value, _moment(start), None if end is None else _moment(end))[0]

    def tell(self, value: str, start: datetime, end: datetime | None) -> tuple[str, Decision]:
        """State a residence; returns the id of its fact and the decision."""
        self.clock.sleep(3600)
        receipt = self.memory.state(
            "user", "lives in", value, valid_from=start, valid_to=end, user_id=self.user
        )
        verdict = receipt.verdicts[0]
        return verdict.fact_id, verdict.decision

    def end(self, fact_id: str, at: str | datetime) -> None:
        """End a residence."""
        self.clock.sleep(3600)
        self.memory.end(fact_id, at=_moment(at), user_id=self.user)

    def correct(self, fact_id: str, **changes: Any) -> None:
        """Correct a residence."""
        self.clock.sleep(3600)
        self.memory.correct(fact_id, **changes, user_id=self.user)

    def delete(self, fact_id: str) -> None:
        """Withdraw a residence."""
        self.clock.sleep(3600)
        self.memory.delete(fact_id, user_id=self.user)

    def moment(self) -> datetime:
        """A moment between what was told and what will be told."""
        self.clock.sleep(1800)
        return self.clock.time

    def answers(self, valid: datetime, known: datetime | None = None) -> Answers:
        """The residences at a time, from every kind of read."""
        view: dict[str, Any] = {"valid_at": valid, "as_of": known, "user_id": self.user}
        found = self.memory.search("Where does the user live?", limit=100, **view)
        assert found.degraded == ()
        return {
            "get_all": {fact.statement.value for fact in self.memory.get_all(limit=1000, **view)},
            "search": {hit.fact.statement.value for hit in found},
            "graph": self._related(view),
        }

    def _related(self, view: dict[str, Any]) -> set[str]:
        try:
            return {relation.object for relation in self.memory.relations("user", **view)}
        except NotFound:
            return set()

    def expect(self, valid: str | datetime, *values: str, known: datetime | None = None) -> None:
        """Check the residences at a time."""
        answers = self.answers(_moment(valid), known)
        assert answers == {read: set(values) for read in answers}

    def expect_now(self, *values: str, known: datetime | None = None) -> None:
        """Check the residences of today."""
        self.expect(NOW, *values, known=known)


def _moment(written: str | datetime) -> datetime:
    moment = datetime.fromisoformat(written) if isinstance(written, str) else written
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _succession(story: Story) -> None:
    story.state("Berlin", "2024-01-10")
    story.state("London", "2024-02-01")
    story.expect_now("London")
    story.expect("2024-01-31T23:59:59.999999", "Berlin")


def _late_arriving(story: Story) -> None:
    story.state("London", "2024-02-01")
    known = story.moment()
    story.state("Berlin", "2024-01-10")
    story.expect("2024-01-15", "Berlin")
    story.expect_now("London")
    story.expect("2024-01-15", known=known)


def _late_between(story: Story) -> None:
    story.state("Berlin", "2024-01-10")
    story.state("York", "2024-06-02")
    known = story.moment()
    story.state("London", "2024-03-15")
    story.expect("2024-02-01", "Berlin")
    story.expect("2024-04-01", "London")
    story.expect("2024-07-01", "York")
    story.expect("2024-04-01", "Berlin", known=known)


def _correction(story: Story) -> None:
    rome = story.state("Rome", "2024-01-10")
    known = story.moment()
    story.correct(rome, value="Milan")
    story.expect("2024-01-15", "Milan")
    story.expect_now("Milan")
    story.expect_now("Rome", known=known)


def _correction_of_the_past(story: Story) -> None:
    berlin = story.state("Berlin", "2024-01-10")
    story.state("London", "2024-02-01")
    known = story.moment()
    story.correct(berlin, value="Bern")
    story.expect("2024-01-15", "Bern")
    story.expect_now("London")
    story.expect("2024-01-15", "Berlin", known=known)


def _future(story: Story) -> None:
    story.state("Berlin", "2024-01-10")
    story.state("Tokyo", "2027-06-01")
    story.expect_now("Berlin")
    story.expect("2027-07-01", "Tokyo")


def _future_cancelled(story: Story) -> None:
    story.state("Berlin", "2024-01-10")
    tokyo = story.state("Tokyo", "2027-06-01")
    known = story.moment()
    story.delete(tokyo)
    story.expect("2027-07-01", "Berlin")
    story.expect("2027-07-01", "Tokyo", known=known)


def _retroactive_end(story: Story) -> None:
    acme = story.state("Berlin", "2024-01-10")
    known = story.moment()
    story.end(acme, "2024-03-15")
    story.expect_now()
    story.expect("2024-02-01", "Berlin")
    story.expect("2024-04-01")
    story.expect("2024-04-01", "Berlin", known=known)


def _bounded(story: Story) -> None:
    story.state("Nice", "2024-03-03", "2024-03-10")
    story.expect("2024-03-02T23:59:59")
    story.expect("2024-03-05", "Nice")
    story.expect("2024-03-11")


def _boundary(story: Story) -> None:
    story.state("Berlin", "2024-01-10")
    story.state("London", "2024-02-01")
    story.state("Nice", "2024-03-01", "2024-04-01")
    story.expect("2024-01-10", "Berlin")
    story.expect("2024-02-01", "London")
    story.expect("2024-03-01", "Nice")
    story.expect("2024-04-01", "London")


def _several_values(story: Story) -> None:
    for value in ("tea", "coffee"):
        story.clock.sleep(3600)
        story.memory.state("user", "likes", value, single=False, user_id=story.user)
    story.expect(NOW + timedelta(days=1), "tea", "coffee")


def _stay(story: Story) -> None:
    story.state("Paris", "2024-01-10")
    story.state("Nice", "2024-03-01", "2024-04-01")
    story.expect("2024-02-15", "Paris")
    story.expect("2024-03-15", "Nice")
    story.expect("2024-05-01", "Paris")


def _restated(story: Story) -> None:
    first = story.state("Berlin", "2024-01-10")
    assert story.state("Berlin", "2024-02-01") == first
    story.expect_now("Berlin")
    assert len(story.memory.get_all(user_id=story.user)) == 1


def _return(story: Story) -> None:
    story.state("Berlin", "2024-01-10")
    story.state("London", "2024-02-01")
    story.state("Berlin", "2024-03-01")
    story.expect("2024-01-15", "Berlin")
    story.expect("2024-02-15", "London")
    story.expect_now("Berlin")


def _same_time(story: Story) -> None:
    story.state("Berlin", "2024-01-10")
    known = story.moment()
    story.state("London", "2024-01-10")
    story.expect("2024-01-10", "London")
    story.expect_now("London")
    story.expect_now("Berlin", known=known)


def _withdrawn(story: Story) -> None:
    berlin = story.state("Berlin", "2024-01-10")
    known = story.moment()
    story.delete(berlin)
    story.expect_now()
    story.expect_now("Berlin", known=known)


def _zones_of_told_times(story: Story) -> None:
    story.state("Berlin", "2024-01-10T00:00+09:00")
    story.expect("2024-01-09T14:59:59")
    story.expect("2024-01-09T15:00:00", "Berlin")


def _zones_of_asked_times(story: Story) -> None:
    story.state("Berlin", "2024-01-10T00:00")
    story.state("London", "2024-02-01T00:00")
    story.expect("2024-02-01T08:59+09:00", "Berlin")
    story.expect("2024-01-31T19:00-05:00", "London")


def _before_it_was_known(story: Story) -> None:
    known = story.moment()
    story.state("Berlin", "2024-01-10")
    story.expect("2024-01-09")
    story.expect_now(known=known)
    story.expect_now("Berlin")


def _correction_undone(story: Story) -> None:
    rome = story.state("Rome", "2024-01-10")
    story.correct(rome, value="Milan")
    between = story.moment()
    story.correct(rome, value="Rome")
    story.expect_now("Rome")
    story.expect_now("Milan", known=between)


SCENARIOS: dict[str, Callable[[Story], None]] = {
    tell.__name__.strip("_"): tell
    for tell in (
        *(_succession, _late_arriving, _late_between, _correction, _correction_of_the_past),
        *(_future, _future_cancelled, _retroactive_end, _bounded, _boundary, _several_values),
        *(_stay, _restated, _return, _same_time, _withdrawn, _zones_of_told_times),
        *(_zones_of_asked_times, _before_it_was_known, _correction_undone),
    )
}
"""Twenty stories with their answers, by name."""

DAYS = [NOW.replace(hour=0) + timedelta(days=day) for day in range(-4, 5)]
"""The days that told times are from, some of them in the future of the story."""

_days = st.sampled_from(DAYS)
_values = st.sampled_from(["Berlin", "London", "Rome"])
_steps = st.one_of(
    st.tuples(st.just("state"), _values, _days, st.none() | _days),
    st.tuples(st.just("state"), _values, _days, st.none()),
    st.tuples(st.just("end"), st.integers(0, 5), _days),
    st.tuples(st.just("delete"), st.integers(0, 5)),
    st.tuples(st.just("value"), st.integers(0, 5), _values),
    st.tuples(st.just("times"), st.integers(0, 5), _days, st.none() | _days),
)
tellings = st.lists(_steps, min_size=2, max_size=7)
"""Strategy: what is told, step by step; the integers are places of facts."""


@define
class Telling:
    """Tells steps to a memory and to the reference. Steps that must be refused are left out."""

    story: Story
    claims: Claims = field(factory=Claims)

    def tell(self, steps: list[tuple[Any, ...]]) -> None:
        """Tell the steps in order."""
        for kind, *arguments in steps:
            getattr(self, f"_{kind}")(*arguments)

    def check(self) -> None:
        """Compare all reads at all days, as of now and of every moment before."""
        known = [None, *(at + timedelta(minutes=1) for at, _ in self.claims.snapshots[:-1])]
        for moment in known:
            for day in DAYS:
                answers = self.story.answers(day, moment)
                expected = self.claims.holds(day, moment)
                assert answers == dict.fromkeys(answers, expected), (day, moment)

    def _state(self, value: str, start: datetime, end: datetime | None) -> None:
        if end is not None and end <= start:
            return
        fact_id, decision = self.story.tell(value, start, end)
        claim = Claim(value, start, end or _LAST)
        if decision is Decision.REAFFIRM:
            with_it = evolve(self.claims, snapshots=list(self.claims.snapshots))
            with_it.tell(self.story.clock.time, "again", claim)
            assert [with_it.holds(day) for day in DAYS] == [self.claims.holds(d) for d in DAYS]
        else:
            self.claims.tell(self.story.clock.time, fact_id, claim)

    def _end(self, place: int, moment: datetime) -> None:
        for key, claim in self._at(place):
            if claim.start < moment < claim.end:
                self.story.end(key, moment)
                self.claims.end(self.story.clock.time, key, moment)

    def _delete(self, place: int) -> None:
        for key, _ in self._at(place):
            if self.story.memory.get(key).status is FactStatus.ACTIVE:
                self.story.delete(key)
                self.claims.tell(self.story.clock.time, key, None)

    def _value(self, place: int, value: str) -> None:
        for key, claim in self._at(place):
            self.story.correct(key, value=value)
            self.claims.tell(self.story.clock.time, key, evolve(claim, value=value))

    def _times(self, place: int, start: datetime, end: datetime | None) -> None:
        for key, claim in self._at(place):
            if end is None or start < end:
                self.story.correct(key, valid_from=start, valid_to=end)
                told = evolve(claim, start=start, end=end or _LAST)
                self.claims.tell(self.story.clock.time, key, told)

    def _at(self, place: int) -> list[tuple[str, Claim]]:
        told = list(self.claims.latest.items())
        return [told[place % len(told)]] if told else []


class BitemporalContract:
    """Inherit and implement ``make_memory``."""

    examples = 20
    """Examples of the property, at the default depth."""

    def make_memory(self, path: Path, clock: Clock) -> Any:
        """A fresh ``Memory`` with the override ``clock``; ``path`` is an empty folder."""
        raise NotImplementedError

    @contextmanager
    def _story(self) -> Iterator[Story]:
        clock = Clock()
        with TemporaryDirectory() as folder, self.make_memory(Path(folder), clock) as memory:
            yield Story(memory, clock)

    @pytest.mark.parametrize("name", SCENARIOS)
    def test_scenario(self, name: str) -> None:
        with self._story() as story:
            SCENARIOS[name](story)

    def test_a_memory_agrees_with_the_reference_on_both_clocks(self) -> None:
        @settings(max_examples=scaled(self.examples), deadline=None)
        @given(tellings)
        def agree(steps: list[tuple[Any, ...]]) -> None:
            with self._story() as story:
                telling = Telling(story)
                telling.tell(steps)
                telling.check()
                assert story.memory.verify().ok

        agree()
