"""Conditions in the server's terms."""

from __future__ import annotations

from typing import Any

from memledger.adapters.vector_index.served.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Marked,
    NotSo,
    Within,
)


def rendered(condition: Condition) -> Any:
    """A filter of the client, ``None`` where everything is let through. One that lets nothing
    through has no equivalent: ask nothing then.
    """
    from weaviate.classes.query import Filter

    match condition:
        case Marked():
            place = Filter.by_property(condition.field)
            tokens = list(condition.tokens)
            return place.equal(tokens[0]) if len(tokens) == 1 else place.contains_any(tokens)
        case Within():
            number = Filter.by_property(condition.field)
            bounds: list[Any] = []
            if condition.least is not None:
                bounds.append(number.greater_or_equal(condition.least))
            if condition.most is not None:
                bounds.append(number.less_or_equal(condition.most))
            return bounds[0] if len(bounds) == 1 else Filter.all_of(bounds)
        case AllOf():
            return Filter.all_of([rendered(part) for part in condition.parts])
        case AnyOf():
            return Filter.any_of([rendered(part) for part in condition.parts])
        case NotSo():
            return Filter.not_(rendered(condition.part))
        case bool():
            assert condition, "the caller asks nothing where nothing is let through"
            return None
