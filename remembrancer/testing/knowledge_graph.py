"""The contract of ``KnowledgeGraph``: walks, names, valid and transaction time, scope."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactExpired,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    RelationAsserted,
    RelationEnded,
)
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.graph.graph import SAME_AS, Entity, Relation, View
from remembrancer.domain.graph.walk import FAN_OUT, Reached
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.testing.audit_log import ALICE, BOB, NOON, append_of, fact_added, new_id
from remembrancer.testing.driving import Driven
from remembrancer.testing.spellings import DIFFERENT, EQUAL

SCOPE = Scope(user_id="alice")
LATER = NOON + timedelta(days=1)


def fact_about(*entities: str, **changes: Any) -> FactAdded:
    """A fact that names entities."""
    return evolve(fact_added(" and ".join(entities)), entities=entities, **changes)


def relation(subject: str, predicate: str, object_: str, **changes: Any) -> RelationAsserted:
    """A relation of Alice's ledger."""
    asserted = RelationAsserted(
        relation_id=new_id(), scope=SCOPE, subject=subject, predicate=predicate, object=object_
    )
    return evolve(asserted, **changes)


class KnowledgeGraphContract:
    """Inherit and implement ``make_graph``."""

    def make_graph(self, tmp_path: Path) -> tuple[Any, Any]:
        """A fresh log, and the graph that applies its appends."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _graph(self, tmp_path: Path) -> None:
        log, graph = self.make_graph(tmp_path)
        self.log, self.graph = Driven(log), Driven(graph)

    def given(self, *events: Event, ledger: LedgerId = ALICE, hours: float = 0) -> None:
        """Append events in one append, ``hours`` after noon."""
        self.log.append(append_of(events, ledger=ledger, at=NOON + timedelta(hours=hours)))

    def near(self, *entities: str, depth: int = 2, limit: int = 100, **view: Any) -> list[Reached]:
        """The neighbourhood in Alice's scope, a day after noon unless changed."""
        found: Sequence[Reached] = self.graph.neighbours(
            evolve(View(scope=SCOPE, now=LATER), **view), entities, depth, limit
        )
        return list(found)

    def paths(self, *entities: str, **options: Any) -> list[str]:
        """The paths of ``near`` as text, without fact ids."""
        return [
            _without_ids(str(reached.path), reached) for reached in self.near(*entities, **options)
        ]

    def related(self, entity: str, limit: int = 100, **view: Any) -> list[str]:
        """The relations of an entity, as ``subject predicate object``."""
        found: Sequence[Relation] = self.graph.relations(
            evolve(View(scope=SCOPE, now=LATER), **view), entity, limit
        )
        return [f"{one.subject} {one.predicate} {one.object}" for one in found]

    def known(
        self, names: Sequence[str] | None = None, limit: int = 100, **view: Any
    ) -> list[Entity]:
        """The entities of the view."""
        found: Sequence[Entity] = self.graph.entities(
            evolve(View(scope=SCOPE, now=LATER), **view), names, limit
        )
        return list(found)

    # Walk

    def test_a_walk_reaches_relations_and_facts_nearest_first_with_their_paths(self) -> None:
        self.given(
            relation("Ann", "sister", "Eve"),
            relation("Max", "works_at", "Acme"),
            relation("Max", "married_to", "Eve"),
            fact_about("Ann", "tea"),
        )
        assert self.paths("ann", depth=1) == ["ann -[sister]-> Eve", "ann -[fact]"]
        assert self.paths("ann") == [
            "ann -[sister]-> Eve",
            "ann -[fact]",
            "ann -[sister]-> Eve <-[married_to]- Max",
        ]
        assert self.paths("ann", depth=3)[-1] == (
            "ann -[sister]-> Eve <-[married_to]- Max -[works_at]-> Acme"
        )
        assert [reached.distance for reached in self.near("ann", depth=3)] == [1, 1, 2, 3]

    def test_entities_named_by_one_fact_are_neighbours(self) -> None:
        self.given(fact_about("Ann", "Lisbon", "fado"), fact_about("Lisbon", "trams"))
        assert self.paths("Ann") == ["Ann -[fact]", "Ann -[fact]- Lisbon -[fact]"]

    def test_view_without_mentions_shows_only_relations(self) -> None:
        self.given(fact_about("Ann", "tea"), fact_about("Eve", "milk"))
        assert self.paths("Ann", mentions=False) == []
        assert self.known(mentions=False) == []
        self.given(relation("Ann", "sister", "Eve"), relation("Annie", SAME_AS, "Ann"))
        assert self.paths("Annie", mentions=False) == [
            "Annie -[same_as]-> Ann",
            "Annie -[same_as]-> Ann -[sister]-> Eve",
        ]
        ann, eve = self.known(mentions=False)
        assert (ann.name, ann.relations, ann.facts) == ("Ann", 1, 0)
        assert (eve.name, eve.relations, eve.facts) == ("Eve", 1, 0)

    def test_walk_over_a_cycle_ends(self) -> None:
        self.given(relation("a", "r", "b"), relation("b", "r", "a"), relation("a", "r", "a"))
        assert self.paths("a", depth=9) == ["a -[r]-> a", "a <-[r]- b", "a -[r]-> b"]

    def test_walk_starts_at_every_known_entity(self) -> None:
        self.given(relation("Ann", "likes", "tea"), relation("Max", "likes", "milk"))
        assert self.paths("Max", "nobody", "Ann", " ", "MAX") == [
            "Max -[likes]-> milk",
            "Ann -[likes]-> tea",
        ]
        assert self.paths("nobody") == []
        assert self.paths() == []

    def test_limit_keeps_the_nearest_and_newest_links(self) -> None:
        self.given(*(relation("Ann", "knows", f"friend {number}") for number in range(5)))
        self.given(relation("friend 4", "knows", "a stranger"))
        assert self.paths("Ann", limit=2) == ["Ann -[knows]-> friend 4", "Ann -[knows]-> friend 3"]
        assert len(self.paths("Ann", limit=6)) == 6

    def test_newest_links_of_a_hub_are_followed(self) -> None:
        self.given(*(relation("hub", "has", f"thing {number}") for number in range(FAN_OUT + 3)))
        self.given(*(fact_about("hub", f"note {number}") for number in range(FAN_OUT + 3)))
        reached = self.paths("hub", depth=1, limit=1000)
        assert len(reached) == 2 * FAN_OUT
        assert reached[0] == f"hub -[has]-> thing {FAN_OUT + 2}"

    def test_a_link_is_as_new_as_its_first_version(self) -> None:
        first, second = fact_about("Ann", "tea"), fact_about("Ann", "milk")
        likes, buys = relation("Ann", "likes", "tea"), relation("Ann", "buys", "milk")
        self.given(first, likes, second, buys)
        self.given(
            FactRevised(fact_id=first.fact_id, entities=("Ann", "green tea")),
            RelationEnded(relation_id=likes.relation_id, ended_at=NOON),
            hours=1,
        )
        links = [reached.link for reached in self.near("Ann", depth=1, ended=True)]
        assert [link.key for link in links] == [
            ("relation", buys.relation_id),
            ("relation", likes.relation_id),
            ("fact", second.fact_id),
            ("fact", first.fact_id),
        ]

    # Names

    def test_names_match_regardless_of_case_spacing_and_width(self) -> None:
        self.given(
            relation("Café  Müller", "in", "Zürich"),
            relation("ＺÜRICH", "in", "Switzerland"),
            fact_about("café müller."),
        )
        assert len(self.paths("CAFÉ MÜLLER")) == 3
        assert [entity.name for entity in self.known()] == ["Café  Müller", "Zürich", "Switzerland"]

    @pytest.mark.parametrize("spellings", EQUAL, ids=str)
    def test_spellings_of_a_name_are_one_entity(self, spellings: tuple[str, ...]) -> None:
        self.given(*(relation(name, "has", f"thing {n}") for n, name in enumerate(spellings)))
        for name in spellings:
            (entity,) = self.known([name])
            assert (entity.name, entity.relations) == (spellings[0], len(spellings))
            assert len(self.related(name)) == len(spellings)

    def test_similar_names_are_different_entities(self) -> None:
        self.given(*(relation(name, "has", "many forms") for name in DIFFERENT))
        for name in DIFFERENT:
            assert self.related(name) == [f"{name} has many forms"]
        assert {entity.name for entity in self.known()} == {*DIFFERENT, "many forms"}

    def test_alias_is_the_same_entity_at_distance_zero(self) -> None:
        self.given(
            relation("Bob", SAME_AS, "Robert Smith"),
            relation("Robert Smith", "works_at", "Acme"),
            relation("Bobby", SAME_AS, "Bob"),
            fact_about("Bobby", "golf"),
        )
        assert [(r.distance, _without_ids(str(r.path), r)) for r in self.near("bob", depth=1)] == [
            (0, "bob -[same_as]-> Robert Smith"),
            (0, "bob <-[same_as]- Bobby"),
            (1, "bob -[same_as]-> Robert Smith -[works_at]-> Acme"),
            (1, "bob <-[same_as]- Bobby -[fact]"),
        ]
        assert self.related("Bobby") == ["Robert Smith works_at Acme"]
        bob = Entity(name="Robert Smith", aliases=("Bob", "Bobby"), relations=1, facts=1)
        assert self.known(["bobby"]) == [bob]
        assert self.known()[0] == bob

    def test_ended_alias_separates_the_entities_again(self) -> None:
        alias = relation("Bob", SAME_AS, "Robert")
        self.given(alias, relation("Robert", "works_at", "Acme"))
        self.given(RelationEnded(relation_id=alias.relation_id, ended_at=NOON), hours=1)
        assert self.related("Bob") == []
        assert self.related("Bob", as_of=NOON, now=NOON) == ["Robert works_at Acme"]
        assert self.known(["Bob"]) == []

    def test_entities_have_link_counts_and_the_highest_come_first(self) -> None:
        self.given(
            relation("Ann", "likes", "tea"),
            relation("Ann", "likes", "Ann"),
            fact_about("tea", "milk"),
            fact_about("tea"),
            fact_about("Ann"),
        )
        assert self.known() == [
            Entity(name="Ann", relations=2, facts=1),
            Entity(name="tea", relations=1, facts=2),
            Entity(name="milk", facts=1),
        ]
        assert self.known(limit=1) == self.known()[:1]
        assert self.known(["MILK", "nobody"]) == [Entity(name="milk", facts=1)]
        assert self.known([]) == []

    def test_special_characters_in_names_are_data(self) -> None:
        name = "x' OR '1'='1\0 --"
        self.given(relation(name, "likes", "y\0z"), fact_about(name), fact_about(" "))
        assert len(self.paths(name)) == 2
        assert self.known([name]) == [Entity(name=name, relations=1, facts=1)]
        assert self.paths("x") == []

    # Valid time and transaction time

    def test_ended_relation_is_found_only_for_its_time(self) -> None:
        lived = relation("Ann", "lives_in", "Paris", valid=Interval(start=NOON))
        moved = NOON + timedelta(hours=5)
        self.given(lived)
        self.given(
            RelationEnded(relation_id=lived.relation_id, ended_at=moved),
            relation("Ann", "lives_in", "Rome", valid=Interval(start=moved)),
            hours=6,
        )
        assert self.related("Ann") == ["Ann lives_in Rome"]
        assert self.related("Ann", ended=True) == ["Ann lives_in Rome", "Ann lives_in Paris"]
        assert self.related("Ann", valid_at=NOON) == ["Ann lives_in Paris"]
        assert self.related("Ann", valid_at=moved) == ["Ann lives_in Rome"]
        assert self.related("Ann", as_of=NOON, now=NOON) == ["Ann lives_in Paris"]
        assert self.related("Ann", as_of=NOON - timedelta(hours=1), now=NOON) == []

    def test_relation_has_both_intervals_and_its_origin(self) -> None:
        fact = fact_about("Ann", "Paris")
        lived = relation("Ann", "lives_in", "Paris", fact_id=fact.fact_id)
        self.given(fact, lived)
        self.given(RelationEnded(relation_id=lived.relation_id, ended_at=LATER), hours=2)
        (found,) = self.graph.relations(View(scope=SCOPE, now=LATER, ended=True), "Ann")
        events = self.log.read(0)
        assert found == Relation(
            relation_id=lived.relation_id,
            scope=SCOPE,
            subject="Ann",
            predicate="lives_in",
            object="Paris",
            fact_id=fact.fact_id,
            position=events[1].position,
            ended_by=events[2].position,
            valid=Interval(end=LATER),
            recorded=Interval(start=events[2].recorded_at),
        )

    def test_a_relation_ends_once_and_is_asserted_once(self) -> None:
        likes = relation("Ann", "likes", "tea")
        self.given(likes, evolve(likes, object="milk"))
        self.given(RelationEnded(relation_id=likes.relation_id, ended_at=NOON))
        self.given(RelationEnded(relation_id=likes.relation_id, ended_at=LATER))
        self.given(likes, RelationEnded(relation_id=new_id(), ended_at=NOON))
        (found,) = self.graph.relations(View(scope=SCOPE, now=LATER, ended=True), "Ann")
        assert (found.object, found.valid) == ("tea", Interval(end=NOON))

    def test_valid_at_is_strict_and_without_it_future_relations_are_found(self) -> None:
        self.given(relation("Ann", "visits", "Oslo", valid=Interval(start=LATER)))
        assert self.related("Ann", now=NOON) == ["Ann visits Oslo"]
        assert self.related("Ann", valid_at=NOON) == []

    # Relations follow their fact

    def test_relations_end_with_their_superseded_fact(self) -> None:
        fact = fact_about("Ann", "Acme")
        works = relation("Ann", "works_at", "Acme", fact_id=fact.fact_id)
        over = evolve(works, relation_id=new_id(), object="Bureau", valid=Interval(end=NOON))
        self.given(fact, works, over)
        self.given(FactSuperseded(fact_id=fact.fact_id, ended_at=NOON + timedelta(hours=2)))
        assert self.paths("Ann") == []
        assert len(self.paths("Ann", valid_at=NOON)) == 2
        found = self.graph.relations(View(scope=SCOPE, now=LATER, ended=True), "Ann")
        assert [one.valid.end for one in found] == [NOON, NOON + timedelta(hours=2)]

    def test_relations_are_gone_with_their_retracted_fact(self) -> None:
        fact = fact_about("Ann", "Acme")
        works = relation("Ann", "works_at", "Acme", fact_id=fact.fact_id)
        worked = evolve(works, relation_id=new_id(), object="Bureau")
        self.given(
            fact, works, worked, RelationEnded(relation_id=worked.relation_id, ended_at=NOON)
        )
        self.given(FactRetracted(fact_id=fact.fact_id), hours=2)
        self.given(evolve(works, relation_id=new_id()), hours=3)
        assert self.paths("Ann", ended=True) == []
        assert len(self.paths("Ann", as_of=NOON, now=NOON)) == 2
        assert self.known() == []

    def test_superseded_fact_is_not_changed_by_a_later_retraction(self) -> None:
        fact = fact_about("Ann", "Acme")
        works = relation("Ann", "works_at", "Acme", fact_id=fact.fact_id)
        self.given(fact, works)
        self.given(FactSuperseded(fact_id=fact.fact_id, ended_at=LATER))
        self.given(FactRetracted(fact_id=fact.fact_id), FactExpired(fact_id=fact.fact_id))
        self.given(FactReaffirmed(fact_id=fact.fact_id), FactRetracted(fact_id=FactId(new_id())))
        assert len(self.paths("Ann", valid_at=NOON)) == 2

    def test_a_relation_expires_with_its_fact(self) -> None:
        fact = fact_about("Ann", "Acme", expires_at=LATER)
        self.given(fact, relation("Ann", "visits", "Acme", fact_id=fact.fact_id))
        assert len(self.paths("Ann", now=NOON)) == 2
        assert self.paths("Ann", now=LATER) == []
        longer = LATER + timedelta(days=1)
        self.given(FactRevised(fact_id=fact.fact_id, expires_at=longer), hours=2)
        assert len(self.paths("Ann", now=LATER)) == 2
        assert self.paths("Ann", now=LATER, as_of=NOON) == []
        self.given(FactExpired(fact_id=fact.fact_id), hours=3)
        assert self.paths("Ann", now=NOON) == []

    def test_relation_without_times_has_the_interval_of_its_fact(self) -> None:
        valid = Interval(start=NOON, end=NOON + timedelta(hours=9))
        fact = fact_about("Ann", "Rome", valid=valid)
        self.given(fact, relation("Ann", "visits", "Rome", fact_id=fact.fact_id))
        (found,) = self.graph.relations(View(scope=SCOPE, now=NOON), "Rome")
        assert found.valid == valid

    def test_revised_fact_is_found_by_its_new_entities(self) -> None:
        fact = fact_about("Ann", "Rome")
        self.given(fact)
        self.given(FactRevised(fact_id=fact.fact_id, entities=("Ann", "Oslo")), hours=2)
        assert self.paths("Rome") == []
        assert self.paths("Oslo") == ["Oslo -[fact]"]
        assert self.paths("Rome", as_of=NOON, now=NOON) == ["Rome -[fact]"]
        assert [entity.name for entity in self.known()] == ["Ann", "Oslo"]

    def test_an_event_of_another_ledger_ends_nothing(self) -> None:
        fact = fact_about("Ann")
        works = relation("Ann", "works_at", "Acme", fact_id=fact.fact_id)
        self.given(fact, works)
        self.given(
            FactRetracted(fact_id=fact.fact_id),
            RelationEnded(relation_id=works.relation_id, ended_at=NOON),
            ledger=BOB,
        )
        assert len(self.paths("Ann")) == 2

    # Scope

    def test_view_shows_and_walks_only_links_in_its_scope(self) -> None:
        run = Scope(user_id="alice", run_id="r")
        self.given(
            relation("Ann", "knows", "Eve"),
            relation("Eve", "knows", "Max", scope=run),
            fact_about("Max", "Oslo"),
            relation("Eve", SAME_AS, "Eva", scope=run),
        )
        self.given(relation("Ann", "knows", "Zoe", scope=Scope(user_id="bob")), ledger=BOB)
        assert len(self.near("Ann", depth=3)) == 4
        assert self.paths("Ann", scope=run) == []
        assert self.paths("Eve", depth=3, scope=run) == [
            "Eve -[same_as]-> Eva",
            "Eve -[knows]-> Max",
        ]
        assert self.paths("Ann", scope=Scope(user_id="bob")) == ["Ann -[knows]-> Zoe"]
        assert self.paths("Ann", scope=Scope(user_id="nobody")) == []
        assert [entity.name for entity in self.known(scope=run)] == ["Eva", "Max"]
        assert self.known(scope=Scope(user_id="nobody")) == []
        assert self.related("Eve", scope=Scope(user_id="nobody")) == []


def _without_ids(path: str, reached: Reached) -> str:
    for link in reached.path.links:
        path = path.replace(f"fact {link.fact_id}", "fact")
    return path
