"""Convert conditions to protobuf messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from remembrancer.adapters.vector_index.remote.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Marked,
    NotSo,
    Within,
)


def rendered(condition: Condition) -> Any:
    """Return a ``Filters`` message; ``None`` for a condition that matches everything.

    ``False`` has no equivalent: the caller must not query then.
    """
    match condition:
        case Marked():
            return _among(condition.field, condition.tokens)
        case Within():
            bounds = [
                _message(f"OPERATOR_{operator}_EQUAL", condition.field, value_int=bound)
                for operator, bound in (
                    ("GREATER_THAN", condition.least),
                    ("LESS_THAN", condition.most),
                )
                if bound is not None
            ]
            return bounds[0] if len(bounds) == 1 else _joined("OPERATOR_AND", bounds)
        case AllOf():
            return _joined("OPERATOR_AND", map(rendered, condition.parts))
        case AnyOf():
            return _joined("OPERATOR_OR", map(rendered, condition.parts))
        case NotSo():
            return _joined("OPERATOR_NOT", [rendered(condition.part)])
        case bool():
            assert condition, "the caller does not query with a condition that matches nothing"
            return None


def with_ids(ids: Iterable[UUID]) -> Any:
    """Return the ``Filters`` message for objects with one of the ids (at least one)."""
    return _among("_id", list(map(str, ids)))


def _among(name: str, values: Iterable[str]) -> Any:
    from weaviate.proto.v1 import base_pb2

    first, *others = values
    if not others:
        return _message("OPERATOR_EQUAL", name, value_text=first)
    array = base_pb2.TextArray(values=[first, *others])
    return _message("OPERATOR_CONTAINS_ANY", name, value_text_array=array)


def _message(operator: str, name: str, **value: Any) -> Any:
    from weaviate.proto.v1 import base_pb2

    return base_pb2.Filters(
        operator=operator,
        target=base_pb2.FilterTarget(property=name),
        **value,
    )


def _joined(operator: str, parts: Iterable[Any]) -> Any:
    from weaviate.proto.v1 import base_pb2

    return base_pb2.Filters(operator=operator, filters=list(parts))
