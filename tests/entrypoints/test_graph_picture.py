"""The SVG picture of a neighbourhood: well formed for any text, without overlapping boxes."""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.application.recall.explore import Exploration
from remembrancer.domain.events import Event
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.graph.graph import (
    SAME_AS,
    Entity,
    Relation,
    View,
    count_links,
    entities_of,
)
from remembrancer.domain.text import normalised
from remembrancer.entrypoints.cli.graph_picture import draw_graph
from remembrancer.testing.audit_log import NOON, append_of
from remembrancer.testing.knowledge_graph import SCOPE, fact_about, relation

LATER = NOON + timedelta(days=1)
SVG = "{http://www.w3.org/2000/svg}"


def drawn(*events: Event, start: str = "Ann") -> ElementTree.Element:
    graph = InMemoryKnowledgeGraph()
    InMemoryAuditLog(listener=graph).append(append_of(events))
    view = View(scope=SCOPE, now=LATER, ended=True)
    (entity, *_) = graph.entities(view, [start]) or [Entity(name=start)]
    reached = tuple(graph.neighbours(view, [entity.name], 3))
    links = [item.link for item in reached]
    synonyms = [link for link in links if isinstance(link, Relation) and link.synonym]
    spelled = {normalised(name): name for link in links for name in link.ends}
    exploration = Exploration(
        start=entity,
        likeness=1.0,
        now=LATER,
        entities=tuple(entities_of(count_links(links), synonyms, spelled)),
        reached=reached,
        facts={},
    )
    picture = draw_graph(exploration)
    assert picture == draw_graph(exploration)
    return ElementTree.fromstring(picture)


def of_class(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [group for group in picture.iter(f"{SVG}g") if name in group.get("class", "").split()]


def texts(groups: list[ElementTree.Element]) -> list[str]:
    return ["|".join(text.text or "" for text in group.iter(f"{SVG}text")) for group in groups]


def test_every_entity_relation_and_fact_is_drawn_once() -> None:
    picture = drawn(
        relation("Ann", "works_at", "Acme", valid=Interval(start=NOON)),
        relation("Annie", SAME_AS, "Ann"),
        fact_about("Annie", "tea"),
    )
    assert sorted(texts(of_class(picture, "entity"))) == ["Acme", "Ann|also Annie", "tea"]
    assert texts(of_class(picture, "label")) == ["works at|since 2024-05-03 12:00"]
    assert (len(of_class(picture, "fact")), len(of_class(picture, "mention"))) == (1, 2)


def test_ended_relation_is_marked() -> None:
    picture = drawn(
        relation("Ann", "lives_in", "Rome", valid=Interval(end=NOON)),
        relation("Ann", "lives_in", "Oslo", valid=Interval(end=LATER + timedelta(days=9))),
    )
    marked = ["over" in group.get("class", "") for group in of_class(picture, "relation")]
    assert sorted(marked) == [False, True]


def test_fact_that_a_relation_states_has_no_box() -> None:
    fact = fact_about("Ann", "Acme")
    picture = drawn(fact, relation("Ann", "works_at", "Acme", fact_id=fact.fact_id))
    assert of_class(picture, "fact") == []


names = st.text(min_size=1, max_size=50).filter(normalised) | st.sampled_from(
    ["Ann", "<b>&", "東京"]
)


@given(
    links=st.lists(
        st.builds(relation, names, st.text(max_size=20), names)
        | st.builds(fact_about, names, names),
        max_size=12,
    )
)
def test_any_texts_give_well_formed_svg_without_overlapping_boxes(links: list[Event]) -> None:
    picture = drawn(relation("Ann", "knows", "Max"), *links)
    boxes = [
        tuple(float(rect.get(side, "")) for side in ("x", "y", "width", "height"))
        for kind in ("entity", "fact")
        for group in of_class(picture, kind)
        for rect in group.iter(f"{SVG}rect")
    ]
    for (x, y, width, height), (left, top, wide, high) in combinations(boxes, 2):
        assert x + width <= left or left + wide <= x or y + height <= top or top + high <= y
