"""Parse filters from their dict form."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactKind, FactStatus
from remembrancer.domain.filters.ast import (
    BUILT_IN_FIELDS,
    TIME_FIELDS,
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
    comparable,
)
from remembrancer.domain.scope import SCOPE_IDS

MAX_DEPTH: Final = 32
MAX_NODES: Final = 1000
_SHOWN: Final = 60

_SINGLE_VALUED: Final[
    dict[str, type[Eq | Ne | Gt | Gte | Lt | Lte | Contains] | type[IContains]]
] = {
    "eq": Eq,
    "ne": Ne,
    "gt": Gt,
    "gte": Gte,
    "lt": Lt,
    "lte": Lte,
    "contains": Contains,
    "icontains": IContains,
}
_MANY_VALUED: Final[dict[str, type[In | NotIn]]] = {"in": In, "nin": NotIn, "not_in": NotIn}
_OPERATORS: Final = (*_SINGLE_VALUED, *_MANY_VALUED, "exists")
_ORDERS: Final = ("gt", "gte", "lt", "lte")
_SUBSTRINGS: Final = ("contains", "icontains")
_COMBINATIONS: Final = ("AND", "OR", "NOT")
_ENUMERATED: Final[dict[str, tuple[str, ...]]] = {
    "kind": tuple(FactKind),
    "status": tuple(FactStatus),
}


def parse_filter(raw: object, path: str = "filters") -> Filter | None:
    """Parse a filter from its dict form.

    ``{"category": "food"}`` tests for equality; several keys must all hold;
    ``{"score": {"gte": 3}}`` names an operator; a list matches any of its values, ``"*"`` any
    value and ``None`` an absent field. ``{"AND": [...]}`` and ``{"OR": [...]}`` combine filters;
    ``{"NOT": ...}`` takes one filter or a list, and holds if none of them does. A name that is not
    built in is metadata: ``category`` is short for ``metadata.category``. Times are aware
    datetimes or ISO 8601 strings with an offset.

    Args:
        raw: the dict form; ``None`` or an empty dict is no filter.
        path: prefix of paths in errors.

    Returns:
        The filter with full paths, or ``None`` if there is no filter.

    Raises:
        InvalidRequest: an element is invalid; the error has its path.
    """
    if raw is None or (isinstance(raw, Mapping) and not raw):
        return None
    return _Parse(root=path).condition(raw, path, depth=1)


@attrs.define(kw_only=True)
class _Parse:
    """One parse. ``nodes`` is counted because ``MAX_NODES`` limits the whole filter."""

    root: str
    nodes: int = 0

    def condition(self, raw: object, path: str, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise InvalidRequest(self.root, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        if not isinstance(raw, Mapping):
            raise InvalidRequest(path, f"expected an object, got {_shown(raw)}")
        if not raw:
            raise InvalidRequest(path, "is empty; leave it out or name a field")
        return _all([self.member(name, value, path, depth) for name, value in raw.items()])

    def member(self, name: object, value: object, path: str, depth: int) -> Filter:
        if not isinstance(name, str):
            raise InvalidRequest(path, f"expected strings as keys, got {_shown(name)}")
        here = f"{path}.{_shown_name(name)}"
        if name in _COMBINATIONS:
            self.count(1)
            return self.combination(name, value, here, depth + 1)
        return self.comparison(_full_path(name, here), value, here)

    def combination(self, name: str, raw: object, path: str, depth: int) -> Filter:
        if name == "NOT" and isinstance(raw, Mapping):
            return Not(part=self.condition(raw, path, depth))
        if not isinstance(raw, (list, tuple)):
            raise InvalidRequest(path, f"expected a list of filters, got {_shown(raw)}")
        if not raw:
            raise InvalidRequest(path, "is empty; leave it out or put a filter into it")
        parts = [self.condition(part, f"{path}[{at}]", depth) for at, part in enumerate(raw)]
        if name == "AND":
            return _all(parts)
        either = parts[0] if len(parts) == 1 else Or(parts=tuple(parts))
        return Not(part=either) if name == "NOT" else either

    def comparison(self, field: str, raw: object, path: str) -> Filter:
        if isinstance(raw, str) and raw == "*":
            return self.leaf("exists", field, True, path)
        if isinstance(raw, (list, tuple)):
            return self.leaf("in", field, raw, path)
        if not isinstance(raw, Mapping):
            return self.leaf("eq", field, raw, path)
        if not raw:
            raise InvalidRequest(path, f"is empty; name an operator: {', '.join(_OPERATORS)}")
        parts: list[Filter] = []
        for name, operand in raw.items():
            here = f"{path}.{_shown_name(name)}"
            parts.append(self.leaf(_operator(name, here), field, operand, here))
        return _all(parts)

    def leaf(self, name: str, field: str, operand: object, path: str) -> Filter:
        self.count(1)
        exists = Exists(field=field)
        if name == "exists":
            if not isinstance(operand, bool):
                raise InvalidRequest(path, f"expected true or false, got {_shown(operand)}")
            return exists if operand else Not(part=exists)
        if operand is None and name in ("eq", "ne"):
            return exists if name == "ne" else Not(part=exists)
        _check_operator(name, field, path)
        if name in _MANY_VALUED:
            return self.one_of(name, field, operand, path)
        return _SINGLE_VALUED[name](field=field, value=_operand(name, field, operand, path))

    def one_of(self, name: str, field: str, operand: object, path: str) -> Filter:
        if not isinstance(operand, (list, tuple)):
            raise InvalidRequest(path, f"expected a list, got {_shown(operand)}")
        self.count(len(operand))
        values = [_operand(name, field, each, f"{path}[{at}]") for at, each in enumerate(operand)]
        return _MANY_VALUED[name](field=field, values=tuple(values))

    def count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise InvalidRequest(
                self.root, f"has more than {MAX_NODES} conditions and values; ask in several calls"
            )


def _all(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(parts=tuple(parts))


def _full_path(name: str, path: str) -> str:
    _check_text(name, path)
    root, _, rest = name.partition(".")
    meant = name.strip("$").upper()
    if root in SCOPE_IDS:
        raise InvalidRequest(
            path,
            f"scope can't be widened by a filter; pass {root} as an argument of the call instead",
        )
    if meant in _COMBINATIONS:
        raise InvalidRequest(
            path, f'did you mean "{meant}"? For metadata of that name write metadata.{name}'
        )
    if not all(name.split(".")):
        raise InvalidRequest(path, 'has an empty part; write a path such as "place.city"')
    if root in BUILT_IN_FIELDS and rest:
        raise InvalidRequest(
            path, f"{root} has no fields inside; for your own metadata write metadata.{name}"
        )
    if name in BUILT_IN_FIELDS or (root == "metadata" and rest):
        return name
    return f"metadata.{name}"


def _operator(name: object, path: str) -> str:
    if isinstance(name, str) and name in _OPERATORS:
        return name
    near = difflib.get_close_matches(str(name).strip("$").lower(), _OPERATORS, n=1)
    advice = f'did you mean "{near[0]}"?' if near else 'a field of an object is "place.city";'
    raise InvalidRequest(path, f"unknown operator; {advice} allowed: {', '.join(_OPERATORS)}")


def _check_operator(name: str, field: str, path: str) -> None:
    if field in TIME_FIELDS and name in _SUBSTRINGS:
        raise InvalidRequest(path, f"{field} is a time; use gt, gte, lt or lte")
    if field == "entities" and name in _ORDERS:
        raise InvalidRequest(path, "entities is a list and has no order; use contains or in")


def _operand(name: str, field: str, value: object, path: str) -> Any:
    if value is None:
        raise InvalidRequest(path, 'null is not a value; ask for absence with {"exists": false}')
    if field in TIME_FIELDS:
        return _time(value, path)
    if isinstance(value, str):
        _check_text(value, path)
        _check_enumerated(name, field, value, path)
        return value
    if field in BUILT_IN_FIELDS or name == "icontains":
        raise InvalidRequest(path, f"expected a string, got {_shown(value)}")
    if name in _ORDERS and isinstance(value, bool):
        raise InvalidRequest(path, f"expected a number or a string, got {_shown(value)}")
    if isinstance(value, datetime):
        raise InvalidRequest(
            path, "metadata holds no times; compare with a string in the form that was stored"
        )
    known = comparable(value)
    if known is None:
        raise InvalidRequest(path, f"expected a string, a number or a boolean, got {_shown(value)}")
    if not math.isfinite(known[1]):
        raise InvalidRequest(path, f"expected a finite number, got {_shown(value)}")
    return value


def _time(value: object, path: str) -> datetime:
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise InvalidRequest(
            path,
            f'expected a time with an offset such as "2026-05-03T10:00:00Z", got {_shown(value)}',
        )
    return moment


def _check_enumerated(name: str, field: str, value: str, path: str) -> None:
    allowed = _ENUMERATED.get(field)
    if allowed and name not in (*_ORDERS, *_SUBSTRINGS) and value not in allowed:
        raise InvalidRequest(
            path,
            f"expected one of {', '.join(allowed)}, got {_shown(value)}; "
            f"for your own metadata write metadata.{field}",
        )


def _check_text(value: str, path: str) -> None:
    for index, character in enumerate(value):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise InvalidRequest(
                path, f"forbidden character U+{ord(character):04X} at index {index}; remove it"
            )


def _shown_name(name: object) -> str:
    """A key as a part of a path; quoted and escaped if it is not printable."""
    text = str(name)
    return text if text.isprintable() and 0 < len(text) <= _SHOWN else _shown(text)


def _shown(value: object) -> str:
    """An invalid value, shortened for an error of one line."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        short = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
        return json.dumps(short, ensure_ascii=not short.isprintable())
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64):
        return str(value)
    if isinstance(value, int):
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, datetime):
        return value.isoformat()
    return f"a value of type {type(value).__name__}"
