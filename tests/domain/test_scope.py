"""Scopes: allowed ids, the ledger of a scope, and the scopes that it covers."""

from __future__ import annotations

import unicodedata
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.scope import MAX_ID_CHARACTERS, SCOPE_IDS, Scope

ids = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(
    str.strip
)
few_ids = st.sampled_from(["a", "b", "user:a", "a\u2028b"])
scopes = st.builds(
    Scope,
    user_id=st.none() | few_ids,
    agent_id=st.none() | few_ids,
    run_id=few_ids,
    app_id=st.none() | few_ids,
)


@pytest.mark.parametrize(
    ("named", "ledger"),
    [
        ({"user_id": "a"}, "user:a"),
        ({"user_id": "a", "agent_id": "b", "run_id": "c", "app_id": "d"}, "user:a"),
        ({"agent_id": "b", "run_id": "c"}, "agent:b"),
        ({"run_id": "c", "app_id": "d"}, "run:c"),
    ],
)
def test_ledger_is_of_the_user_else_the_agent_else_the_run(
    named: dict[str, str], ledger: str
) -> None:
    assert Scope(**named).ledger == ledger


@given(
    st.tuples(st.sampled_from(SCOPE_IDS[:3]), ids), st.tuples(st.sampled_from(SCOPE_IDS[:3]), ids)
)
def test_different_owners_have_different_ledgers(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assume(one != other)
    assert Scope(**dict([one])).ledger != Scope(**dict([other])).ledger


@pytest.mark.parametrize("named", [{}, {"app_id": "app"}])
def test_scope_without_an_owner_is_refused(named: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Scope(**named)
    assert str(refused.value) == (
        "scope: has no owner; pass at least one of user_id, agent_id, run_id"
    )


@pytest.mark.parametrize("name", SCOPE_IDS)
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is empty; omit it or pass an id"),
        (" \t\u3000", "is empty; omit it or pass an id"),
        ("a\nb", "control character U+000A at index 1; remove it"),
        ("\0", "control character U+0000 at index 0; remove it"),
        ("ab\x7f", "control character U+007F at index 2; remove it"),
        ("a\x85", "control character U+0085 at index 1; remove it"),
        ("a\ud800", "control character U+D800 at index 1; remove it"),
        ("x" * 257, "has 257 characters; at most 256 are allowed"),
        (7, "expected a string, got int"),
        (b"a", "expected a string, got bytes"),
        (["a"], "expected a string, got list"),
        (True, "expected a string, got bool"),
    ],
)
def test_invalid_id_is_refused_with_its_name(name: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Scope(**{"run_id": "r", name: value})
    assert (refused.value.path, refused.value.problem) == (name, problem)


@pytest.mark.parametrize(
    "value", ["x" * MAX_ID_CHARACTERS, "o'brien\"; --", "💥", "日本", " a ", "%_"]
)
def test_any_printable_id_is_kept_unchanged(value: str) -> None:
    assert Scope(user_id=value).user_id == value


@given(ids)
def test_ledger_names_contain_no_control_characters(name: str) -> None:
    ledger = Scope(user_id=name).ledger
    assert not any(unicodedata.category(character) == "Cc" for character in ledger)


def test_ids_of_a_str_subclass_become_plain_str() -> None:
    # Given ids of str subclasses, which the JSON encoder refuses
    class UserId(str):
        __slots__ = ()

    class Agent(str, Enum):  # noqa: UP042 - a StrEnum shows its value by itself
        CODER = "coder"

    # When a scope is made of them
    scope = Scope(user_id=UserId("a"), agent_id=Agent.CODER)
    # Then the scope holds plain strings, and can be stored
    assert scope == Scope(user_id="a", agent_id="coder")
    assert type(scope.user_id) is str
    assert msgspec.json.decode(msgspec.json.encode(scope), type=Scope) == scope


@given(scopes, scopes)
def test_scope_covers_scopes_of_its_owner_that_have_all_its_ids(one: Scope, other: Scope) -> None:
    has_all = one.ids().items() <= other.ids().items()
    assert one.covers(other) == (has_all and one.ledger == other.ledger)


def test_scope_of_an_agent_does_not_cover_what_it_learned_about_a_user() -> None:
    learned = Scope(user_id="ann", agent_id="coach", run_id="r")
    assert not Scope(agent_id="coach").covers(learned)
    assert not Scope(run_id="r").covers(learned)
    assert not Scope(run_id="r").covers(Scope(agent_id="coach", run_id="r"))
    assert Scope(user_id="ann", run_id="r").covers(learned)


@given(scopes)
def test_scope_is_covered_by_itself_and_by_across_runs(scope: Scope) -> None:
    assert scope.covers(scope)
    assert scope.across_runs.covers(scope)
    assert scope.across_runs.ledger == scope.ledger


def test_across_runs_drops_the_run_unless_the_run_is_the_owner() -> None:
    assert Scope(user_id="a", run_id="r", app_id="x").across_runs == Scope(user_id="a", app_id="x")
    assert Scope(agent_id="b", run_id="r").across_runs == Scope(agent_id="b")
    assert Scope(run_id="r", app_id="x").across_runs == Scope(run_id="r", app_id="x")


def test_ids_lists_only_the_ids_that_are_set() -> None:
    assert Scope(user_id="a", run_id="r").ids() == {"user_id": "a", "run_id": "r"}
