"""The plans of listings of the past."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from remembrancer import Memory, load_settings
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.domain.ports.fact_store import FactQuery, Order
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import NOON
from tests.helpers.clock import VirtualClock

FACTS = 2000


@pytest.fixture
def memory(postgres: PostgresSettings) -> Iterator[Memory]:
    """A memory of notes, one a minute, each said a minute before it was recorded."""
    clock = VirtualClock()
    log = {"provider": "postgres", "dsn": postgres.dsn, "schema": postgres.schema}
    with Memory(settings=load_settings({"audit_log": log}), overrides={"clock": clock}) as opened:
        for first in range(0, FACTS, 200):
            clock.time = minute(first + 201)
            said = [
                {"content": f"note {number}", "timestamp": minute(number)}
                for number in range(first, first + 200)
            ]
            opened.add(said, user_id="ann", infer=False)
        yield opened


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def passed_over(plan: dict[str, Any]) -> int:
    """The rows that the parts of a plan read and left out."""
    own = int(plan.get("Rows Removed by Filter", 0))
    return own + sum(passed_over(part) for part in plan.get("Plans", ()))


def test_listing_of_the_past_passes_over_no_later_facts(
    memory: Memory, postgres: PostgresSettings
) -> None:
    scripts = memory._inner._container.fact_store()._scripts
    then = minute(FACTS // 10 + 2)
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(SQL("SET search_path TO {}").format(Identifier(postgres.schema)))
        connection.execute("ANALYZE fact")
        for order in Order:
            statement = next(
                scripts.find(
                    FactQuery(scope=Scope(user_id="ann"), now=then, as_of=then, order=order)
                )
            )
            explain: Any = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.sql}"
            ((((found,),),)) = connection.execute(explain, statement.parameters)
            assert passed_over(found["Plan"]) <= 200, order
            assert found["Plan"]["Actual Rows"] == 100
