"""The answer of a model to an extraction prompt: its JSON schema, and parsing of its items.

A malformed item is reported by itself; the other items are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar, get_args, get_origin

import cattrs
from attrs import frozen

from remembrancer.domain.facts.fact import FactKind


@frozen(kw_only=True)
class EvidenceDraft:
    """Evidence as a model gives it. ``message`` is the number of a message in the prompt."""

    message: int
    quote: str


@frozen(kw_only=True)
class RelationDraft:
    """A relation as a model gives it."""

    subject: str
    predicate: str
    object: str


@frozen(kw_only=True)
class FactDraft:
    """A fact as a model gives it, unchecked."""

    text: str
    kind: FactKind = FactKind.SEMANTIC
    about: str | None = None
    attribute: str | None = None
    evidence: tuple[EvidenceDraft, ...] = ()
    valid_from: str | None = None
    valid_to: str | None = None
    entities: tuple[str, ...] = ()
    relations: tuple[RelationDraft, ...] = ()
    categories: tuple[str, ...] = ()


class Part(StrEnum):
    """The kind of a line in a procedure."""

    TASK = "task"
    STEP = "step"
    OUTCOME = "outcome"


@frozen(kw_only=True)
class StepDraft:
    """A line of a procedure as a model gives it, unchecked."""

    text: str
    part: Part = Part.STEP
    evidence: tuple[EvidenceDraft, ...] = ()


Draft = TypeVar("Draft", FactDraft, StepDraft)


@frozen(kw_only=True)
class Malformed:
    """An item that could not be parsed, and the reason."""

    text: str
    problem: str


def items_of(parsed: object, name: str) -> Sequence[object] | None:
    """The list in an answer: under the key ``name``, or the answer itself. ``None``: no list."""
    found = parsed.get(name) if isinstance(parsed, Mapping) else parsed
    return found if isinstance(found, list) else None


def drafts_in(items: Sequence[object], kind: type[Draft]) -> Iterator[Draft | Malformed]:
    """Parse the items one by one."""
    for item in items:
        try:
            yield structured(item, kind)
        except ValueError as error:
            text = item.get("text") if isinstance(item, Mapping) else None
            yield Malformed(text=text if isinstance(text, str) else "", problem=str(error))


def structured(item: object, kind: type[Any]) -> Any:
    """Parse an item of an answer.

    Raises:
        ValueError: it is malformed; the message says why, on one line.
    """
    try:
        _require_object(item)
        return _CONVERTER.structure(item, kind)
    except TypeError as error:
        raise ValueError(str(error)) from error
    except cattrs.BaseValidationError as error:
        raise ValueError("; ".join(cattrs.transform_error(error))) from error


def facts_schema(categories: Sequence[str], most: int) -> Mapping[str, Any]:
    """The JSON schema of an answer with facts.

    All properties are required, as the strict modes of providers demand; optional ones are
    nullable.

    Args:
        categories: the allowed categories; without any the property is left out.
        most: maximum number of facts.
    """
    properties: dict[str, Any] = {
        "text": _STRING,
        "kind": {"type": "string", "enum": [kind.value for kind in FactKind]},
        "about": _STRING,
        "attribute": _OPTIONAL,
        "evidence": _list_of(_object({"message": {"type": "integer"}, "quote": _STRING})),
        "valid_from": _OPTIONAL,
        "valid_to": _OPTIONAL,
        "entities": _list_of(_STRING),
        "relations": _list_of(
            _object({"subject": _STRING, "predicate": _STRING, "object": _STRING})
        ),
    }
    if categories:
        properties["categories"] = _list_of({"type": "string", "enum": list(categories)})
    facts = {**_list_of(_object(properties)), "maxItems": most}
    return _object({"facts": facts})


def steps_schema(categories: Sequence[str], most: int) -> Mapping[str, Any]:
    """The JSON schema of an answer with a procedure. Arguments: same as ``facts_schema``."""
    step = _object(
        {
            "part": {"type": "string", "enum": [part.value for part in Part]},
            "text": _STRING,
            "evidence": _list_of(_object({"message": {"type": "integer"}, "quote": _STRING})),
        }
    )
    properties: dict[str, Any] = {"steps": {**_list_of(step), "maxItems": most}}
    if categories:
        properties["categories"] = _list_of({"type": "string", "enum": list(categories)})
    return _object(properties)


_HANDLE = re.compile(r"\s*#?\s*([0-9]{1,9})\s*")
"""A number of the prompt that a model wrote as a string."""

_STRING: Mapping[str, Any] = {"type": "string"}
_OPTIONAL: Mapping[str, Any] = {"type": ["string", "null"]}


def _list_of(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(value: object, _kind: type) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def _number(value: object, _kind: type) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**9:
        return int(value)
    if isinstance(value, str) and (found := _HANDLE.fullmatch(value)) is not None:
        return int(found[1])
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return value


def _optional_text(value: object, _kind: Any) -> str | None:
    """A string; a number is one, such as a year, and anything else is not there."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value)) if abs(value) < 10**12 else None
    return value if isinstance(value, str) else None


def _kind_of_fact(value: object, _kind: type) -> FactKind:
    return next((kind for kind in FactKind if kind.value == value), FactKind.SEMANTIC)


def _part(value: object, _kind: type) -> Part:
    return next((part for part in Part if part.value == value), Part.STEP)


def _is_optional_text(kind: Any) -> bool:
    return bool(kind == str | None)


def _require_object(item: object) -> None:
    if not isinstance(item, Mapping):
        raise TypeError(f"expected an object, got {type(item).__name__}")


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _sound_items(kind: Any) -> Callable[[object, Any], tuple[Any, ...]]:
    item = get_args(kind)[0]

    def structure(value: object, _kind: Any) -> tuple[Any, ...]:
        found: list[Any] = []
        for raw in value if isinstance(value, list) else [] if value is None else [value]:
            try:
                found.append(_CONVERTER.structure(raw, item))
            except (cattrs.BaseValidationError, TypeError, ValueError):
                continue
        return tuple(found)

    return structure


_CONVERTER = cattrs.Converter()
_CONVERTER.register_structure_hook(str, _text)
_CONVERTER.register_structure_hook(int, _number)
_CONVERTER.register_structure_hook(FactKind, _kind_of_fact)
_CONVERTER.register_structure_hook(Part, _part)
_CONVERTER.register_structure_hook_factory(_is_tuple, _sound_items)
_CONVERTER.register_structure_hook_func(_is_optional_text, _optional_text)
