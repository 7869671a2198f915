"""Protocol filters as predicates over stored objects, with the semantics of Weaviate 1.39.0.

A comparison is false for an absent property. ``Not`` and ``ContainsNone`` are true wherever the
positive filter is false, also for absent properties.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from weaviate.proto.v1 import base_pb2

from remembrancer.testing.weaviate.stored import Refusal, StoredCollection, StoredObject

Test = Callable[[StoredObject], bool]

_Filters: Any = base_pb2.Filters
_ORDERS: Mapping[int, Callable[[Any, Any], bool]] = {
    _Filters.OPERATOR_GREATER_THAN: operator.gt,
    _Filters.OPERATOR_GREATER_THAN_EQUAL: operator.ge,
    _Filters.OPERATOR_LESS_THAN: operator.lt,
    _Filters.OPERATOR_LESS_THAN_EQUAL: operator.le,
}
_LISTS: Mapping[int, Callable[[list[bool]], bool]] = {
    _Filters.OPERATOR_CONTAINS_ANY: any,
    _Filters.OPERATOR_CONTAINS_ALL: all,
    _Filters.OPERATOR_CONTAINS_NONE: lambda found: not any(found),
}


def tokens(text: str, tokenization: str) -> list[str]:
    """The tokens of an indexed text or of a query."""
    match tokenization:
        case "field":
            return [text.strip()]
        case "whitespace":
            return text.split()
        case "word":
            cut = "".join(each if each.isalnum() else " " for each in text)
            return cut.lower().split()
        case _:
            raise Refusal(f"the stand-in does not support tokenization {tokenization}")


def test_of(filters: Any, collection: StoredCollection) -> Test:
    """The predicate of a filter.

    Raises:
        Refusal: a property has no index for the filter.
    """
    match filters.operator:
        case _Filters.OPERATOR_AND:
            parts = [test_of(part, collection) for part in filters.filters]
            return lambda stored: all(part(stored) for part in parts)
        case _Filters.OPERATOR_OR:
            parts = [test_of(part, collection) for part in filters.filters]
            return lambda stored: any(part(stored) for part in parts)
        case _Filters.OPERATOR_NOT:
            (part,) = (test_of(part, collection) for part in filters.filters)
            return lambda stored: not part(stored)
        case _ if filters.target.property == "_id":
            return _by_id(filters)
        case _ if filters.operator in _ORDERS:
            return _ordered(filters, collection)
        case _:
            return _by_text(filters, collection)


def _by_id(filters: Any) -> Test:
    texts = list(filters.value_text_array.values) or [filters.value_text]
    wanted = {UUID(text) for text in texts}
    if filters.operator not in (_Filters.OPERATOR_EQUAL, _Filters.OPERATOR_CONTAINS_ANY):
        raise Refusal(f"the stand-in does not support operator {filters.operator} on ids")
    return lambda stored: stored.uuid in wanted


def _ordered(filters: Any, collection: StoredCollection) -> Test:
    name, holds = filters.target.property, _ORDERS[filters.operator]
    config = collection.property(name)
    if not (config["indexRangeFilters"] or config["indexFilterable"]):
        raise _not_indexed(name)
    wanted = filters.value_int

    def test(stored: StoredObject) -> bool:
        value = stored.properties.get(name)
        return value is not None and holds(int(value), wanted)

    return test


def _by_text(filters: Any, collection: StoredCollection) -> Test:
    name = filters.target.property
    config = collection.property(name)
    if not config["indexFilterable"]:
        raise _not_indexed(name)
    tokenization = config["tokenization"]
    if filters.operator == _Filters.OPERATOR_EQUAL:
        texts, join = [filters.value_text], _LISTS[_Filters.OPERATOR_CONTAINS_ANY]
    elif filters.operator in _LISTS:
        texts, join = list(filters.value_text_array.values), _LISTS[filters.operator]
    else:
        raise Refusal(f"the stand-in does not support operator {filters.operator} on texts")
    wanted = [frozenset(tokens(text, tokenization)) for text in texts]

    def test(stored: StoredObject) -> bool:
        has = _indexed(stored, name, tokenization)
        return join([one <= has for one in wanted])

    return test


def _indexed(stored: StoredObject, name: str, tokenization: str) -> frozenset[str]:
    if name not in stored.indexed:
        value = stored.properties.get(name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        stored.indexed[name] = frozenset(
            token for each in values for token in tokens(each, tokenization)
        )
    return stored.indexed[name]


def _not_indexed(name: str) -> Refusal:
    return Refusal(
        f"Filtering by property '{name}' requires inverted index. Is `indexFilterable` option of "
        f"property '{name}' enabled? Set it to `true` or leave empty"
    )
