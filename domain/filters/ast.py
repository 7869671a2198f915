"""The filter language: one tree, one parser, one meaning.

A filter narrows what a read returns by the attributes of facts. ``matches`` is what a filter
means; every engine must return the same rows, whatever it translates. Whose facts are read is not
a filter: the scope is an argument of its own and nothing here can widen it.

The meaning, where languages like this one usually differ:

* **Absent.** A field that is missing, holds ``None`` or holds an empty list is absent. Of an
  absent field only ``Ne``, ``NotIn`` and ``Not`` can be true. ``{"x": None}`` asks for absence.
* **Two-valued.** ``Ne`` is the negation of ``Eq``, ``NotIn`` that of ``In``; there is no third
  truth value.
* **Types.** Booleans, numbers, strings and times never equal, nor come before or after, a value
  of another type: ``True`` is not ``1`` and ``"1"`` is not ``1``. No comparison raises.
* **Numbers** compare by value: ``1`` equals ``1.0``. An integer outside of 64 bits has the value
  of the nearest double.
* **Strings** are equal, and ordered, by code points; nothing is normalised.
* **Booleans** have no order.
* **Lists.** ``Eq``, ``In``, ``Contains`` and ``IContains`` are true of a list if they hold one
  element that equals the operand (``IContains``: but for case). Lists have no order, and lists
  within lists, like objects, equal nothing.
* **Contains** on a string is a substring; ``IContains`` is the same on casefolded strings.
* **Paths.** A dot always separates: ``metadata.place.city`` reaches into objects, never into
  lists, and a key that has a dot in it cannot be named.
"""

from __future__ import annotations

import difflib
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeAlias

import attrs

from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactKind, FactStatus
from remembrancer.domain.scope import SCOPE_IDS

TIME_FIELDS: Final = frozenset(
    {"created_at", "updated_at", "occurred_at", "valid_from", "valid_to", "expires_at"}
)
TEXT_FIELDS: Final = frozenset({"fact_id", "kind", "status", "speaker", "text"})
BUILT_IN_FIELDS: Final = TIME_FIELDS | TEXT_FIELDS | {"entities"}

MAX_DEPTH: Final = 32
MAX_NODES: Final = 1000
_SHOWN: Final = 60

Scalar: TypeAlias = str | int | float | bool | datetime
Comparable: TypeAlias = tuple[str, Any]


def comparable(value: object) -> Comparable | None:
    """The type and the value that comparisons go by; ``None`` for what equals nothing.

    Returns:
        ``("boolean", bool)``, ``("number", int | float)``, ``("string", str)`` or ``("time",
        int)``, microseconds since 1970 in UTC. Two scalars are equal exactly if these pairs are.
    """
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int):
        return ("number", value if -(2**63) <= value < 2**63 else _nearest_double(value))
    if isinstance(value, float):
        return ("number", value)
    if isinstance(value, str):
        return ("string", value)
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return ("time", to_microseconds(value))
    return None


def _nearest_double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@attrs.frozen(kw_only=True)
class And:
    """Every part holds."""

    parts: tuple[Filter, ...]


@attrs.frozen(kw_only=True)
class Or:
    """At least one part holds."""

    parts: tuple[Filter, ...]


@attrs.frozen(kw_only=True)
class Not:
    """The part does not hold."""

    part: Filter


def _comparables(values: Iterable[object]) -> tuple[Comparable | None, ...]:
    return tuple(comparable(value) for value in values)


# Python holds that True == 1; without ``eq`` two filters of different meaning would be equal, and
# share an entry in any cache that is keyed by filters.
@attrs.frozen(kw_only=True)
class _OneValue:
    field: str
    value: Scalar = attrs.field(eq=comparable)

    @cached_property
    def wanted(self) -> frozenset[Comparable | None]:
        """The value, as comparisons see it."""
        return frozenset({comparable(self.value)} - {None})


@attrs.frozen(kw_only=True)
class _ManyValues:
    field: str
    values: tuple[Scalar, ...] = attrs.field(eq=_comparables)

    @cached_property
    def wanted(self) -> frozenset[Comparable | None]:
        """The values, as comparisons see them."""
        return frozenset(_comparables(self.values)) - {None}


@attrs.frozen(kw_only=True)
class Eq(_OneValue):
    """The field, or an element of it, equals the value."""


@attrs.frozen(kw_only=True)
class Ne(_OneValue):
    """The negation of ``Eq``."""


@attrs.frozen(kw_only=True)
class Gt(_OneValue):
    """The field is greater than the value, and of its type."""


@attrs.frozen(kw_only=True)
class Gte(_OneValue):
    """The field is greater than the value or equal to it, and of its type."""


@attrs.frozen(kw_only=True)
class Lt(_OneValue):
    """The field is less than the value, and of its type."""


@attrs.frozen(kw_only=True)
class Lte(_OneValue):
    """The field is less than the value or equal to it, and of its type."""


@attrs.frozen(kw_only=True)
class In(_ManyValues):
    """The field, or an element of it, equals one of the values. No values match nothing."""


@attrs.frozen(kw_only=True)
class NotIn(_ManyValues):
    """The negation of ``In``."""


@attrs.frozen(kw_only=True)
class Contains(_OneValue):
    """The field is a string with the value in it, or a list with an element equal to it."""


@attrs.frozen(kw_only=True)
class IContains:
    """``Contains`` for a string, after casefolding both sides."""

    field: str
    value: str

    @cached_property
    def folded(self) -> str:
        """The value, casefolded."""
        return self.value.casefold()


@attrs.frozen(kw_only=True)
class Exists:
    """The field is not absent."""

    field: str


Leaf: TypeAlias = Eq | Ne | Gt | Gte | Lt | Lte | In | NotIn | Contains | IContains | Exists
Filter: TypeAlias = And | Or | Not | Leaf


def fields(where: Filter) -> frozenset[str]:
    """The full paths of all fields that a filter names."""
    match where:
        case And() | Or():
            return frozenset().union(*(fields(part) for part in where.parts))
        case Not():
            return fields(where.part)
        case _:
            return frozenset({where.field})


def matches(where: Filter, attributes: Mapping[str, Any]) -> bool:
    """Whether a filter holds for a fact.

    Args:
        where: the filter.
        attributes: what filters see of one fact: the built-in fields by name (times as aware
            datetimes, ``entities`` as a list or tuple) and the user's own under ``metadata``.
    """
    match where:
        case And():
            return all(matches(part, attributes) for part in where.parts)
        case Or():
            return any(matches(part, attributes) for part in where.parts)
        case Not():
            return not matches(where.part, attributes)
        case _:
            return _holds(where, _value(where.field, attributes))


def _value(path: str, attributes: Mapping[str, Any]) -> object:
    value: object = attributes
    for part in path.split("."):
        # dict is a Mapping, but naming it first spares most calls the slow look-up.
        if not isinstance(value, (dict, Mapping)):
            return None
        value = value.get(part)
    return value


def _holds(where: Leaf, value: object) -> bool:
    match where:
        case Eq() | In():
            return _equals_one(value, where.wanted)
        case Ne() | NotIn():
            return not _equals_one(value, where.wanted)
        case Gt():
            return _ordered(operator.gt, value, where.value)
        case Gte():
            return _ordered(operator.ge, value, where.value)
        case Lt():
            return _ordered(operator.lt, value, where.value)
        case Lte():
            return _ordered(operator.le, value, where.value)
        case Contains():
            return _contains(value, where)
        case IContains():
            return _contains_casefolded(value, where.folded)
        case Exists():
            return value is not None and value != [] and value != ()


def _equals_one(value: object, wanted: frozenset[Comparable | None]) -> bool:
    if isinstance(value, (list, tuple)):
        return any(comparable(element) in wanted for element in value)
    return comparable(value) in wanted


def _contains(value: object, where: Contains) -> bool:
    if isinstance(value, str):
        return isinstance(where.value, str) and where.value in value
    return isinstance(value, (list, tuple)) and _equals_one(value, where.wanted)


def _contains_casefolded(value: object, wanted: str) -> bool:
    if isinstance(value, str):
        return wanted in value.casefold()
    return isinstance(value, (list, tuple)) and any(
        isinstance(element, str) and element.casefold() == wanted for element in value
    )


def _ordered(test: Callable[[Any, Any], bool], value: object, operand: Scalar) -> bool:
    left, right = comparable(value), comparable(operand)
    if left is None or right is None or left[0] != right[0] or left[0] == "boolean":
        return False
    return test(left[1], right[1])


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
    """Read a filter from its dict form.

    ``{"category": "food"}`` compares; several keys must all hold; ``{"score": {"gte": 3}}`` names
    an operator; a list asks for any of its values, ``"*"`` for any value at all and ``None`` for
    absence. ``{"AND": [...]}`` and ``{"OR": [...]}`` combine; ``{"NOT": ...}`` takes one filter or
    a list, and means none of them. A name that is not built in is the user's metadata:
    ``category`` is short for ``metadata.category``. Times are aware datetimes or ISO 8601 strings
    with an offset.

    Args:
        raw: the dict form; ``None`` or an empty dict is no filter.
        path: what errors call it.

    Returns:
        The filter, with full paths in it, or ``None`` if there is nothing to filter by.

    Raises:
        InvalidRequest: naming the path to the bad element.
    """
    if raw is None or (isinstance(raw, Mapping) and not raw):
        return None
    return _Parse(root=path).condition(raw, path, depth=1)


@attrs.define(kw_only=True)
class _Parse:
    """One parse. ``MAX_NODES`` bounds the filter as a whole, hence the running count."""

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
    """A key as a part of a path: as it is where it can be printed, else quoted and escaped."""
    text = str(name)
    return text if text.isprintable() and 0 < len(text) <= _SHOWN else _shown(text)


def _shown(value: object) -> str:
    """A bad value, short enough for an error of one line."""
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
