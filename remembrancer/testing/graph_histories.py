"""Hypothesis strategies for graph events and for views of the graph."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from remembrancer.domain.events import (
    FactAdded,
    FactCorrected,
    FactExpired,
    FactReaffirmed,
    FactRestored,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    FeedbackGiven,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
)
from remembrancer.domain.facts.fact import FactId, FactStatus, Interval, Statement, joined
from remembrancer.domain.graph.graph import SAME_AS, View
from remembrancer.domain.scope import Scope

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
NAMES = ["Ann", "ann ", "Bob", "Zürich", "Zu\u0308rich.", "東京", "C++", "ＴＥＡ", "tea"]
"""Some of them are spellings of one name."""

names = st.sampled_from(NAMES)
fact_ids = st.sampled_from("abcd").map(FactId)
relation_ids = st.sampled_from("rstuv")
moments = st.integers(0, 8).map(lambda hours: NOON + timedelta(hours=hours))
intervals = st.just(Interval()) | st.builds(
    Interval, start=st.none() | moments, end=st.none() | moments
)
# One user only, because an id belongs to one ledger.
scopes = st.builds(
    Scope,
    user_id=st.just("alice"),
    agent_id=st.sampled_from([None, None, "a"]),
    run_id=st.sampled_from([None, None, "r", "s"]),
)


def _in_order(hours: list[int]) -> tuple[Interval, ...]:
    bounds = [NOON + timedelta(hours=hour) for hour in sorted(hours)]
    ends = [*bounds[1::2], None][: len(bounds[::2])]
    return tuple(
        Interval(start=start, end=end) for start, end in zip(bounds[::2], ends, strict=True)
    )


spans = st.lists(st.integers(0, 8), min_size=1, max_size=6, unique=True).map(_in_order)
"""Spans of valid time in order; the last one may have no end."""

entities = st.lists(names | st.just(" "), max_size=4).map(tuple)
events = st.one_of(
    st.builds(
        FactAdded,
        fact_id=fact_ids,
        scope=scopes,
        text=st.just("text"),
        occurred_at=moments,
        entities=entities,
        valid=intervals,
        expires_at=st.none() | moments,
    ),
    st.builds(
        FactRevised,
        fact_id=fact_ids,
        entities=st.none() | entities,
        expires_at=st.none() | moments,
    ),
    st.builds(FactSuperseded, fact_id=fact_ids, ended_at=moments),
    st.builds(FactRetracted, fact_id=fact_ids),
    st.builds(FactExpired, fact_id=fact_ids),
    st.builds(
        FactRestored,
        fact_id=fact_ids,
        to_version=st.integers(1, 3),
        status=st.sampled_from(FactStatus),
        entities=entities,
        valid=intervals,
        interruptions=spans.map(lambda held: joined(held)[1]),
        expires_at=st.none() | moments,
    ),
    st.builds(
        FactCorrected,
        fact_id=fact_ids,
        version=st.just(1),
        statement=st.none()
        | st.builds(
            Statement, subject=names, predicate=st.sampled_from(["knows", "lives_in"]), value=names
        ),
        entities=st.none() | entities,
        valid=st.none() | spans,
        status=st.sampled_from([None, FactStatus.ACTIVE, FactStatus.SUPERSEDED]),
    ),
    st.builds(FactReaffirmed, fact_id=fact_ids),
    st.builds(FeedbackGiven, fact_id=fact_ids, score=st.just(1)),
    *[
        st.builds(
            RelationAsserted,
            relation_id=relation_ids,
            scope=scopes,
            subject=names,
            predicate=st.sampled_from(["knows", "lives_in", SAME_AS]),
            object=names,
            fact_id=st.none() | fact_ids,
            valid=intervals,
        )
    ]
    * 3,
    st.builds(RelationEnded, relation_id=relation_ids, ended_at=moments),
    st.builds(
        RelationReopened,
        relation_id=relation_ids,
        object=st.none() | names,
        valid=intervals,
        expires_at=st.none() | moments,
    ),
)
views = st.builds(
    View,
    scope=scopes,
    now=moments,
    as_of=st.none() | moments,
    valid_at=st.none() | moments,
    ended=st.booleans(),
    mentions=st.booleans(),
)
histories = st.lists(st.lists(events, min_size=1, max_size=4), min_size=1, max_size=8)
"""Lists of appends, for tests that record them one hour apart from ``NOON`` on."""
