"""Filters: parsing, evaluation and error messages."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.filters.ast import (
    And,
    Contains,
    Eq,
    Exists,
    Filter,
    Gt,
    Gte,
    IContains,
    In,
    Lt,
    Lte,
    Ne,
    Not,
    NotIn,
    Or,
    fields,
)
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.filters.parse import MAX_DEPTH, MAX_NODES, parse_filter
from remembrancer.testing.filters import attributes, filter_dicts, filters

MAY = datetime(2026, 5, 3, 10, tzinfo=UTC)
FOOD = Eq(field="metadata.category", value="food")


def holds(raw: dict[str, Any], metadata: dict[str, Any], **built_in: Any) -> bool:
    where = parse_filter(raw)
    assert where is not None
    return matches(where, {**built_in, "metadata": metadata})


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (None, None),
        ({}, None),
        ({"category": "food"}, FOOD),
        ({"metadata.category": "food"}, FOOD),
        ({"category": {"eq": "food"}}, FOOD),
        ({"AND": [{"category": "food"}]}, FOOD),
        ({"OR": [{"category": "food"}]}, FOOD),
        ({"place.city": "Rome"}, Eq(field="metadata.place.city", value="Rome")),
        ({"metadata": "x"}, Eq(field="metadata.metadata", value="x")),
        ({"metadata.kind": "hobby"}, Eq(field="metadata.kind", value="hobby")),
        ({"metadata.user_id": "u"}, Eq(field="metadata.user_id", value="u")),
        ({"kind": "semantic"}, Eq(field="kind", value="semantic")),
        ({"a": ["x", 1]}, In(field="metadata.a", values=("x", 1))),
        ({"a": []}, In(field="metadata.a", values=())),
        ({"a": {"nin": [1]}}, NotIn(field="metadata.a", values=(1,))),
        ({"a": {"not_in": [1]}}, NotIn(field="metadata.a", values=(1,))),
        ({"a": {"ne": 1}}, Ne(field="metadata.a", value=1)),
        ({"a": {"gt": 1}}, Gt(field="metadata.a", value=1)),
        ({"a": {"lte": 1}}, Lte(field="metadata.a", value=1)),
        ({"a": {"contains": "x"}}, Contains(field="metadata.a", value="x")),
        ({"a": {"icontains": "x"}}, IContains(field="metadata.a", value="x")),
        ({"a": "*"}, Exists(field="metadata.a")),
        ({"a": {"eq": "*"}}, Eq(field="metadata.a", value="*")),
        ({"a": {"exists": True}}, Exists(field="metadata.a")),
        ({"a": {"exists": False}}, Not(part=Exists(field="metadata.a"))),
        ({"a": None}, Not(part=Exists(field="metadata.a"))),
        ({"a": {"ne": None}}, Exists(field="metadata.a")),
        (
            {"a": {"gte": 3, "lt": 5}},
            And(parts=(Gte(field="metadata.a", value=3), Lt(field="metadata.a", value=5))),
        ),
        (
            {"category": "food", "OR": [{"a": 1}, {"a": 2}]},
            And(
                parts=(
                    FOOD,
                    Or(parts=(Eq(field="metadata.a", value=1), Eq(field="metadata.a", value=2))),
                )
            ),
        ),
        ({"NOT": {"category": "food"}}, Not(part=FOOD)),
        ({"NOT": [{"category": "food"}]}, Not(part=FOOD)),
        (
            {"NOT": [{"category": "food"}, {"a": 1}]},
            Not(part=Or(parts=(FOOD, Eq(field="metadata.a", value=1)))),
        ),
        ({"created_at": {"gt": "2026-05-03T10:00:00Z"}}, Gt(field="created_at", value=MAY)),
        ({"created_at": "2026-05-03T12:00:00+02:00"}, Eq(field="created_at", value=MAY)),
        ({"created_at": MAY}, Eq(field="created_at", value=MAY)),
    ],
    ids=str,
)
def test_dict_form_is_parsed_to_the_ast(raw: object, where: Filter | None) -> None:
    assert parse_filter(raw) == where


OPERATORS = "eq, ne, gt, gte, lt, lte, contains, icontains, in, nin, not_in, exists"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "filters: expected an object, got a list"),
        ("food", 'filters: expected an object, got "food"'),
        ({1: 2}, "filters: expected strings as keys, got 1"),
        ({"AND": []}, "filters.AND: is empty; leave it out or put a filter into it"),
        ({"AND": {"a": 1}}, "filters.AND: expected a list of filters, got an object"),
        ({"OR": [{}]}, "filters.OR[0]: is empty; leave it out or name a field"),
        ({"NOT": {}}, "filters.NOT: is empty; leave it out or name a field"),
        ({"NOT": True}, "filters.NOT: expected a list of filters, got true"),
        ({"OR": [{"a": 1}, 5]}, "filters.OR[1]: expected an object, got 5"),
        ({"or": []}, 'filters.or: did you mean "OR"? For metadata of that name write metadata.or'),
        (
            {"$and": []},
            'filters.$and: did you mean "AND"? For metadata of that name write metadata.$and',
        ),
        (
            {"user_id": "u"},
            "filters.user_id: scope can't be widened by a filter; "
            "pass user_id as an argument of the call instead",
        ),
        (
            {"OR": [{"a": 1}, {"NOT": {"agent_id": {"ne": "x"}}}]},
            "filters.OR[1].NOT.agent_id: scope can't be widened by a filter; "
            "pass agent_id as an argument of the call instead",
        ),
        (
            {"run_id.x": 1},
            "filters.run_id.x: scope can't be widened by a filter; "
            "pass run_id as an argument of the call instead",
        ),
        (
            {"app_id": "*"},
            "filters.app_id: scope can't be widened by a filter; "
            "pass app_id as an argument of the call instead",
        ),
        ({"": 1}, 'filters."": has an empty part; write a path such as "place.city"'),
        ({"a..b": 1}, 'filters.a..b: has an empty part; write a path such as "place.city"'),
        (
            {"metadata.": 1},
            'filters.metadata.: has an empty part; write a path such as "place.city"',
        ),
        (
            {"text.lang": "en"},
            "filters.text.lang: text has no fields inside; "
            "for your own metadata write metadata.text.lang",
        ),
        ({"a": {}}, f"filters.a: is empty; name an operator: {OPERATORS}"),
        (
            {"AND": [{"a": 1}, {"score": {"gtee": 3}}]},
            'filters.AND[1].score.gtee: unknown operator; did you mean "gte"? '
            f"allowed: {OPERATORS}",
        ),
        (
            {"score": {"$gte": 3}},
            f'filters.score.$gte: unknown operator; did you mean "gte"? allowed: {OPERATORS}',
        ),
        (
            {"place": {"city": "Rome"}},
            'filters.place.city: unknown operator; a field of an object is "place.city"; '
            f"allowed: {OPERATORS}",
        ),
        (
            {"AND": [{"a": 1}, {"score": {"gte": True}}]},
            "filters.AND[1].score.gte: expected a number or a string, got true",
        ),
        (
            {"score": {"gte": None}},
            'filters.score.gte: null is not a value; ask for absence with {"exists": false}',
        ),
        (
            {"a": ["x", None]},
            'filters.a[1]: null is not a value; ask for absence with {"exists": false}',
        ),
        ({"a": {"in": "food"}}, 'filters.a.in: expected a list, got "food"'),
        ({"a": {"nin": {"x": 1}}}, "filters.a.nin: expected a list, got an object"),
        (
            {"a": {"in": [1, [2]]}},
            "filters.a.in[1]: expected a string, a number or a boolean, got a list",
        ),
        (
            {"a": {"eq": {"x": 1}}},
            "filters.a.eq: expected a string, a number or a boolean, got an object",
        ),
        (
            {"a": date(2026, 5, 3)},
            "filters.a: expected a string, a number or a boolean, got a value of type date",
        ),
        ({"a": {"exists": 1}}, "filters.a.exists: expected true or false, got 1"),
        ({"a": {"icontains": 5}}, "filters.a.icontains: expected a string, got 5"),
        ({"a": float("nan")}, "filters.a: expected a finite number, got nan"),
        ({"a": {"lt": float("inf")}}, "filters.a.lt: expected a finite number, got inf"),
        ({"a": -(10**400)}, "filters.a: expected a finite number, got an integer of 1329 bits"),
        ({"a": "x\0"}, "filters.a: forbidden character U+0000 at index 1; remove it"),
        ({"a": ["\ud800"]}, "filters.a[0]: forbidden character U+D800 at index 0; remove it"),
        ({"a\0": 1}, 'filters."a\\u0000": forbidden character U+0000 at index 1; remove it'),
        (
            {"a": MAY},
            "filters.a: metadata holds no times; compare with a string in the form that was stored",
        ),
        ({"text": 5}, "filters.text: expected a string, got 5"),
        (
            {"entities": {"contains": True}},
            "filters.entities.contains: expected a string, got true",
        ),
        (
            {"entities": {"gt": "a"}},
            "filters.entities.gt: entities is a list and has no order; use contains or in",
        ),
        (
            {"kind": "hobby"},
            'filters.kind: expected one of semantic, episodic, procedural, got "hobby"; '
            "for your own metadata write metadata.kind",
        ),
        (
            {"status": ["active", "dead"]},
            "filters.status[1]: expected one of active, superseded, retracted, expired, "
            'got "dead"; for your own metadata write metadata.status',
        ),
        (
            {"created_at": {"gt": "2026-05-03T10:00:00"}},
            "filters.created_at.gt: expected a time with an offset such as "
            '"2026-05-03T10:00:00Z", got "2026-05-03T10:00:00"',
        ),
        (
            {"valid_to": "yesterday"},
            "filters.valid_to: expected a time with an offset such as "
            '"2026-05-03T10:00:00Z", got "yesterday"',
        ),
        (
            {"expires_at": MAY.replace(tzinfo=None)},
            "filters.expires_at: expected a time with an offset such as "
            '"2026-05-03T10:00:00Z", got 2026-05-03T10:00:00',
        ),
        (
            {"occurred_at": 1777802400},
            "filters.occurred_at: expected a time with an offset such as "
            '"2026-05-03T10:00:00Z", got 1777802400',
        ),
        (
            {"updated_at": {"contains": "2026"}},
            "filters.updated_at.contains: updated_at is a time; use gt, gte, lt or lte",
        ),
        ({"text": ["x" * 100, 5.5]}, "filters.text[1]: expected a string, got 5.5"),
        ({"a": {"in": "x" * 100}}, f'filters.a.in: expected a list, got "{"x" * 60}..."'),
    ],
    ids=lambda value: str(value)[:50],
)
def test_bad_filter_is_refused_with_its_path_and_a_remedy(raw: object, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_filter(raw)

    assert str(refusal.value) == message


def test_errors_start_with_the_argument_name_of_the_caller() -> None:
    with pytest.raises(InvalidRequest, match=r"^where\.a\.in: expected a list"):
        parse_filter({"a": {"in": 1}}, "where")


def nested(levels: int) -> dict[str, Any]:
    where: dict[str, Any] = {"a": 1}
    for _ in range(levels - 1):
        where = {"NOT": where}
    return where


def test_filters_can_nest_up_to_the_depth_limit() -> None:
    assert parse_filter(nested(MAX_DEPTH)) is not None
    with pytest.raises(InvalidRequest, match=r"^filters: is nested deeper than 32 levels"):
        parse_filter(nested(MAX_DEPTH + 1))


def test_a_filter_that_contains_itself_is_refused() -> None:
    where: dict[str, Any] = {}
    where["NOT"] = where
    with pytest.raises(InvalidRequest, match="nested deeper"):
        parse_filter(where)


@pytest.mark.parametrize(
    "raw",
    [
        {"OR": [{"a": 1}] * MAX_NODES},
        {f"k{number}": 1 for number in range(MAX_NODES + 1)},
        {"a": list(range(MAX_NODES))},
        {"a": {"nin": [0] * MAX_NODES}},
    ],
    ids=["conditions", "keys", "values", "operands"],
)
def test_conditions_and_values_share_one_limit(raw: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidRequest,
        match=r"^filters: has more than 1000 conditions and values; ask in several calls$",
    ):
        parse_filter(raw)


def test_filter_at_the_node_limit_is_accepted() -> None:
    assert parse_filter({"a": list(range(MAX_NODES - 1))}) is not None


@pytest.mark.parametrize("raw", [{"a": {"ne": 1}}, {"a": {"nin": [1]}}, {"NOT": {"a": 1}}])
@pytest.mark.parametrize("metadata", [{}, {"a": None}, {"a": []}, {"a": {"b": 1}}, {"a": [None]}])
def test_negations_match_absent_fields_and_values_that_equal_nothing(
    raw: dict[str, Any], metadata: dict[str, Any]
) -> None:
    assert holds(raw, metadata)


@pytest.mark.parametrize("metadata", [{}, {"a": None}, {"a": []}])
@pytest.mark.parametrize(
    "test",
    [
        {"eq": "x"},
        {"gt": 0},
        {"gte": ""},
        {"lt": 9},
        {"lte": "z"},
        {"in": ["x", 1, True]},
        {"contains": ""},
        {"icontains": ""},
        {"exists": True},
    ],
    ids=str,
)
def test_only_negations_match_an_absent_field(
    test: dict[str, Any], metadata: dict[str, Any]
) -> None:
    assert not holds({"a": test}, metadata)


@pytest.mark.parametrize(
    ("value", "present"),
    [(None, False), ([], False), ("", True), (0, True), (False, True), ({}, True), ([None], True)],
    ids=str,
)
def test_null_and_the_empty_list_count_as_absent(value: object, present: bool) -> None:
    assert holds({"a": "*"}, {"a": value}) is present
    assert holds({"a": None}, {"a": value}) is not present


@pytest.mark.parametrize(
    ("value", "operand", "equal"),
    [
        (1, 1.0, True),
        (1.0, 1, True),
        (0.0, -0.0, True),
        (True, 1, False),
        (1, True, False),
        (False, 0, False),
        (True, True, True),
        ("1", 1, False),
        ("true", True, False),
        ("é", "e\u0301", False),
        ("a", "A", False),
        (2**53 + 1, 2.0**53, False),
        (2**64 + 1, 2.0**64, True),
        (10**400, 1e308, False),
        ({"a": 1}, "a", False),
        (["x", 1], "x", True),
        (["x", 1], 1.0, True),
        (["x", 1], True, False),
        ([["x"]], "x", False),
    ],
    ids=str,
)
def test_values_are_equal_if_type_and_value_are_equal(
    value: object, operand: object, equal: bool
) -> None:
    assert holds({"a": operand}, {"a": value}) is equal
    assert holds({"a": [operand]}, {"a": value}) is equal
    assert holds({"a": {"ne": operand}}, {"a": value}) is not equal
    assert holds({"a": {"nin": [operand]}}, {"a": value}) is not equal


@pytest.mark.parametrize(
    ("value", "operand"),
    [
        (1, 2),
        (1, 1.5),
        (2**63 - 1, 2.0**63),
        ("", "a"),
        ("B", "a"),
        ("10", "9"),
        ("z", "é"),
        ("\uffff", "\U00010000"),
    ],
)
def test_numbers_order_by_value_and_strings_by_code_point(value: Any, operand: Any) -> None:
    assert holds({"a": {"lt": operand}}, {"a": value})
    assert holds({"a": {"lte": operand}}, {"a": value})
    assert holds({"a": {"gt": value, "gte": value}}, {"a": operand})
    assert not holds({"a": {"gt": operand}}, {"a": value})
    assert not holds({"a": {"gte": operand}}, {"a": value})


@pytest.mark.parametrize(
    ("value", "operand"),
    [("5", 3), (5, "3"), (True, 0), ([5], 3), ({"b": 5}, 3), (None, 3)],
    ids=str,
)
def test_values_of_different_types_have_no_order(value: Any, operand: Any) -> None:
    for name in ("gt", "gte", "lt", "lte"):
        assert not holds({"a": {name: operand}}, {"a": value})


@pytest.mark.parametrize(
    ("value", "test", "expected"),
    [
        ("seafood", {"contains": "food"}, True),
        ("seafood", {"contains": "Food"}, False),
        ("seafood", {"contains": ""}, True),
        ("a5", {"contains": 5}, False),
        (5, {"contains": 5}, False),
        (["food", 5, True], {"contains": "food"}, True),
        (["seafood"], {"contains": "food"}, False),
        (["food", 5], {"contains": 5.0}, True),
        ([1], {"contains": True}, False),
        ("Seafood", {"icontains": "FOOD"}, True),
        ("Hauptstraße", {"icontains": "STRASSE"}, True),
        ("ΟΔΟΣ", {"icontains": "οδος"}, True),
        (["Straße"], {"icontains": "STRASSE"}, True),
        (["Hauptstraße"], {"icontains": "strasse"}, False),
        ([5], {"icontains": "5"}, False),
        (5, {"icontains": "5"}, False),
    ],
    ids=str,
)
def test_contains_matches_a_substring_of_text_or_a_member_of_a_list(
    value: object, test: dict[str, Any], expected: bool
) -> None:
    assert holds({"a": test}, {"a": value}) is expected


def test_path_enters_objects_but_not_lists_or_keys_with_dots() -> None:
    where = {"place.city": "Rome"}

    assert holds(where, {"place": {"city": "Rome"}})
    assert not holds(where, {"place": [{"city": "Rome"}]})
    assert not holds(where, {"place.city": "Rome"})
    assert not holds(where, {"place": "Rome"})
    assert not holds({"place.0": "Rome"}, {"place": ["Rome"]})


def test_bare_name_is_the_built_in_field_before_metadata() -> None:
    assert holds({"text": "x"}, {"text": "y"}, text="x")
    assert holds({"metadata.text": "y"}, {"text": "y"}, text="x")


def test_times_are_compared_across_utc_offsets() -> None:
    summer = MAY.astimezone(timezone(timedelta(hours=2)))

    assert holds({"created_at": "2026-05-03T10:00:00Z"}, {}, created_at=summer)
    assert holds({"created_at": {"gte": MAY, "lte": MAY}}, {}, created_at=summer)
    assert holds({"valid_to": {"gt": "2026-05-03T09:59:59.999999Z"}}, {}, valid_to=summer)
    assert not holds({"valid_to": {"gt": MAY}}, {}, valid_to=None)


def test_entities_can_be_a_tuple_or_a_list() -> None:
    assert holds({"entities": "Ann"}, {}, entities=("Ann", "Bob"))
    assert holds({"entities": ["Cy", "Bob"]}, {}, entities=["Ann", "Bob"])
    assert not holds({"entities": "*"}, {}, entities=())


def test_all_keys_must_match_and_one_part_of_or() -> None:
    where = {"a": 1, "OR": [{"b": 1}, {"c": {"gte": 2, "lt": 4}}]}

    assert holds(where, {"a": 1, "b": 1})
    assert holds(where, {"a": 1, "c": 3})
    assert not holds(where, {"a": 1, "c": 4})
    assert not holds(where, {"b": 1})


def test_not_of_a_list_matches_if_no_part_matches() -> None:
    where = {"NOT": [{"a": 1}, {"b": 1}]}

    assert holds(where, {})
    assert not holds(where, {"a": 1})
    assert not holds(where, {"b": 1})


def test_fields_of_a_filter_are_full_paths() -> None:
    where = parse_filter({"a.b": 1, "NOT": [{"text": "x"}, {"OR": [{"a.b": 2}, {"c": "*"}]}]})

    assert where is not None
    assert fields(where) == {"metadata.a.b", "text", "metadata.c"}


def test_filters_with_different_meaning_are_not_equal() -> None:
    assert Eq(field="a", value=True) != Eq(field="a", value=1)
    assert In(field="a", values=(True,)) != In(field="a", values=(1,))
    assert Eq(field="a", value=1) == Eq(field="a", value=1.0)
    assert hash(Eq(field="a", value=1)) == hash(Eq(field="a", value=1.0))
    assert len({Eq(field="a", value=1), Ne(field="a", value=1)}) == 2


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["AND", "OR", "NOT", "a", "gte", "in", "created_at", "kind"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
)


@given(raw=_json)
def test_any_json_is_parsed_or_refused_with_one_printable_line(
    raw: object,
) -> None:
    refusal = None
    try:
        parse_filter(raw)
    except InvalidRequest as error:
        refusal = error
    assert refusal is None or refusal.path.startswith("filters")
    assert str(refusal).isprintable()


@given(raw=filter_dicts(), record=attributes())
def test_filter_and_its_negation_never_agree(raw: dict[str, Any], record: dict[str, Any]) -> None:
    where, negation = parse_filter(raw), parse_filter({"NOT": raw})
    assert where is not None
    assert negation is not None
    assert matches(where, record) is not matches(negation, record)


@given(where=filters(), record=attributes())
def test_attributes_match_the_same_after_a_json_round_trip(
    where: Filter, record: dict[str, Any]
) -> None:
    restored = {**record, "metadata": json.loads(json.dumps(record["metadata"]))}
    assert matches(where, restored) is matches(where, record)
