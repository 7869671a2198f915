"""A few of the requests that ``sh dev soak requests`` makes by the thousand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory, load_settings
from remembrancer.testing.depth import scaled
from tests.soak.foreign import ALIKE, Foreign, Ids, Round, run_round


def memory_on(log: Mapping[str, Any]) -> Memory:
    return Memory(settings=load_settings({"audit_log": dict(log)}, environment={}))


@pytest.mark.slow
@pytest.mark.parametrize("store", ["memory", "sqlite", "postgres"])
def test_requests_of_owners_with_similar_ids_show_and_change_nothing_foreign(
    request: pytest.FixtureRequest, tmp_path: Path, store: str
) -> None:
    log: dict[str, Any] = {"provider": store}
    if store == "sqlite":
        log |= {"path": str(tmp_path / "a.db"), "durability": "normal"}
    if store == "postgres":
        postgres = request.getfixturevalue("postgres")
        log |= {"dsn": postgres.dsn, "schema": postgres.schema, "partitions": 2}
    with memory_on(log) as memory:
        shown = run_round(memory, store, scaled(150), planted=40)
    assert shown > 0


@pytest.mark.parametrize("mine", ALIKE)
def test_planted_facts_are_found_under_every_id(mine: str) -> None:
    ids: Ids = {"user_id": mine}
    with memory_on({"provider": "memory"}) as memory:
        memory.add("I like the boat.", infer=False, user_id=mine)
        memory.add("I like the boat.", infer=False, user_id="somebody else")
        (fact,) = memory.get_all(user_id=mine)
        assert (fact.text, fact.scope.ids()) == ("I like the boat.", ids)


def test_oracle_notices_a_fact_of_somebody_else() -> None:
    with memory_on({"provider": "memory"}) as memory:
        made = Round(memory, "0")
        made.plant(20)
        fact = memory.get(next(iter(made.planted)))
        with pytest.raises(Foreign, match="belongs to"):
            made.check_facts({"user_id": "nobody"}, [fact])
