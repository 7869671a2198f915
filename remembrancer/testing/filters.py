"""Hypothesis strategies for filters and for the attributes that they are matched against.

Both draw from one small set of keys and values, so that filters often match. The set is hostile:
values of several types under one key, ``1`` beside ``1.0``, ``True`` and ``"1"``, texts that change
length when casefolded, keys with quotes and dots. Metadata is JSON without NUL and lone surrogates,
which every engine must store.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from remembrancer.domain.facts.fact import FactKind, FactStatus
from remembrancer.domain.filters.ast import TEXT_FIELDS, TIME_FIELDS, Filter
from remembrancer.domain.filters.parse import parse_filter

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
HOSTILE_TEXTS = [
    "",
    " ",
    "a",
    "A",
    "ab",
    "B",
    "ss",
    "SS",
    "ß",
    "straße",
    "STRASSE",
    "é",
    "e\u0301",
    "İ",
    "i\u0307",
    "ς",
    "Σ",
    "\ufb01",
    "FI",
    "中文",
    "\uffff",
    "😀",
    '"',
    "'",
    "\\",
    "\\u0000",
    "%",
    "_",
    "*",
    "?",
    "$",
    "\x01",
    "\n",
    "0",
    "1",
    "1.0",
    "true",
    "null",
    "[]",
    "2026-05-03",
]
HOSTILE_NUMBERS: list[int | float] = [
    0,
    -0.0,
    1,
    1.0,
    -1,
    2,
    0.1,
    0.3,
    0.1 + 0.2,
    2**53,
    2.0**53,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**63,
    2.0**63,
    -(2**63) - 1,
    2**64,
    10**30,
    1e30,
    1e308,
    5e-324,
]
HOSTILE_KEYS = [
    "a",
    "b",
    "place",
    "place.city",
    "city",
    "kind",
    "user_id",
    "AND",
    "clé",
    "中",
    'quo"te',
    "back\\slash",
    "br[0]",
    "a b",
    "#",
    "$",
    "0",
    "\x7f",
    "\t",
    "it's",
]
HOSTILE_MOMENTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2026, 5, 3, 10, tzinfo=UTC),
    datetime(2026, 5, 3, 10, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 5, 3, 12, tzinfo=timezone(timedelta(hours=2))),
    datetime(2026, 5, 3, 10, tzinfo=timezone(timedelta(hours=-7, minutes=-30))),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)

_texts = st.sampled_from(HOSTILE_TEXTS) | st.text(_CHARACTERS, max_size=6)
_numbers = (
    st.sampled_from(HOSTILE_NUMBERS)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
)
_scalars = _texts | _numbers | st.booleans()
_moments = st.sampled_from(HOSTILE_MOMENTS) | st.datetimes(timezones=st.just(UTC))
_keys = st.sampled_from(HOSTILE_KEYS[:3]) | st.sampled_from(HOSTILE_KEYS)
_values = st.recursive(
    st.none() | _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=6,
)


def attributes() -> st.SearchStrategy[dict[str, Any]]:
    """The attributes of a fact: built-in fields, and metadata of any JSON shape."""
    maybe_moment = st.none() | _moments
    return st.fixed_dictionaries(
        {
            "fact_id": _texts,
            "kind": st.sampled_from([kind.value for kind in FactKind]),
            "status": st.sampled_from([status.value for status in FactStatus]),
            "speaker": st.none() | _texts,
            "text": _texts,
            "created_at": _moments,
            "updated_at": _moments,
            "occurred_at": _moments,
            "valid_from": maybe_moment,
            "valid_to": maybe_moment,
            "expires_at": maybe_moment,
            "entities": st.lists(_texts, max_size=3),
            "metadata": st.dictionaries(_keys, _values, max_size=5),
        }
    )


@st.composite
def filter_dicts(
    draw: st.DrawFn, about: Sequence[Mapping[str, Any]] = (), levels: int = 3
) -> dict[str, Any]:
    """Filters in dict form, all accepted by ``parse_filter``.

    Args:
        draw: supplied by hypothesis.
        about: records of ``attributes``. Most comparisons use their fields, with equal or nearly
            equal values.
        levels: how deep ``AND``, ``OR`` and ``NOT`` may nest.
    """
    if levels and draw(st.integers(0, 2)) == 0:
        name = draw(st.sampled_from(["AND", "OR", "NOT"]))
        inner = filter_dicts(about, levels - 1)
        several = name != "NOT" or draw(st.booleans())
        return {name: draw(st.lists(inner, min_size=1, max_size=3) if several else inner)}
    subjects = [subject for record in about for subject in _subjects(record)]
    if subjects and draw(st.integers(0, 4)) > 0:
        return draw(_comparison_with(*draw(st.sampled_from(subjects))))
    return draw(_COMPARISONS)


def filters(about: Sequence[Mapping[str, Any]] = ()) -> st.SearchStrategy[Filter]:
    """Parsed filters; ``about`` is the same as in ``filter_dicts``."""
    return filter_dicts(about).map(_parsed)


def _parsed(raw: dict[str, Any]) -> Filter:
    where = parse_filter(raw)
    assert where is not None
    return where


def _subjects(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a record that a filter can name, each with its value."""
    for name, value in record.items():
        if name == "metadata":
            yield from _parts("metadata", value)
        elif name not in ("kind", "status"):
            yield name, value


def _parts(path: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, part in value.items():
        if key and "." not in key:
            yield f"{path}.{key}", part
            if isinstance(part, Mapping):
                yield from _parts(f"{path}.{key}", part)


def _comparison_with(path: str, value: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A comparison of a field with its value or a nearly equal one."""
    near = [close for element in _elements(value) for close in _close_to(element)]
    texts = [close for close in near if isinstance(close, str)]
    text = st.sampled_from(texts) if texts else _texts
    if path in TIME_FIELDS:
        test = _time_test(st.sampled_from(near) if near else _moments)
    elif path == "entities":
        test = _entities_test(text)
    elif path in TEXT_FIELDS:
        test = _text_test(text)
    else:
        test = _any_test(st.sampled_from(near) if near else _scalars, text)
    return _one_field(st.just(path), test)


def _elements(value: Any) -> Iterator[Any]:
    return iter(value if isinstance(value, list) else [value])


def _close_to(value: Any) -> list[Any]:
    if isinstance(value, str):
        changed = [value.upper(), value.lower(), value.casefold(), value[1:], value[:-1]]
        return [value, value, *changed, f"{value}a"]
    if isinstance(value, bool):
        return [value, not value, int(value), str(value).lower()]
    if isinstance(value, int):
        return [value, value, value + 1, value - 1, float(value), bool(value), str(value)]
    if isinstance(value, float):
        above, below = math.nextafter(value, math.inf), math.nextafter(value, -math.inf)
        return [value, value, int(value), *(x for x in (above, below) if math.isfinite(x))]
    if isinstance(value, datetime):
        later = min(value, _LATEST) + timedelta(microseconds=1)
        return [value, value, later, value.replace(tzinfo=timezone(timedelta(hours=1)))]
    return []


def _one_field(
    names: st.SearchStrategy[str], tests: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(names, tests).map(lambda pair: {pair[0]: pair[1]})


def _metadata_paths() -> st.SearchStrategy[str]:
    return st.lists(_keys, min_size=1, max_size=3).map(lambda keys: ".".join(["metadata", *keys]))


def _any_test(
    operands: st.SearchStrategy[Any], texts: st.SearchStrategy[str] = _texts
) -> st.SearchStrategy[Any]:
    ordered = operands.filter(lambda operand: not isinstance(operand, bool))
    return _test(operands, {**_orders(ordered), "contains": operands, "icontains": texts})


def _text_test(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return _test(texts, {**_orders(texts), "contains": texts, "icontains": texts})


def _named_test(names: type[FactKind] | type[FactStatus]) -> st.SearchStrategy[Any]:
    known = st.sampled_from([name.value for name in names])
    return _test(known, {**_orders(_texts), "contains": _texts, "icontains": _texts})


def _time_test(moments: st.SearchStrategy[datetime]) -> st.SearchStrategy[Any]:
    return _test(moments, _orders(moments))


def _entities_test(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return _test(texts, {"contains": texts, "icontains": texts})


def _orders(operands: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return dict.fromkeys(("gt", "gte", "lt", "lte"), operands)


def _test(
    operands: st.SearchStrategy[Any], operators: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    """The right side of a field: a value, a list, ``"*"``, or operators."""
    lists = st.lists(operands, max_size=4)
    known: dict[str, st.SearchStrategy[Any]] = {
        "eq": st.none() | operands,
        "ne": st.none() | operands,
        "in": lists,
        "nin": lists,
        "not_in": lists,
        "exists": st.booleans(),
        **operators,
    }
    names = st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=2, unique=True)
    tests = names.flatmap(lambda some: st.fixed_dictionaries({name: known[name] for name in some}))
    return st.one_of([st.sampled_from([None, "*"]), operands, lists, tests, tests, tests])


_COMPARISONS = st.one_of(
    [
        _one_field(_metadata_paths(), _any_test(_scalars)),
        _one_field(st.sampled_from(["fact_id", "speaker", "text"]), _text_test(_texts)),
        _one_field(st.just("kind"), _named_test(FactKind)),
        _one_field(st.just("status"), _named_test(FactStatus)),
        _one_field(st.sampled_from(sorted(TIME_FIELDS)), _time_test(_moments)),
        _one_field(st.just("entities"), _entities_test(_texts)),
    ]
)
