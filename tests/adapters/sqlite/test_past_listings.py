"""What a listing of the past costs, counted in steps of SQLite's virtual machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from remembrancer import Memory
from remembrancer.adapters.stores.sqlite.run_script import run_script
from remembrancer.domain.ports.fact_store import FactQuery, Order
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import NOON
from tests.helpers.clock import VirtualClock

FACTS = 3000
STEPS = 10
"""Steps between two calls of the handler."""


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """A memory of notes, one a minute, each said a minute before it was recorded."""
    clock = VirtualClock()
    path = tmp_path_factory.mktemp("past") / "memory.db"
    with Memory(path, overrides={"clock": clock}) as opened:
        for first in range(0, FACTS, 100):
            clock.time = minute(first + 101)
            said = [
                {"content": f"note {number}", "timestamp": minute(number)}
                for number in range(first, first + 100)
            ]
            opened.add(said, user_id="ann", infer=False)
        yield opened


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


@contextmanager
def counted(connection: Any) -> Iterator[list[int]]:
    """Count the steps of the statements on a connection."""
    steps = [0]

    def count() -> int:
        steps[0] += STEPS
        return 0

    connection.set_progress_handler(count, STEPS)
    try:
        yield steps
    finally:
        connection.set_progress_handler(None, STEPS)


@pytest.mark.parametrize("order", Order)
def test_listing_of_the_past_costs_at_most_half_more_than_one_of_the_present(
    order: Order, memory: Memory
) -> None:
    """Acceptance test 3 of the audit."""
    facts = memory._inner._container.fact_store()
    now = minute(FACTS + 200)
    present = FactQuery(scope=Scope(user_id="ann"), now=now, as_of=now, order=order, limit=100)
    past = evolve(present, as_of=minute(FACTS // 10 + 1))

    def steps(query: FactQuery) -> int:
        with facts._database.reader() as connection, counted(connection) as total:
            assert len(run_script(connection, facts._scripts.find(query))) == 100
        return total[0]

    assert 0 < steps(past) <= 1.5 * steps(present)
