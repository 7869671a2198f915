"""A decision that read one thing before another writer's append and the next thing after it does
not count: it is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from remembrancer import InvalidRequest, Memory, NotFound
from tests.helpers.stores import store_in_memory

BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
ANN: dict[str, Any] = {"user_id": "ann"}


class Meddled:
    """Facts of which somebody changes one just before a slot is read."""

    def __init__(self, facts: Any) -> None:
        self._facts = facts
        self.meanwhile: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._facts, name)

    def in_slots(self, ledger: Any, slots: Sequence[str]) -> Any:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return self._facts.in_slots(ledger, slots)


@pytest.fixture
def race() -> Any:
    """The facts of a slot that two memories change, and the two memories."""
    store = store_in_memory()
    facts = Meddled(store.fact_store)
    overrides = {"store": evolve(store, fact_store=facts)}
    with Memory(overrides=overrides) as one, Memory(overrides=overrides) as other:
        yield facts, one, other


def lives_in(memory: Memory, value: str) -> str:
    receipt = memory.state("user", "lives in", value, valid_from=BEGINNING, **ANN)
    fact_id = receipt.verdicts[0].fact_id
    assert fact_id is not None
    return fact_id


def test_the_same_end_a_second_time_is_refused_in_words(race: Any) -> None:
    facts, one, other = race
    fact_id = lives_in(one, "Oslo")
    at = BEGINNING + timedelta(days=1)
    facts.meanwhile = lambda: other.end(fact_id, at=at)
    with pytest.raises(InvalidRequest, match="the fact ended at"):
        one.end(fact_id, at=at)
    assert one.get(fact_id).valid.end == at


def test_end_of_a_fact_that_was_deleted_meanwhile_finds_nothing(race: Any) -> None:
    facts, one, other = race
    fact_id = lives_in(one, "Oslo")
    one.state("user", "lives in", "Rome", valid_from=BEGINNING - timedelta(days=9), **ANN)
    facts.meanwhile = lambda: other.delete(fact_id)
    with pytest.raises(NotFound, match="retracted"):
        one.end(fact_id, at=BEGINNING + timedelta(days=1))


def test_correction_of_a_fact_that_was_corrected_meanwhile_builds_on_it(race: Any) -> None:
    facts, one, other = race
    fact_id = lives_in(one, "Oslo")
    facts.meanwhile = lambda: other.correct(fact_id, value="Rome")
    later = BEGINNING + timedelta(days=1)
    one.correct(fact_id, valid_from=later)
    found = one.get(fact_id)
    assert (found.statement.value, found.valid.start) == ("Rome", later)
    assert one.verify().ok
