"""Scores from counts that are inconsistent because of writes between the queries."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from remembrancer.adapters.vector_index.remote.rows import FIELDS, properties, row_of
from remembrancer.adapters.vector_index.remote.scoring import Scoring
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.scope import Scope

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
TEA = row_of(
    properties(
        Document(
            key=(FactId("tea"), 1),
            scope=Scope(user_id="ann"),
            text="green tea",
            context="green tea",
            occurred_at=NOON,
            visible=Interval(start=NOON),
        )
    )
)


def keyword(*, documents: int, holders: int, average: float) -> float:
    scoring = Scoring.of(
        documents=documents,
        names=frozenset(),
        holders={field: {"tea": holders} for field in FIELDS},
        averages=dict.fromkeys(FIELDS, average),
    )
    score = scoring.hit(TEA, None).keyword
    assert score is not None
    return score


def test_more_holders_than_documents_count_as_all_documents() -> None:
    assert keyword(documents=2, holders=9, average=2) == keyword(documents=2, holders=2, average=2)


@pytest.mark.parametrize("holders", [0, 1, 2, 50])
def test_text_has_a_score_if_the_average_length_is_zero(holders: int) -> None:
    assert keyword(documents=1, holders=holders, average=0.0) > 0
