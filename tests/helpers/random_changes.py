"""Random histories of one user, made with the methods of a memory."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from remembrancer import InvalidRequest, Memory, NotFound
from remembrancer.application.inline import run_inline
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId

DAYS = [f"2024-05-{day:02}T00:00:00Z" for day in range(1, 8)]
_places = st.integers(0, 5)
_days = st.sampled_from(DAYS)
_cities = st.sampled_from(["Berlin", "Rome", "Oslo"])
_likes = st.sampled_from(["I like tea.", "I like green tea.", "My dog is called Rex."])
_texts = st.sampled_from(["I like coffee.", "I live in Bern."])

changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _likes, st.sampled_from([None, 1, 5])),
        st.tuples(st.just("add"), _cities.map("I live in {}.".format), st.none()),
        st.tuples(st.just("state"), _cities, _days),
        st.tuples(st.just("end"), _places, _days),
        st.tuples(
            st.just("update"), _places, st.sampled_from(["I like coffee.", "I live in Bern."])
        ),
        st.tuples(st.just("correct"), _places, _days),
        st.tuples(st.just("delete"), _places, st.booleans()),
    ),
    min_size=1,
    max_size=8,
)
"""Strategy: changes in their order; the integers are places of facts, or hours until an expiry."""


def events_of(memory: Memory, user: str) -> list[Recorded]:
    """The events of a user's ledger."""
    log: Any = memory._inner._container.lifted_log()
    return list(run_inline(log.read_ledger(LedgerId(f"user:{user}"))))


def carry_out(steps: list[tuple[Any, ...]], memory: Any, clock: Any, user: str) -> list[datetime]:
    """Make changes, an hour apart; those that a memory refuses are left out.

    Returns:
        A time between each two changes.
    """
    between: list[datetime] = []
    for kind, *arguments in steps:
        _CHANGES[kind](memory, user, clock.time, *arguments)
        clock.sleep(1800)
        between.append(clock.time)
        clock.sleep(1800)
    return between


def _add(memory: Any, user: str, now: datetime, text: str, hours: int | None) -> None:
    expires_at = None if hours is None else now + timedelta(hours=hours)
    memory.add(text, user_id=user, expires_at=expires_at)


def _state(memory: Any, user: str, _now: datetime, city: str, day: str) -> None:
    memory.state("user", "lives in", city, valid_from=day, user_id=user)


def _on_a_fact(method: str, name: str) -> Any:
    def change(memory: Any, user: str, _now: datetime, place: int, value: Any) -> None:
        every = [
            fact
            for status in ("active", "superseded", "retracted")
            for fact in memory.get_all(user_id=user, status=status, order="created_at")
        ]
        if not every:
            return
        fact_id = every[place % len(every)].fact_id
        with suppress(InvalidRequest, NotFound):
            getattr(memory, method)(fact_id, user_id=user, **{name: value})

    return change


_CHANGES = {
    "add": _add,
    "state": _state,
    "end": _on_a_fact("end", "at"),
    "update": _on_a_fact("update", "text"),
    "correct": _on_a_fact("correct", "valid_from"),
    "delete": _on_a_fact("delete", "block"),
}
