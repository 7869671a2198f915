"""The contract of ``VectorIndex``: writes, scores, limits, scope, times and filters."""

from __future__ import annotations

import math
import threading
import uuid
from array import array
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactId, FactKey, Interval
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.filters.parse import parse_filter
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.testing.depth import scaled
from remembrancer.testing.driving import Driven
from remembrancer.testing.filters import attributes, filters
from remembrancer.testing.spellings import EQUAL

DIMENSION = 4
NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
THREADS = 6
CLOSE = 1e-5
"""The largest error of a similarity, for engines that compute in single precision."""


def vector(*components: float) -> Vector:
    """A vector of ``DIMENSION`` components; missing ones are zero."""
    return array("f", [*components, *[0.0] * (DIMENSION - len(components))])


def document(text: str = "", **fields: Any) -> Document:
    """A document of Alice with a fresh key, visible since noon."""
    defaults: dict[str, Any] = {
        "key": (FactId(uuid.uuid4().hex), 1),
        "scope": Scope(user_id="alice"),
        "occurred_at": NOON,
        "visible": Interval(start=NOON),
        "vector": vector(1),
    }
    return Document(text=text, **{**defaults, **fields})


class VectorIndexContract:
    """Inherit and implement ``make_index``.

    Set ``whole_hits`` to false for an index of two engines, where a hit has only the signals of the
    engine that found it.
    """

    whole_hits = True

    def make_index(self, tmp_path: Path) -> Any:
        """A fresh, empty index for vectors of ``DIMENSION`` components."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _index(self, tmp_path: Path) -> None:
        self.index = Driven(self.make_index(tmp_path))

    def search(self, text: str | None = None, **changes: Any) -> list[Hit]:
        """Search in Alice's scope, an hour after noon unless changed."""
        query = IndexQuery(scope=Scope(user_id="alice"), text=text, now=LATER)
        hits: list[Hit] = self.index.search(evolve(query, **changes))
        return hits

    def keys(self, text: str | None = None, **changes: Any) -> list[FactKey]:
        """The keys of ``search``, best first."""
        return [hit.key for hit in self.search(text, **changes)]

    # Write

    def test_an_empty_index_finds_nothing(self) -> None:
        assert self.search("tea", vector=vector(1)) == []
        assert self.index.count(LedgerId("user:alice")) == 0
        assert list(self.index.speakers(LedgerId("user:alice"))) == []
        assert dict(self.index.vectors_for(["tea"])) == {}

    def test_document_is_found_at_once_by_vector_and_by_keyword(self) -> None:
        tea = document("green tea", vector=vector(1), speaker="Alice", valid=Interval(start=NOON))
        self.index.put([tea])
        assert self.keys("tea") == [tea.key]
        (hit,) = self.search(vector=vector(2))
        assert (hit.key, hit.speaker, hit.occurred_at, hit.valid) == (
            tea.key,
            "Alice",
            NOON,
            Interval(start=NOON),
        )
        assert self.index.count(LedgerId("user:alice")) == 1

    def test_putting_a_document_again_changes_nothing(self) -> None:
        documents = [document("green tea"), document("black coffee", context="at the station")]
        self.index.put(documents)
        before = self.search("green station", vector=vector(1, 1))
        self.index.put(documents)
        self.index.put(documents[:1] * 3)
        assert self.search("green station", vector=vector(1, 1)) == before
        assert self.index.count(LedgerId("user:alice")) == 2

    def test_document_replaces_the_one_with_its_key(self) -> None:
        old = document("lives in Paris", vector=vector(1), speaker="Alice", entities=("Paris",))
        new = evolve(old, text="lives in Berlin", vector=vector(0, 1), speaker="A.", entities=())
        other = document("likes Rome", vector=vector(0, 0, 1))
        self.index.put([old, other])
        self.index.put([new])
        assert self.keys("Paris") == []
        assert self.keys("Berlin") == [old.key]
        (hit, _) = self.search(vector=vector(0, 1))
        assert (hit.key, hit.similarity, hit.speaker) == (old.key, 1.0, "A.")
        assert self.index.count(LedgerId("user:alice")) == 2
        assert list(self.index.speakers(LedgerId("user:alice"))) == ["A."]

    def test_last_document_of_a_key_in_a_batch_is_kept(self) -> None:
        old = document("Paris")
        self.index.put([old, evolve(old, text="Berlin")])
        assert self.keys("Paris") == []
        assert self.keys("Berlin") == [old.key]

    def test_versions_of_a_fact_are_separate_documents(self) -> None:
        one = document("tea")
        two = evolve(one, key=(one.key[0], 2))
        self.index.put([one])
        self.index.put([two])
        assert self.keys("tea") == [one.key, two.key]

    def test_document_moved_to_another_owner_leaves_the_first(self) -> None:
        tea = document("tea")
        self.index.put([tea])
        self.index.put([evolve(tea, scope=Scope(user_id="bob"))])
        assert self.search("tea") == []
        assert self.keys("tea", scope=Scope(user_id="bob")) == [tea.key]
        assert self.index.count(LedgerId("user:alice")) == 0

    def test_removed_document_leaves_no_trace(self) -> None:
        gone = document("secret tea", speaker="Alice", entities=("Tea House",))
        kept = document("coffee", speaker="Bob", vector=vector(0, 1))
        self.index.put([gone, kept])
        self.index.remove([gone.key, gone.key, (FactId("unknown"), 1)])
        assert self.keys("secret Tea House coffee", vector=vector(1)) == [kept.key]
        assert self.index.count(LedgerId("user:alice")) == 1
        assert list(self.index.speakers(LedgerId("user:alice"))) == ["Bob"]
        assert list(self.index.vectors_for(["secret tea", "coffee"])) == ["coffee"]

    def test_removing_one_of_two_equal_texts_keeps_the_other(self) -> None:
        one, two = document("tea"), document("tea")
        self.index.put([one, two])
        self.index.remove([one.key])
        (hit,) = self.search("tea", vector=vector(1))
        assert (hit.key, hit.similarity) == (two.key, 1.0)

    def test_removed_document_can_be_put_again(self) -> None:
        tea = document("tea")
        self.index.put([tea])
        self.index.remove([tea.key])
        self.index.put([tea])
        assert self.keys("tea") == [tea.key]

    def test_empty_put_and_empty_remove_do_nothing(self) -> None:
        self.index.put([])
        self.index.remove([])

    # Vectors

    def test_hits_are_ordered_by_cosine_similarity(self) -> None:
        angles = [0.1, 0.7, 1.9, 3.0]
        documents = [document(vector=vector(math.cos(a), math.sin(a))) for a in angles]
        self.index.put(list(reversed(documents)))
        hits = self.search(vector=vector(3))
        assert [hit.key for hit in hits] == [each.key for each in documents]
        for hit, angle in zip(hits, angles, strict=True):
            assert hit.similarity == pytest.approx(math.cos(angle), abs=CLOSE)
            assert (hit.keyword, hit.context) == (None, None)

    def test_vector_length_does_not_change_the_similarity(self) -> None:
        self.index.put([document(vector=vector(*[x] * DIMENSION)) for x in (1e-30, 1, 1e30)])
        hits = self.search(vector=vector(*[1e-20] * DIMENSION))
        assert [hit.similarity for hit in hits] == pytest.approx([1.0] * 3, abs=CLOSE)

    def test_zero_vector_has_similarity_zero(self) -> None:
        self.index.put([document(vector=vector(0)), document(vector=vector(1))])
        assert sorted(hit.similarity or 0 for hit in self.search(vector=vector(1))) == [0.0, 1.0]
        assert [hit.similarity for hit in self.search(vector=vector(0))] == [0.0, 0.0]

    def test_document_without_a_vector_is_found_only_by_keyword(self) -> None:
        waiting = document("tea", vector=None)
        self.index.put([waiting])
        assert self.search(vector=vector(1)) == []
        (hit,) = self.search("tea", vector=vector(1))
        assert hit.similarity is None
        self.index.put([evolve(waiting, vector=vector(1))])
        (hit,) = self.search("tea", vector=vector(1))
        assert hit.similarity == pytest.approx(1.0, abs=CLOSE)

    def test_vectors_for_returns_the_vectors_of_stored_texts(self) -> None:
        self.index.put([document("tea", vector=vector(1, 2)), document("milk", vector=None)])
        assert dict(self.index.vectors_for(["milk", "tea", "gin"])) == {"tea": vector(1, 2)}

    @pytest.mark.parametrize(
        "bad",
        [
            array("f", [1.0] * (DIMENSION + 1)),
            array("f"),
            vector(1, math.nan),
            vector(1, math.inf),
            vector(-math.inf),
        ],
    )
    def test_bad_vector_is_refused_and_nothing_is_written(self, bad: Vector) -> None:
        good = document("tea")
        self.index.put([good])
        with pytest.raises(InvalidRequest, match="vector"):
            self.index.put([document("coffee"), document("cocoa", vector=bad)])
        with pytest.raises(InvalidRequest, match="vector"):
            self.search(vector=bad)
        assert self.keys("tea coffee cocoa", vector=vector(1)) == [good.key]

    def test_query_without_text_and_vector_or_with_limit_zero_is_refused(self) -> None:
        with pytest.raises(InvalidRequest):
            self.search()
        with pytest.raises(InvalidRequest):
            self.search("tea", limit=0)

    # Keywords

    def test_document_with_all_query_words_scores_above_one_with_some(
        self,
    ) -> None:
        whole = document("Caroline moved to Zürich", vector=None)
        part = document("Caroline stayed in Berlin", vector=None)
        none = document("something else entirely", vector=None)
        self.index.put([part, none, whole])
        hits = self.search("Zürich Caroline")
        assert [hit.key for hit in hits] == [whole.key, part.key]
        first, second = (hit.keyword or 0.0 for hit in hits)
        assert first == pytest.approx(1.0, abs=0.2)
        assert 0 < second < first / 2

    def test_words_that_are_rare_in_the_ledger_score_higher(self) -> None:
        common = [document("tea with milk", vector=None) for _ in range(5)]
        rare = document("tea with saffron", vector=None)
        self.index.put([*common, rare])
        hits = self.search("milk saffron")
        assert hits[0].key == rare.key
        # Documents of other ledgers do not change the rarity of words.
        scores = [hit.keyword for hit in hits]
        theirs = [document("saffron", scope=Scope(user_id="bob"), vector=None) for _ in range(9)]
        self.index.put(theirs)
        assert [hit.keyword for hit in self.search("milk saffron")] == scores

    def test_unknown_query_words_lower_the_score(self) -> None:
        self.index.put([document("green tea", vector=None), document("coffee", vector=None)])
        (sure,) = self.search("green tea")
        (unsure,) = self.search("green tea xylophone")
        assert 0 < (unsure.keyword or 0) < (sure.keyword or 0)

    def test_context_is_scored_as_a_separate_field(self) -> None:
        said = document("Yes, twice", context="Have you been to Lisbon? Alice", vector=None)
        city = document("Lisbon is old", context="tell me", vector=None)
        self.index.put([said, city])
        by_key = {hit.key: hit for hit in self.search("Lisbon")}
        assert by_key.keys() == {said.key, city.key}
        assert (by_key[said.key].keyword, by_key[city.key].context) == (0.0, 0.0)
        assert (by_key[said.key].context or 0) > 0 < (by_key[city.key].keyword or 0)

    def test_query_of_punctuation_only_has_no_keyword_signal(self) -> None:
        self.index.put([document("tea?")])
        assert self.search("?!") == []
        (hit,) = self.search("?!", vector=vector(1))
        assert (hit.keyword, hit.context) == (None, None)

    @pytest.mark.parametrize(
        ("said", "asked"),
        [
            ("カロリンは東京に住んでいます", "東京"),
            ("她住在苏黎世", "苏黎世"),
            ("서울에서 살아요", "서울"),
            ("เขาอยู่กรุงเทพ", "กรุงเทพ"),
            ("Café Müller in Łódź", "cafe muller"),
            ("naïve Ångström", "NAÏVE"),
            ("Она живёт в Москве", "москве"),
            ("🏔 hiking", "Hiking"),
        ],
    )
    def test_words_are_found_in_any_script(self, said: str, asked: str) -> None:
        here, there = document(said, vector=None), document("nothing of the sort", vector=None)
        self.index.put([here, there])
        assert self.keys(asked) == [here.key]

    def test_texts_of_any_size_and_content_are_accepted(self) -> None:
        texts = ["", " ", "\x01\t\n", "'; DROP TABLE x; --", "a" * 100_000, "tea " * 10_000, "😀"]
        documents = [document(text, context=text, entities=(text,)) for text in texts]
        self.index.put(documents)
        assert set(self.keys("tea", vector=vector(1))) == {each.key for each in documents}
        assert self.keys("a" * 100_000, vector=vector(1))

    # Entities

    def test_entities_named_in_the_query_are_matched(self) -> None:
        both = document("they met", entities=("Caroline", "Museum of Modern Art"), vector=None)
        one = document("she met them", entities=("caroline",), vector=None)
        none = document("nobody met", entities=("Zürich",), vector=None)
        self.index.put([both, one, none])
        asked = "Who met Caroline's friend at the Museum of Modern Art, or in Atlantis?"
        shares = {hit.key: hit.entities for hit in self.search(asked)}
        assert shares == {both.key: 1.0, one.key: 0.5, none.key: 0.0}
        shares = {hit.key: hit.entities for hit in self.search("who met caroline")}
        assert shares == {both.key: 1.0, one.key: 1.0, none.key: 0.0}

    @pytest.mark.parametrize("spellings", EQUAL, ids=str)
    def test_entity_is_matched_in_every_spelling(self, spellings: tuple[str, ...]) -> None:
        documents = [document("they met", entities=(name,), vector=None) for name in spellings]
        self.index.put([*documents, document("nobody met", entities=("Paris",), vector=None)])
        for name in spellings:
            matched = [hit.key for hit in self.search(f"who met {name} there") if hit.entities]
            assert sorted(matched) == sorted(each.key for each in documents)

    def test_similar_names_are_different_entities(self) -> None:
        names = ["C", "C++", "C#", "NET", ".NET", "Zoe", "Zoë", "Ann", "Anna"]
        found = {name: document("they met", entities=(name,), vector=None) for name in names}
        self.index.put(list(found.values()))
        for name in names:
            matched = [hit.key for hit in self.search(f"they met {name} there") if hit.entities]
            assert matched == [found[name].key]

    def test_query_without_a_known_entity_has_no_entity_signal(self) -> None:
        self.index.put([document("they met", entities=("Caroline",))])
        (hit,) = self.search("who met Atlantis", vector=vector(1))
        assert hit.entities is None

    def test_speakers_are_listed_per_ledger(self) -> None:
        documents = [
            *(document("x", speaker=name) for name in ("Bob", "Alice", "Bob", None)),
            document("x", speaker="Eve", scope=Scope(user_id="eve")),
        ]
        self.index.put(documents)
        assert sorted(self.index.speakers(LedgerId("user:alice"))) == ["Alice", "Bob"]

    # Union of signals, order and limit

    def test_best_hits_of_each_signal_are_returned_with_all_signals(self) -> None:
        if not self.whole_hits:
            pytest.skip("declared: a hit has only the signals of the engine that found it")
        near = document("nothing of it", vector=vector(1, 0.1))
        worded = document("saffron", vector=vector(-1))
        around = document("nor this", context="saffron", vector=vector(-1, 0.1))
        rest = [document(f"word{n}", vector=vector(0, 0, 1)) for n in range(5)]
        self.index.put([*rest, around, worded, near])
        hits = {hit.key: hit for hit in self.search("saffron", vector=vector(1), limit=1)}
        assert hits.keys() == {near.key, worded.key, around.key}
        assert hits[worded.key].similarity == pytest.approx(-1.0, abs=CLOSE)
        assert (hits[near.key].keyword, hits[near.key].context) == (0.0, 0.0)
        assert all(hit.keyword is not None and hit.context is not None for hit in hits.values())

    def test_hits_are_ordered_by_the_mean_of_the_known_signals(self) -> None:
        self.index.put(
            [
                document("tea", vector=None),
                document("green tea", vector=vector(1, 1)),
                document("coffee", context="green", vector=vector(1)),
                document("milk", vector=vector(0, 1)),
            ]
        )

        def mean(hit: Hit) -> float:
            signals = (hit.similarity, hit.keyword, hit.context, hit.entities)
            known = [signal for signal in signals if signal is not None]
            return sum(known) / len(known)

        hits = self.search("green tea", vector=vector(1))
        assert len(hits) == 4
        assert hits == sorted(hits, key=lambda hit: (-mean(hit), hit.key))

    def test_ties_are_ordered_by_key_also_at_the_limit(self) -> None:
        keys = [(FactId(name), version) for name in ("a", "b", "c") for version in (1, 2, 10)]
        documents = [document("tea", key=key, vector=vector(1, 1)) for key in keys]
        self.index.put(documents[::-2])
        self.index.put(documents[-2::-2])
        assert self.keys("tea", vector=vector(1), limit=4) == keys[:4]
        assert self.keys("tea", vector=vector(1)) == keys

    def test_limit_applies_to_each_signal(self) -> None:
        self.index.put([document("tea", vector=vector(1, n)) for n in range(20)])
        assert len(self.search(vector=vector(1), limit=3)) == 3
        assert len(self.search("tea", limit=3)) == 3
        assert 3 <= len(self.search("tea", vector=vector(1), limit=3)) <= 6

    # Scope

    def test_documents_of_another_ledger_are_never_found(self) -> None:
        scopes = [
            Scope(user_id="alice"),
            Scope(user_id="alice' OR '1'='1"),
            Scope(user_id='alice"; --'),
            Scope(user_id="al%"),
            Scope(user_id="ALICE"),
            Scope(user_id="alice "),
            Scope(user_id="алиса"),
            Scope(agent_id="alice"),
            Scope(run_id="alice"),
            Scope(user_id="agent:alice"),
            Scope(user_id="bob", agent_id="alice"),
        ]
        documents = [document("tea", scope=scope) for scope in scopes]
        self.index.put(documents)
        for scope, own in zip(scopes, documents, strict=True):
            assert self.keys("tea", vector=vector(1), scope=scope) == [own.key]
            assert self.index.count(scope.ledger) == 1
        assert self.keys("tea", scope=Scope(user_id="a_ice")) == []

    def test_scope_finds_the_documents_that_it_covers(self) -> None:
        ids: list[dict[str, str]] = [
            {},
            {"agent_id": "a"},
            {"run_id": "r"},
            {"agent_id": "a", "run_id": "r"},
            {"agent_id": "b", "app_id": "'"},
        ]
        documents = [document("tea", scope=Scope(user_id="alice", **each)) for each in ids]
        self.index.put(documents)
        for each in [*ids, {"app_id": "none"}]:
            scope = Scope(user_id="alice", **each)
            expected = {own.key for own in documents if scope.covers(own.scope)}
            assert set(self.keys("tea", vector=vector(1), scope=scope)) == expected

    def test_scope_is_applied_before_the_limit(self) -> None:
        rest = [document("tea", vector=vector(1)) for _ in range(10)]
        mine = document("tea time", scope=Scope(user_id="alice", run_id="r"), vector=vector(0, 1))
        self.index.put([*rest, mine])
        scope = Scope(user_id="alice", run_id="r")
        assert self.keys("tea", vector=vector(1), limit=1, scope=scope) == [mine.key]

    # Times

    def test_as_of_finds_the_documents_that_were_visible_then(self) -> None:
        hours = [NOON + timedelta(hours=n) for n in range(4)]
        old = document("lives in Paris", visible=Interval(start=hours[0], end=hours[1]))
        new = document("lives in Berlin", visible=Interval(start=hours[1], end=hours[2]))
        self.index.put([old, new])
        before = NOON - timedelta(microseconds=1)
        expected = [(before, []), (hours[0], [old.key]), (hours[1], [new.key]), (hours[2], [])]
        for moment, keys in expected:
            assert self.keys("lives", vector=vector(1), as_of=moment, now=hours[3]) == keys

    def test_search_without_as_of_finds_every_document_that_has_not_ended(self) -> None:
        ended = document("tea", visible=Interval(start=NOON, end=LATER))
        open_ended = document("tea", visible=Interval(start=NOON))
        # Written by a machine whose clock is ahead: read-your-writes must hold.
        ahead = document("tea", visible=Interval(start=LATER + timedelta(hours=1)))
        always = document("tea", visible=Interval())
        self.index.put([ended, open_ended, ahead, always])
        assert set(self.keys("tea")) == {open_ended.key, ahead.key, always.key}
        assert set(self.keys("tea", now=NOON)) == {
            each.key for each in (ended, open_ended, ahead, always)
        }

    def test_valid_at_is_strict_and_without_it_future_documents_are_found(self) -> None:
        past = document("tea", valid=Interval(end=NOON))
        present = document("tea", valid=Interval(start=NOON, end=LATER + timedelta(hours=1)))
        future = document("tea", valid=Interval(start=LATER + timedelta(hours=1)))
        always = document("tea")
        self.index.put([past, present, future, always])
        assert set(self.keys("tea")) == {present.key, future.key, always.key}
        assert set(self.keys("tea", valid_at=NOON)) == {present.key, always.key}
        assert set(self.keys("tea", valid_at=NOON - timedelta(1))) == {past.key, always.key}
        # With as_of: documents that had not ended at that time.
        assert set(self.keys("tea", as_of=NOON, now=NOON + timedelta(days=9))) == {
            present.key,
            future.key,
            always.key,
        }

    def test_ended_version_is_found_only_for_its_time(self) -> None:
        tea = document("tea")
        self.index.put([tea])
        assert self.keys("tea") == [tea.key]
        self.index.put([evolve(tea, visible=Interval(start=NOON, end=LATER))])
        assert self.keys("tea") == []
        assert self.keys("tea", as_of=NOON) == [tea.key]

    def test_times_are_compared_across_time_zones(self) -> None:
        zone = datetime.fromisoformat("2024-05-03T15:30:00.000001+03:30")
        tea = document("tea", visible=Interval(start=NOON, end=zone))
        self.index.put([tea])
        assert self.keys("tea", as_of=NOON) == [tea.key]
        assert self.keys("tea", as_of=NOON + timedelta(microseconds=1)) == []

    # Filters

    def test_filter_is_applied_before_the_limit(self) -> None:
        rest = [document("tea", attributes={"metadata": {"n": n}}) for n in range(30)]
        mine = document("tea time", attributes={"metadata": {"mine": True}}, vector=vector(0.1, 1))
        self.index.put([*rest, mine])
        where = parse_filter({"mine": True})
        assert self.keys("tea", vector=vector(1), limit=1, where=where) == [mine.key]
        assert self.keys("tea", vector=vector(1), where=parse_filter({"mine": False})) == []

    def test_filters_match_the_last_attributes_of_a_document(self) -> None:
        tea = document("tea", attributes={"metadata": {"n": 1}})
        self.index.put([tea])
        self.index.put([evolve(tea, attributes={"metadata": {"n": 2}})])
        assert self.keys("tea", where=parse_filter({"n": 1})) == []
        assert self.keys("tea", where=parse_filter({"n": 2})) == [tea.key]

    # Subclasses share this test, which Hypothesis reports; here that is harmless.
    @settings(
        max_examples=scaled(60),
        # A remote engine on a busy machine can be slow.
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(data=st.data(), records=st.lists(attributes(), min_size=1, max_size=8))
    def test_any_filter_finds_the_documents_that_match_it(
        self, data: st.DataObject, records: list[dict[str, Any]]
    ) -> None:
        scope = Scope(user_id=uuid.uuid4().hex)
        documents = [
            document("tea", scope=scope, attributes=record, vector=vector(1, n))
            for n, record in enumerate(records)
        ]
        self.index.put(documents)
        where = data.draw(filters(records))
        passing = [each.key for each in documents if matches(where, each.attributes)]
        limit = data.draw(st.integers(1, 4))
        found = self.keys(vector=vector(1), scope=scope, where=where, limit=limit)
        assert found == passing[:limit]
        by_word = self.keys("tea", scope=scope, where=where, limit=limit)
        assert by_word == sorted(passing)[:limit]

    # Threads

    def test_threads_read_their_own_writes_and_none_of_other_ledgers(self) -> None:
        start = threading.Barrier(THREADS)

        def work(name: str) -> None:
            scope = Scope(user_id=name)
            written: list[FactKey] = []
            start.wait()
            for n in range(15):
                own = document("tea", scope=scope, key=(FactId(f"{name}-{n:02}"), 1))
                self.index.put([own])
                written.append(own.key)
                if n % 4 == 3:
                    self.index.remove([written.pop(0)])
                assert self.keys("tea", vector=vector(1), scope=scope) == written

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, [f"owner {n}" for n in range(THREADS)]))

    def test_threads_can_write_to_one_ledger(self) -> None:
        def work(name: str) -> None:
            for n in range(15):
                own = document("tea", key=(FactId(f"{name}-{n:02}"), 1))
                self.index.put([own])
                assert own.key in self.keys("tea", vector=vector(1))

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, [f"thread {n}" for n in range(THREADS)]))
        assert self.index.count(LedgerId("user:alice")) == 15 * THREADS
        assert len(self.search("tea", vector=vector(1))) == 15 * THREADS
