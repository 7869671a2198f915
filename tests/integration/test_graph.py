"""The graph inside a memory: what becomes of relations, and how recall finds facts by them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from telling import extractor, fact

from memledger import Memory
from memledger.application.reconciliation import Reconciliation
from memledger.domain.verdicts import Decision, Proposal
from memledger.settings import load_settings

MAY = datetime(2024, 5, 3, 12, tzinfo=UTC)
JUNE = datetime(2024, 6, 3, 12, tzinfo=UTC)


class Revising:
    """Merges whatever is said into the first thing that was said."""

    def __init__(self) -> None:
        self._target: Any = None

    async def reconcile(self, candidates: Any, neighbours: Any) -> Reconciliation:
        proposals = []
        for candidate, near in zip(candidates, neighbours, strict=True):
            if not near:
                proposals.append(Proposal(decision=Decision.ADD))
                continue
            proposals.append(
                Proposal(decision=Decision.REVISE, target=next(iter(near)), text=candidate.text)
            )
        return Reconciliation(proposals=proposals)


def opened(path: Path | None, *facts: dict[str, Any], **overrides: Any) -> Memory:
    log = {"provider": "memory"} if path is None else {"path": str(path)}
    return Memory(
        settings=load_settings({"audit_log": log}, environment={}),
        overrides={"extractor": extractor(*facts), **overrides},
    )


@pytest.fixture(params=["file", "lists"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "graph.db" if request.param == "file" else None


def related(memory: Memory, entity: str, **options: Any) -> list[str]:
    return [
        f"{one.subject} {one.predicate} {one.object}"
        for one in memory.relations(entity, user_id="ann", **options)
    ]


def say(memory: Memory, *facts: dict[str, Any], **named: Any) -> Any:
    given = {"user_id": "ann", "occurred_at": MAY, **named}
    return [memory.add({"content": one["text"], "name": "Ann"}, **given) for one in facts]


LIVES = fact("Ann lives in Oslo with Tom.", ("Ann", "lives in", "Oslo"), ("Ann", "knows", "Tom"))
MOVED = fact("Ann lives in Bergen.", ("Ann", "lives in", "Bergen"), ("Ann", "knows", "Tom"))


class TestRevising:
    def test_what_a_revision_contradicts_ends_and_is_kept_for_its_time(
        self, where: Path | None
    ) -> None:
        with opened(where, LIVES, MOVED, reconciler=Revising()) as memory:
            say(memory, LIVES)
            say(memory, MOVED, occurred_at=JUNE)

            assert related(memory, "Ann") == ["Ann lives in Bergen", "Ann knows Tom"]
            assert "Ann lives in Oslo" in related(memory, "Ann", valid_at=MAY)
            assert memory.verify().ok

    def test_a_correction_by_hand_takes_back_what_the_text_no_longer_tells(
        self, where: Path | None
    ) -> None:
        with opened(where, LIVES) as memory:
            (receipt,) = say(memory, LIVES)
            fact_id = receipt.verdicts[0].fact_id

            memory.update(fact_id, "Ann lives in Bergen with Tom.")

            assert related(memory, "Ann") == ["Ann knows Tom"]
            assert related(memory, "Ann", valid_at=JUNE) == ["Ann knows Tom"]

    def test_a_second_answer_to_what_may_have_many_ends_nothing(self, where: Path | None) -> None:
        tea = fact("Ann likes green tea.", ("Ann", "likes", "green tea"))
        jazz = fact("Ann likes old jazz.", ("Ann", "likes", "old jazz"))
        with opened(where, tea, jazz) as memory:
            say(memory, tea, jazz)

            assert related(memory, "Ann") == ["Ann likes old jazz", "Ann likes green tea"]

    def test_what_can_hold_only_once_ends_with_its_fact(self, where: Path | None) -> None:
        oslo = fact("Ann lives in Oslo.", ("Ann", "lives in", "Oslo"), attribute="residence")
        rome = fact("Ann lives in Rome.", ("Ann", "lives in", "Rome"), attribute="residence")
        with opened(where, oslo, rome) as memory:
            say(memory, oslo)
            say(memory, rome, occurred_at=JUNE)

            assert related(memory, "Ann") == ["Ann lives in Rome"]
            assert related(memory, "Ann", valid_at=MAY) == ["Ann lives in Oslo"]
