"""Habits from other memory libraries: what works here, and errors that name the right word."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remembrancer import AsyncMemory, InvalidRequest, Memory, Page, SearchResult
from remembrancer.application.parsing.keywords import NOT_NEEDED, OUR_WORDS
from remembrancer.types import ScopeIds
from tests.helpers.faces import ASYNC, SYNC, opened

ANN: ScopeIds = {"user_id": "ann"}
NO_FACT = "0" * 32
FACES = pytest.mark.parametrize("face", [SYNC, ASYNC])


def remembered(memory: Memory, *texts: str, **options: Any) -> list[str]:
    """Store texts verbatim; the ids of their facts."""
    receipts = [memory.add(text, infer=False, **ANN, **options) for text in texts]
    return [str(receipt.verdicts[0].fact_id) for receipt in receipts]


def refusal(face: str, method: str, *arguments: Any, **keywords: Any) -> InvalidRequest:
    """The error of a call on an empty memory."""

    async def script() -> InvalidRequest:
        async with opened(face) as memory:
            with pytest.raises(InvalidRequest) as caught:
                await getattr(memory, method)(*arguments, **keywords)
            return caught.value

    return asyncio.run(script())


class TestResults:
    def test_page_is_iterated_counted_and_indexed_like_its_facts(self) -> None:
        with Memory() as memory:
            remembered(memory, "one boat", "two boats", "three boats")

            page = memory.get_all(order="created_at", **ANN)

            assert [fact.text for fact in page] == ["one boat", "two boats", "three boats"]
            assert len(page) == 3
            assert (page[0], page[-1], page[1:]) == (
                page.facts[0],
                page.facts[2],
                page.facts[1:],
            )
            assert page.facts[1] in page

    def test_page_without_facts_is_false(self) -> None:
        with Memory() as memory:
            assert not memory.get_all(**ANN)

    def test_hit_has_text_id_and_metadata_of_its_fact(self) -> None:
        with Memory() as memory:
            (fact_id,) = remembered(memory, "I sold the boat", metadata={"topic": "boats"})

            (hit,) = memory.search("boat", **ANN)

            assert (hit.id, hit.text, hit.metadata) == (
                fact_id,
                "I sold the boat",
                {"topic": "boats"},
            )
            assert memory.get(hit.id) == hit.fact

    def test_dictionary_of_a_hit_has_the_fact_alone(self) -> None:
        with Memory() as memory:
            remembered(memory, "I sold the boat")

            (hit,) = memory.search("boat", **ANN)

            assert hit.to_dict() == {"score": hit.score, "fact": hit.fact.to_dict()}

    @pytest.mark.parametrize("result", [Page(facts=()), SearchResult(results=())])
    def test_key_of_a_result_is_refused_and_iteration_named(self, result: Any) -> None:
        with pytest.raises(TypeError, match=r"has no key 'results': iterate it itself"):
            result["results"]

    def test_result_with_an_index_out_of_range_raises_an_index_error(self) -> None:
        with pytest.raises(IndexError):
            Page(facts=())[0]


@FACES
class TestKeywords:
    @pytest.mark.parametrize(
        ("method", "arguments", "habit", "word"),
        [
            ("search", ("tea",), "top_k", "limit"),
            ("search", ("tea",), "k", "limit"),
            ("search", ("tea",), "score_threshold", "threshold"),
            ("search", (), "text", "query"),
            ("get_all", (), "top_k", "limit"),
            ("get_all", (), "page_size", "limit"),
            ("get_all", (), "page", "cursor"),
            ("entities", (), "top_k", "limit"),
            ("relations", ("Ann",), "k", "limit"),
            ("graph", (), "top_k", "limit"),
            ("get", (), "memory_id", "fact_id"),
            ("delete", (), "memory_id", "fact_id"),
            ("history", (), "memory_id", "fact_id"),
            ("update", (), "memory_id", "fact_id"),
            ("update", (NO_FACT,), "data", "text"),
            ("add", (), "data", "messages"),
            ("add", ("I like tea.",), "prompt", "instructions"),
            ("add", ("I like tea.",), "includes", "include"),
            ("add", ("I like tea.",), "memory_type", 'kind="procedural"'),
            ("add", ("I like tea.",), "timestamp", "occurred_at"),
            ("add", ("I like tea.",), "async_mode", "wait=False"),
            ("delete_all", (), "user", "user_id"),
            ("stats", (), "user", "user_id"),
            ("retry", (), "user", "user_id"),
        ],
    )
    def test_word_of_another_library_is_refused_and_ours_named(
        self, face: str, method: str, arguments: tuple[Any, ...], habit: str, word: str
    ) -> None:
        error = refusal(face, method, *arguments, **{habit: "x"})

        assert (error.path, error.problem) == (
            habit,
            f"is not an argument of {method}; use {word}",
        )

    @pytest.mark.parametrize("habit", NOT_NEEDED)
    @pytest.mark.parametrize(
        ("method", "arguments"),
        [("add", ("I like tea.",)), ("search", ("tea",)), ("get_all", ()), ("delete_all", ())],
    )
    def test_argument_that_is_not_needed_is_refused_with_the_reason(
        self, face: str, method: str, arguments: tuple[Any, ...], habit: str
    ) -> None:
        error = refusal(face, method, *arguments, **ANN, **{habit: "v1.1"})

        assert error.path == habit
        assert error.problem == (
            f"is not an argument of {method}; leave it out: {NOT_NEEDED[habit]}"
        )

    @pytest.mark.parametrize(
        ("method", "problem"),
        [
            ("verify", "is not an argument of verify; allowed are progress, chain, jobs"),
            ("compact", "is not an argument of compact; the method takes none"),
            ("delete", "is not an argument of delete; allowed are fact_id, reason, block, actor, "
             "user_id, agent_id, run_id, app_id"),
        ],
    )  # fmt: skip
    def test_word_that_a_method_has_no_use_for_is_refused_and_the_allowed_ones_listed(
        self, face: str, method: str, problem: str
    ) -> None:
        assert refusal(face, method, top_k=3).problem == problem

    def test_misspelt_argument_is_refused_and_the_nearest_one_named(self, face: str) -> None:
        error = refusal(face, "search", "tea", usr_id="ann")

        assert error.problem.endswith("app_id; did you mean user_id?")

    def test_refused_add_writes_nothing(self, face: str) -> None:
        async def script() -> None:
            async with opened(face) as memory:
                with pytest.raises(InvalidRequest):
                    await memory.add("I like tea.", prompt="Only drinks.", **ANN)
                assert (await memory.stats()).messages == 0

        asyncio.run(script())

    def test_habit_in_a_conversation_is_refused_with_its_place(self, face: str) -> None:
        conversation = {"messages": "I like tea.", "prompt": "Only drinks.", **ANN}

        error = refusal(face, "add_many", [conversation])

        assert str(error) == (
            "conversations[0].prompt: is not part of a conversation; use instructions"
        )

    def test_messages_are_accepted_by_name(self, face: str) -> None:
        async def script() -> None:
            async with opened(face) as memory:
                receipt = await memory.add(
                    messages=[{"role": "user", "content": "I like tea."}], **ANN
                )
                assert [verdict.text for verdict in receipt.verdicts] == ["I like tea."]

        asyncio.run(script())

    @pytest.mark.parametrize("name", ["user_id", "agent_id", "run_id", "app_id"])
    @pytest.mark.parametrize("form", [lambda ids: ids, lambda ids: {"AND": [{"score": 1}, ids]}])
    @pytest.mark.parametrize(("method", "arguments"), [("search", ("tea",)), ("get_all", ())])
    def test_scope_id_in_a_filter_is_refused_and_the_argument_named(
        self,
        face: str,
        method: str,
        arguments: tuple[Any, ...],
        form: Callable[[Any], Any],
        name: str,
    ) -> None:
        # Without an owner: its place is a better answer than its absence.
        error = refusal(face, method, *arguments, filters=form({name: "ann"}))

        assert error.path.endswith(f".{name}")
        assert f"pass {name} as an argument of the call instead" in error.problem


class TestNames:
    @pytest.mark.parametrize("habit", OUR_WORDS)
    def test_every_habit_names_an_argument_of_some_method(self, habit: str) -> None:
        refused = set()
        with Memory() as memory:
            methods: tuple[Any, ...] = (memory.add, memory.search, memory.get_all, memory.update)
            for method in methods:
                # A TypeError: update has a text too, and lacks its fact_id.
                with pytest.raises((InvalidRequest, TypeError)) as caught:
                    method(**{habit: "x"})
                refused.add(str(caught.value))

        assert any("; use " in message for message in refused)

    @pytest.mark.parametrize("face", [Memory, AsyncMemory])
    def test_signature_of_a_checked_method_is_its_own(self, face: type[Any]) -> None:
        assert str(inspect.signature(face.history)) == (
            "(self, fact_id: 'str', *, as_of: 'datetime | str | None' = None, "
            "valid_at: 'datetime | str | None' = None, **ids: 'Unpack[ScopeIds]') -> 'list[Fact]'"
        )
        assert list(inspect.signature(face.add).parameters) == [
            "self", "messages", "wait", "options"
        ]  # fmt: skip

    def test_methods_of_the_async_face_are_coroutine_functions(self) -> None:
        assert inspect.iscoroutinefunction(AsyncMemory.search)
        assert inspect.iscoroutinefunction(AsyncMemory.verify)

    def test_missing_argument_stays_a_type_error(self) -> None:
        with Memory() as memory:
            get: Any = memory.get
            with pytest.raises(TypeError, match="fact_id"):
                get(**ANN)


class TestCopies:
    @pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_copy_of_a_memory_is_refused_and_opening_the_database_advised(
        self, copied: Callable[[object], object], tmp_path: Path
    ) -> None:
        with Memory(tmp_path / "app.db") as memory:
            with pytest.raises(TypeError, match=r'open the same database .*: Memory\("app\.db"\)'):
                copied(memory)

            # Then the memory still works
            assert memory.add("I like tea.", **ANN).verdicts

    @pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_copy_of_an_async_memory_is_refused(self, copied: Callable[[object], object]) -> None:
        async def script() -> None:
            async with await AsyncMemory.open() as memory:
                with pytest.raises(TypeError, match=r'AsyncMemory\("app\.db"\)'):
                    copied(memory)

        asyncio.run(script())

    def test_method_of_a_memory_is_not_sent_to_another_process(self) -> None:
        with Memory() as memory, pytest.raises(TypeError, match="can't be pickled or copied"):
            pickle.dumps(memory.search)

    def test_results_are_copied_and_pickled(self) -> None:
        with Memory() as memory:
            remembered(memory, "I sold the boat")
            found, page = memory.search("boat", **ANN), memory.get_all(**ANN)

        assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found
        assert pickle.loads(pickle.dumps(page)) == copy.deepcopy(page) == page
