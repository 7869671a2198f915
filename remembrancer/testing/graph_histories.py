"""Hypothesis strategies for graph events and for views of the graph."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from remembrancer.domain.events import (
    FactAdded,
    FactExpired,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    FeedbackGiven,
    RelationAsserted,
    RelationEnded,
)
from remembrancer.domain.facts.fact import FactId, Interval
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
