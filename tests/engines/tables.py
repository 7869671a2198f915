"""Fake database: implements the adapter's statements over dictionaries, by their exact text.

It does not parse Cypher. An unknown statement is refused as a syntax error. The same tests run on a
real server too, so a difference makes one of them fail. Write transactions are serialised; reads
see committed data, as on the server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

from attrs import define, field

from remembrancer.adapters.knowledge_graph.neo4j import statements

Row: TypeAlias = list[Any]
Link: TypeAlias = dict[str, Any]
Parameters: TypeAlias = Mapping[str, Any]


@define
class Answer:
    """Rows with the names of their columns."""

    fields: list[str]
    rows: list[Row]


@define
class State:
    """All that is stored."""

    ledgers: dict[str, dict[str, Any]] = field(factory=dict)
    names: dict[tuple[str, str], str] = field(factory=dict)
    facts: dict[tuple[str, str, int], Link] = field(factory=dict)
    relations: dict[tuple[str, str, int], Link] = field(factory=dict)
    synonyms: dict[tuple[str, str, int], Link] = field(factory=dict)
    ends: dict[tuple[str, str, int], list[str]] = field(factory=dict)
    logs: dict[bool, str] = field(factory=dict)
    clearing: bool = False

    def of_name(self, links: Mapping[Any, Link], ledger: str, key: str) -> list[Link]:
        """Return the links at a name."""
        return [
            link for place, link in links.items() if place[0] == ledger and key in self.ends[place]
        ]


class Tables:
    """The committed state."""

    def __init__(self) -> None:
        self.state = State()
        self.commits = 0
        self.turn = threading.Lock()

    def begin(self, *, writing: bool) -> Transaction:
        """Begin a transaction; its first writing statement waits for the write lock."""
        return Transaction(self, writing)


@define
class Transaction:
    """An atomic group of statements."""

    tables: Tables
    writing: bool
    changed: State | None = None

    def run(self, statement: str, parameters: Parameters) -> Answer | None:
        """Return the answer to a statement; ``None`` if it is unknown or not allowed."""
        if statement in READING:
            fields, read = READING[statement]
            return Answer(fields, list(read(self.changed or self.tables.state, parameters)))
        if statement in statements.SCHEMA:
            return Answer([], [])
        if statement not in WRITING or not self.writing:
            return None
        if self.changed is None:
            self.tables.turn.acquire()
            self.changed = deepcopy(self.tables.state)
        fields, write = WRITING[statement]
        return Answer(fields, list(write(self.changed, parameters) or ()))

    def commit(self) -> str:
        """Commit; returns a bookmark."""
        if self.changed is not None:
            self.tables.state = self.changed
            self.tables.commits += 1
        self.roll_back()
        return f"stand-in:{self.tables.commits}"

    def roll_back(self) -> None:
        """Discard the changes and release the write lock."""
        if self.changed is not None:
            self.changed = None
            self.tables.turn.release()


def _seen(links: Iterable[Link], asked: Parameters) -> list[Link]:
    return [link for link in links if _is_seen(link, asked)]


def _is_seen(link: Link, asked: Parameters) -> bool:
    as_of, begun_by, lasting = asked["as_of"], asked["begun_by"], asked["lasting"]
    closed = link["until"] is not None and link["until"] <= asked["position"]
    return (
        link["since"] <= asked["position"]
        and (not closed or (as_of is not None and link["recorded_to"] > as_of))
        and (as_of is None or link["recorded_from"] <= as_of)
        and (link["expires_at"] is None or link["expires_at"] > asked["now"])
        and (begun_by is None or link["valid_from"] is None or link["valid_from"] <= begun_by)
        and (lasting is None or link["valid_to"] is None or link["valid_to"] > lasting)
        and (begun_by is None or sum(bound <= begun_by for bound in link["gaps"] or ()) % 2 == 0)
        and all(
            asked[name] is None or link[name] == asked[name]
            for name in ("user_id", "agent_id", "run_id", "app_id")
        )
    )


def _kept(link: Link) -> Link:
    """Return the stored properties: the server does not store null."""
    return {name: value for name, value in link.items() if value is not None}


def _start(state: State, asked: Parameters) -> list[Row]:
    ledger = state.ledgers.get(asked["ledger"])
    if ledger is None:
        return []
    known = [key for key in asked["keys"] if (asked["ledger"], key) in state.names]
    return [[ledger.get("position"), ledger.get("aliases"), known]]


def _links(state: State, asked: Parameters) -> list[Row]:
    def newest(links: Mapping[Any, Link], key: str, most: int) -> list[Link]:
        found = _seen(state.of_name(links, asked["ledger"], key), asked)
        return sorted(found, key=lambda link: link["position"], reverse=True)[:most]

    return [
        [key, _kept(link)]
        for key in asked["keys"]
        for links, most in (
            (state.relations, asked["relations"]),
            (state.facts, asked["facts"]),
        )
        for link in newest(links, key, most)
    ]


def _synonyms(state: State, asked: Parameters) -> list[Row]:
    found = {
        (link["relation_id"], link["since"]): link
        for key in asked["keys"]
        for link in _seen(state.of_name(state.synonyms, asked["ledger"], key), asked)
    }
    return [[_kept(link)] for link in found.values()]


def _all_synonyms(state: State, asked: Parameters) -> list[Row]:
    of_ledger = [link for place, link in state.synonyms.items() if place[0] == asked["ledger"]]
    return [[_kept(link)] for link in _seen(of_ledger, asked)]


def _counted(state: State, asked: Parameters, key: str) -> Row:
    ledger = asked["ledger"]
    relations, facts = (
        len(_seen(state.of_name(links, ledger, key), asked))
        for links in (state.relations, state.facts)
    )
    return [state.names[ledger, key], relations, facts if asked["mentions"] else 0]


def _counted_among(state: State, asked: Parameters) -> list[Row]:
    return [
        _counted(state, asked, key)
        for key in asked["keys"]
        if (asked["ledger"], key) in state.names
    ]


def _counted_most(state: State, asked: Parameters) -> list[Row]:
    keys = [key for ledger, key in state.names if ledger == asked["ledger"]]
    rows = [(key, _counted(state, asked, key)) for key in keys if key not in asked["keys"]]
    rows = [(key, row) for key, row in rows if row[1] + row[2] > 0]
    rows.sort(key=lambda pair: (-pair[1][1] - pair[1][2], pair[0]))
    return [row for _, row in rows][: asked["most"]]


def _lock(state: State, asked: Parameters) -> list[Row]:
    return [
        [
            name,
            state.logs.get(True),
            state.ledgers.setdefault(name, {}).get("version", 0),
            state.clearing,
        ]
        for name in asked["ledgers"]
    ]


def _by(kinds: tuple[str, ...], column: str) -> Callable[[State, Parameters], list[Row]]:
    def find(state: State, asked: Parameters) -> list[Row]:
        return [
            [_kept(link)]
            for want in asked["wanted"]
            for kind in kinds
            for place, link in getattr(state, kind).items()
            if place[0] == want["ledger"] and link[column] == want["id"]
        ]

    return find


def _close(kind: str) -> Callable[[State, Parameters], None]:
    def close(state: State, asked: Parameters) -> None:
        links = getattr(state, kind)
        for one in asked["closed"]:
            link = links[one["ledger"], one["id"], one["since"]]
            link |= {"until": one["until"], "recorded_to": one["recorded_to"]}

    return close


def _create(kind: str, column: str) -> Callable[[State, Parameters], None]:
    def create(state: State, asked: Parameters) -> None:
        links = getattr(state, kind)
        for one in asked["made"]:
            link = one["link"]
            place = link["ledger"], link[column], link["since"]
            assert place not in links, "violates the uniqueness constraint"
            assert all((link["ledger"], key) in state.names for key in one["keys"])
            links[place], state.ends[place] = dict(link), one["keys"]

    return create


def _name(state: State, asked: Parameters) -> None:
    for one in asked["names"]:
        state.names.setdefault((one["ledger"], one["key"]), one["name"])


def _advance(state: State, asked: Parameters) -> None:
    for one in asked["ledgers"]:
        ledger = state.ledgers[one["name"]]
        ledger["position"], ledger["version"] = one["position"], one["version"]
        ledger["aliases"] = ledger.get("aliases", False) or one["aliases"]


def _bind(state: State, asked: Parameters) -> list[Row]:
    return [[state.logs.setdefault(True, asked["log"])]]


def _begin_clearing(state: State, _asked: Parameters) -> None:
    state.clearing = True


def _delete(*kinds: str) -> Callable[[State, Parameters], list[Row]]:
    def delete(state: State, asked: Parameters) -> list[Row]:
        stored = getattr(state, kinds[0])
        gone = list(stored)[: asked["most"]]
        for place in gone:
            del stored[place]
        for links in (getattr(state, kind) for kind in kinds[1:]):
            for place in [place for place in links if _joins(state, place, gone)]:
                del links[place]
        return [[len(gone)]]

    return delete


def _joins(state: State, place: tuple[str, str, int], names: list[tuple[str, str]]) -> bool:
    return any((place[0], key) in names for key in state.ends[place])


def _end_clearing(state: State, _asked: Parameters) -> list[Row]:
    was, state.clearing = state.clearing, False
    return [[int(was)]]


READING: dict[str, tuple[list[str], Callable[[State, Parameters], Iterable[Row]]]] = {
    statements.AGENT: (["one"], lambda _state, _asked: [[1]]),
    statements.START: (["position", "aliases", "keys"], _start),
    statements.LINKS: (["key", "link"], _links),
    statements.SYNONYMS: (["link"], _synonyms),
    statements.ALL_SYNONYMS: (["link"], _all_synonyms),
    statements.COUNTED_AMONG: (["name", "relations", "facts"], _counted_among),
    statements.COUNTED_MOST: (["name", "relations", "facts"], _counted_most),
    statements.HELD: (["log"], lambda state, _asked: [[log] for log in state.logs.values()]),
    statements.FACTS: (["link"], _by(("facts",), "fact_id")),
    statements.RELATIONS: (["link"], _by(("relations", "synonyms"), "relation_id")),
    statements.RELATIONS_OF_FACTS: (["link"], _by(("relations", "synonyms"), "fact_id")),
}

_LOGS, _LEDGERS, _FACTS, _NAMES, _CLEARING = statements.CLEAR

WRITING: dict[str, tuple[list[str], Callable[[State, Parameters], Iterable[Row] | None]]] = {
    statements.LOCK: (["name", "log", "version", "clearing"], _lock),
    statements.NAMES: ([], _name),
    statements.CLOSE_FACTS: ([], _close("facts")),
    statements.CLOSE_RELATIONS: ([], _close("relations")),
    statements.CLOSE_SYNONYMS: ([], _close("synonyms")),
    statements.CREATE_FACTS: ([], _create("facts", "fact_id")),
    statements.CREATE_RELATIONS: ([], _create("relations", "relation_id")),
    statements.CREATE_SYNONYMS: ([], _create("synonyms", "relation_id")),
    statements.ADVANCE: ([], _advance),
    statements.BIND: (["log"], _bind),
    statements.BEGIN_CLEARING: ([], _begin_clearing),
    _LEDGERS: (["deleted"], _delete("ledgers")),
    _FACTS: (["deleted"], _delete("facts")),
    _NAMES: (["deleted"], _delete("names", "relations", "synonyms")),
    _LOGS: (["deleted"], _delete("logs")),
    _CLEARING: (["deleted"], _end_clearing),
}
