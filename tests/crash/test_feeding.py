"""Workers are killed during delivery: no event is lost or duplicated, and no checkpoint is ahead of
the engine.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.testing.depth import scaled, stride
from tests.crash.feeder import fed, feed_for_ever, feed_until, write_for_ever
from tests.helpers.processes import process, was_killed

USERS = ("ann", "ben")
KILLS = scaled(6)
STEP = stride(17)
"""Statements between two kills. 17 does not divide the number of statements per page, so that over
all pages each statement is hit.
"""


def prepare(path: Path, engine: Path) -> None:
    """A ledger with some history that is not delivered to the engine yet."""
    with fed(path, engine) as memory:
        for user in USERS:
            memory.add("I live in Oslo. I like chess.", user_id=user)
            memory.add("I moved to Lisbon.", user_id=user)
            (fact, *_) = memory.get_all(user_id=user).facts
            memory.update(fact.fact_id, "I moved to Porto.")
            memory.add("It rains a lot here.", user_id=user)


def keys(index: Any) -> list[tuple[Any, ...]]:
    """All documents of an index, with their attributes, times and lengths of text and context."""
    with index._connections.reader() as connection:
        return sorted(
            connection.execute(
                "SELECT fact_id, version, occurred_at, visible_from, visible_to, valid_from, "
                "valid_to, speaker, text_length, context_length, attributes, metadata "
                "FROM index_document"
            ).fetchall(),
            key=repr,
        )


def both(memory: Memory) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The documents of the engine, and those of the embedded index."""
    container = memory._inner._container
    return keys(container.vector_index()), keys(container.embedded_index())


def check_promises(memory: Memory) -> None:
    """Check that the engine has all documents of the events up to its checkpoint."""
    container = memory._inner._container
    external, embedded = both(memory)
    partition_states = container.projection_state().partition_states("vector_index")
    if not partition_states or partition_states[0].must_clear:
        return
    assert len(set(external)) == len(external)
    events = container.audit_log().read(0, 1_000)
    passed = {
        getattr(item.event, "fact_id", None)
        for item in events
        if item.position <= partition_states[0].position
    }
    held = {fact_id for fact_id, *_ in external}
    assert {fact_id for fact_id, *_ in embedded if fact_id in passed} <= held


@pytest.mark.slow
@pytest.mark.parametrize("rebuild", [False, True], ids=["catching up", "rebuilding"])
def test_worker_completes_delivery_after_a_kill_at_any_statement(
    tmp_path: Path, rebuild: bool
) -> None:
    # Given a log and an empty engine
    base, base_engine = tmp_path / "base.db", tmp_path / "base-engine.db"
    prepare(base, base_engine)
    at = 1
    while True:
        folder = tmp_path / f"{at}"
        folder.mkdir()
        path, engine = folder / "app.db", folder / "engine.db"
        shutil.copy(base, path)
        shutil.copy(base_engine, engine)
        # When the worker is killed
        killed = was_killed(feed_until, path, engine, rebuild, at)
        with fed(path, engine, batch=3) as memory:
            # Then the checkpoint is not ahead of the engine
            check_promises(memory)
            # And the next worker completes the delivery
            memory.run_worker(once=True)
            external, embedded = both(memory)
            assert external == embedded
            assert memory.stats().lags[0].events == 0
            assert memory.search("Where do I live?", user_id="ann").degraded == ()
        shutil.rmtree(folder)
        if not killed:
            break
        at += STEP
    assert at > 10


@pytest.mark.slow
def test_repeated_kills_of_workers_and_writers_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(4)
    path, engine = tmp_path / "app.db", tmp_path / "engine.db"
    with fed(path, engine, partitions=2):
        pass
    for kill in range(KILLS):
        journal = tmp_path / f"{kill}"
        with (
            process(feed_for_ever, path, engine) as first,
            process(feed_for_ever, path, engine) as second,
            process(write_for_ever, path, engine, journal) as writer,
        ):
            wanted = chance.randrange(1, 12)
            while not journal.exists() or int(journal.read_text() or 0) < wanted:
                writer.join(timeout=0.01)
                assert (writer.exitcode, first.exitcode, second.exitcode) == (None, None, None)
            first.join(timeout=chance.uniform(0, 0.05))
            first.kill()
            second.join(timeout=chance.uniform(0, 0.05))
        with fed(path, engine, partitions=2) as memory:
            memory.run_worker(once=True)
            external, embedded = both(memory)
            assert external == embedded
            assert memory.verify().ok
            assert sum(lag.events for lag in memory.stats().lags) == 0
