"""JSON from models' answers: complete values are kept, nothing is invented."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remembrancer.adapters.models.json_answer import DEEPEST, parse, read, without_surrogates

LIST: dict[str, Any] = {"type": "array"}
FACTS: dict[str, Any] = {
    "type": "object",
    "properties": {"facts": {"type": "array"}, "relations": {"type": "array"}},
    "required": ["facts", "relations"],
}
ANSWER: dict[str, Any] = {"facts": [{"text": "a [b] {c}"}, {"text": "d"}], "relations": []}
SAID = json.dumps(ANSWER)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["</think>", "<think>", "```", "[1]", '{"a": 1}', "\\", '"']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
lists = st.lists(values, max_size=6)
chatter = st.text(alphabet=string.ascii_letters + string.digits + " \n.,:;!?`'\"()-–é漢🏔")
spacing = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


@given(lists, spacing, st.data())
def test_truncated_list_keeps_its_first_items(items: Any, form: Any, data: Any) -> None:
    text = json.dumps(items, **form)
    cut = data.draw(st.integers(0, len(text)))
    found = parse(text[:cut], LIST)
    assert found is None or found == items[: len(found)]
    if cut == len(text):
        assert found == items


@given(lists, spacing, chatter, chatter)
def test_text_around_a_list_is_ignored(items: Any, form: Any, before: str, after: str) -> None:
    text = json.dumps(items, **form)
    for fence in ("", "```", "```json\n"):
        assert parse(f"{before}{fence}{text}\n{fence[:3]}{after}", LIST) == items


@given(lists, chatter, st.data())
def test_truncated_object_keeps_the_items_of_its_last_list(
    items: Any, before: str, data: Any
) -> None:
    begin = json.dumps({"facts": ["one"], "relations": items})[:-2]
    cut = data.draw(st.integers(begin.index('"relations": [') + 14, len(begin)))
    found = parse(before + begin[:cut], FACTS)
    assert found["facts"] == ["one"]
    assert found["relations"] == items[: len(found["relations"])]


@given(st.text(alphabet='[]{}",:\\ \ntruefalsn0123456789.eE-ud<>/hik`a', max_size=200))
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example('{"a\\x' * 100_000)
@example("[" + "9" * 100_000 + "]")
@example("<think>" * 10_000)
@example('[{"a": 1} ' * 10_000)
def test_any_text_is_parsed_without_an_exception(text: str) -> None:
    for schema in (LIST, FACTS, {}):
        json.dumps(parse(text, schema), allow_nan=False)


@given(chatter)
def test_text_without_json_gives_none(text: str) -> None:
    assert parse(text, FACTS) is None


@pytest.mark.parametrize(
    "text",
    [
        SAID,
        f"```json\n{SAID}\n```",
        f"```\n{SAID}\n```\nI hope this helps!",
        f"<think>Maybe {{}} or [1]?\n</think>\n\n{SAID}",
        f'<THINKING>{{"facts": [], "relations": []}}</THINKING>{SAID}',
        f"the template opened the thought: [1] {{}} </think> {SAID}",
        f'First draft: {{"facts": [], "relations": []}}\nFinal:\n{SAID}',
        f"[Note] I followed [the schema] {{as asked}}: {SAID}",
        f'He said ["hello" or "hi"]. {SAID}',
        SAID.replace("}]", "},]").replace("]}", "],}"),
        SAID.replace(", ", " ,\r\n\t"),
    ],
)
def test_answer_is_found_in_surrounding_text(text: str) -> None:
    assert parse(text, FACTS) == ANSWER


def test_line_breaks_in_strings_are_kept() -> None:
    assert parse('["one\ntwo\tthree"]', LIST) == ["one\ntwo\tthree"]


@pytest.mark.parametrize(
    "text",
    [
        '<think>{"facts": [1], "relations": []}',
        '{"facts": [1], "relations": []}</think> I can not say.',
    ],
)
def test_json_in_reasoning_is_ignored(text: str) -> None:
    assert parse(text, FACTS) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[1, 2, 34", [1, 2]),
        ("[true, fals", [True]),
        ('["a", "b', ["a"]),
        ('["a", "b"', ["a", "b"]),
        ("[[1, 2], [3", [[1, 2]]),
        ('[{"a": [1, 2]}, {"a": [3', [{"a": [1, 2]}]),
        ("[1, 2", [1]),
        ("[1", None),
        ("[", None),
    ],
)
def test_truncated_item_of_a_list_is_dropped(text: str, found: Any) -> None:
    assert parse(text, LIST) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"facts": [', {"facts": []}),
        ('{"facts": [{"text": "a", "tags": ["x"', {"facts": []}),
        ('{"facts": [1, 2], "relations": [3, 4', {"facts": [1, 2], "relations": [3]}),
        ('{"facts": [1, 2], "note": "hal', {"facts": [1, 2]}),
        ('{"facts": [1, 2], "no', {"facts": [1, 2]}),
        ('{"no', None),
    ],
)
def test_truncated_member_of_an_object_is_dropped_unless_it_is_a_list(
    text: str, found: Any
) -> None:
    assert parse(text, FACTS) == found


def test_list_is_accepted_instead_of_an_object_if_it_is_the_only_value() -> None:
    assert parse('[{"text": "a"}]', FACTS) == [{"text": "a"}]
    assert parse('[{"text": "a"}] or [{"text": "b"}]', FACTS) is None


@pytest.mark.parametrize("inside", ['{"facts": [9], "relations": [9]}', "[9]"])
@pytest.mark.parametrize("broken", ['he said "no" and', "C:\\x"])
def test_json_inside_a_broken_string_is_ignored(broken: str, inside: str) -> None:
    """A model may quote untrusted text without escaping it."""
    for schema in (FACTS, LIST):
        found = parse(f'{{"facts": [{{"text": "{broken} {inside}"}}], "relations": []}}', schema)
        assert found in (None, {"facts": []})


def test_value_nested_too_deep_is_not_parsed() -> None:
    fits = "[" * (DEEPEST - 1) + "1" + "]" * (DEEPEST - 1)
    assert parse(fits, LIST) == json.loads(fits)
    assert parse("[" * 5000 + "1" + "]" * 5000, LIST) != []


@pytest.mark.parametrize("text", ["[NaN]", "[1e999]", "[-Infinity]", "[01]", "[1.]", "[+1]"])
def test_invalid_number_is_not_parsed(text: str) -> None:
    assert parse(text, LIST) is None


@given(st.text())
def test_text_without_surrogates_is_unchanged(text: str) -> None:
    assert without_surrogates(text) == text


def test_lone_surrogates_are_replaced() -> None:
    assert without_surrogates("a\ud800b") == "a�b"
    assert parse('["\\ud83d", "\\ud83d\\ude00"]', LIST) == ["�", "😀"]


@pytest.mark.parametrize(
    ("text", "cut_off"),
    [
        ('{"facts": []}', False),
        ('{"facts": []} and so', False),
        ('{"facts": [{"text": "a"}', True),
        ('{"facts": [{"text": "a"}, {"text": "b', True),
        ('{"facts": [{"text": "a"}, {"text": nul', True),
        ('{"facts": [1, 2', True),
        ('{"facts": [{"text": "a"} {"text": "b"}]}', False),
        ("No facts.", None),
    ],
)
def test_answer_that_ends_inside_its_value_is_cut_off(text: str, cut_off: bool | None) -> None:
    assert read(text, {"type": "object", "required": ["facts"]}).cut_off is cut_off
