"""Graph leads: how much of the path to a fact a question mentions."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.domain.events import RelationAsserted
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.graph import SAME_AS, View
from remembrancer.domain.graph.relevance import UNSPOKEN, leads
from remembrancer.domain.graph.walk import Reached
from remembrancer.testing.audit_log import NOON, append_of
from remembrancer.testing.knowledge_graph import SCOPE, fact_about, relation

NAMES = ["Ann", "Eve", "Acme", "東京"]


def told(subject: str, predicate: str, object_: str) -> RelationAsserted:
    """A relation that comes from a fact whose id is the relation as text."""
    fact_id = FactId(f"{subject} {predicate} {object_}")
    return relation(subject, predicate, object_, fact_id=fact_id)


def walked(relations: Sequence[RelationAsserted], start: str = "Ann") -> Sequence[Reached]:
    graph = InMemoryKnowledgeGraph()
    log = InMemoryAuditLog(listener=graph)
    if relations:
        log.append(append_of([*relations, fact_about("Ann", "Eve")]))
    return graph.neighbours(View(scope=SCOPE, now=NOON), [start], 2, 100)


def bearings(question: str, *relations: RelationAsserted, start: str = "Ann") -> dict[str, float]:
    return {lead.fact_id: lead.bearing for lead in leads(walked(relations, start), question)}


SISTER, WORKS = told("Eve", "is sister of", "Ann"), told("Eve", "works_at", "Acme")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where does Ann's sister work?", [1.0, 1.0]),
        ("Who is Ann's sister?", [1.0, (1 + UNSPOKEN) / 2]),
        ("Who near Ann is working?", [None, (1 + UNSPOKEN) / 2]),
        ("What does Ann like?", [None, None]),
        ("Does Ann know Eve?", [1.0, (1 + UNSPOKEN) / 2]),
    ],
)
def test_bearing_is_the_share_of_the_path_that_the_question_mentions(
    question: str, expected: list[float | None]
) -> None:
    found = bearings(question, SISTER, WORKS)
    assert [found.get("Eve is sister of Ann"), found.get("Eve works_at Acme")] == expected


def test_one_of_many_relations_of_a_kind_has_a_lower_bearing() -> None:
    liked = [told("Ann", "likes", f"thing {number}") for number in range(5)]
    found = bearings("What does Ann like?", *liked)
    assert set(found.values()) == {1 / (1 + log(5))}


def test_best_lead_comes_first_with_its_path() -> None:
    found = leads(walked([WORKS, SISTER, told("Ann", "knows", "Max")]), "Where is Ann's sister?")
    assert [str(lead.path) for lead in found] == [
        "Ann <-[is sister of]- Eve",
        "Ann <-[is sister of]- Eve -[works_at]-> Acme",
    ]


def test_alias_is_neither_a_step_nor_a_lead() -> None:
    alias = evolve(told("Annie", SAME_AS, "Ann"))
    found = bearings("Who is Annie's sister?", alias, SISTER, start="Annie")
    assert found == {"Eve is sister of Ann": 1.0}


def test_relation_without_fact_is_a_step_but_not_a_lead() -> None:
    found = bearings("Ann's sister", evolve(SISTER, fact_id=None), WORKS)
    assert found == {"Eve works_at Acme": (1 + UNSPOKEN) / 2}


def test_word_matches_as_a_substring_in_scripts_without_spaces() -> None:
    found = bearings("安住在哪里", told("安", "住在", "東京"), start="安")
    assert found == {"安 住在 東京": 1.0}


@given(
    question=st.text(max_size=40) | st.sampled_from(["Ann's sister works", "東京"]),
    relations=st.lists(
        st.builds(
            told,
            st.sampled_from(NAMES),
            st.sampled_from(["is sister of", "works_at", SAME_AS, "住在", "-"]),
            st.sampled_from(NAMES),
        ),
        max_size=8,
        unique_by=lambda one: one.fact_id,
    ),
)
def test_bearings_are_above_0_and_at_most_1(
    question: str, relations: list[RelationAsserted]
) -> None:
    found = leads(walked(relations), question)
    assert all(0.0 < lead.bearing <= 1.0 for lead in found)
    assert len({lead.fact_id for lead in found}) == len(found)
    assert [lead.bearing for lead in found] == sorted(
        (lead.bearing for lead in found), reverse=True
    )
