"""Requests of owners whose ids look alike, over all read paths and all writes that take a scope.

The oracle is what was planted: it compares ids with ``==`` and knows nothing of scopes, ledgers or
indexes. A round plants facts in one memory, and makes requests that depend on its seed alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, TypeAlias, cast

from attrs import define, field, frozen

from remembrancer import Memory, NotFound
from remembrancer.types import Entity, Exploration, Fact, FactStatus, Relation, ScopeIds

Ids: TypeAlias = dict[str, str]

OWNERS = ("user_id", "agent_id", "run_id")
NAMES = (*OWNERS, "app_id")

ALIKE: tuple[str, ...] = (
    "ann", "Ann", "ANN", "an", "anna", "ann ", " ann", "ann\u00a0", "ann\u2003", "a nn", "ann.",
    "ann\u200b", "ann\u00ad", "\ufeffann", "ann\u2028", "ann\u0301", "\u0430nn", "ａｎｎ",
    "user:ann", "agent:ann", "user:user:ann", "ann:", "ann/..", "ann|bob", "ann,bob", '["ann"]',
    "ann\\", "\\", "%", "_", "%%", "a%", "a_n", "_nn", "ann%", "%ann", "[a]nn", "a*", "?nn",
    "*", "%s", "$1", "{0}", "'", "''", "ann'", '"', 'ann"', "' OR '1'='1",
    "ann'; DROP TABLE fact; --", "ann\\'", "`ann`", "null", "None", "NULL", "undefined", "0",
    "00", "0.0", "-0", "1", "True", "true", "nan", "{}", "[]", "-", "--", "\u00a0.", "\u3164",
    "é", "e\u0301", "É", "ﬁ", "fi", "ß", "ss", "ẞ", "İ", "i\u0307", "ı", "i", "\u212a", "k",
    "Å", "\u212b", "Ω", "\u2126", "😀", "😀\ufe0f", "👩\u200d👩", "👩👩", "日本", "日本語",
    "\U00010348", "a" * 255, "a" * 256, "a" * 255 + "b", "é" * 256, "😀" * 256,
)  # fmt: skip
"""Ids that a prefix, a case, a normal form, a width, a space, a wildcard, a quote, a conversion to
another type, or a cut could make equal.
"""

WORDS = ("boat", "tea", "garden", "violin", "bread", "train", "winter", "letter")
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)

Oracle: TypeAlias = Callable[[Mapping[str, Any]], bool]

FILTERS: tuple[tuple[dict[str, Any] | None, Oracle], ...] = (
    (None, lambda _: True),
    ({"n": {"gte": 3}}, lambda held: held["n"] >= 3),
    ({"tag": "a"}, lambda held: held["tag"] == "a"),
    ({"NOT": {"tag": "a"}}, lambda held: held["tag"] != "a"),
    ({"tag": {"ne": "%"}}, lambda held: held["tag"] != "%"),
    ({"tag": {"contains": "_"}}, lambda held: "_" in held["tag"]),
    ({"tag": {"in": ["a", "A"]}}, lambda held: held["tag"] in ("a", "A")),
    ({"OR": [{"n": 1}, {"tag": "A"}]}, lambda held: held["n"] == 1 or held["tag"] == "A"),
    ({"OR": [{"n": {"gte": 0}}, {"n": {"lt": 0}}]}, lambda _: True),
    ({"AND": [{"n": {"lt": 4}}, {"tag": {"ne": "a"}}]}, lambda h: h["n"] < 4 and h["tag"] != "a"),
    ({"missing": None}, lambda _: True),
    ({"tag": "ann"}, lambda _: False),
)
TAGS = ("a", "A", "%", "_", "a_")


class Foreign(AssertionError):
    """A request showed, lost or changed a fact that it must not."""


@frozen(kw_only=True)
class Planted:
    """What was told: whose it is, and the words that name it alone."""

    ids: Ids
    metadata: dict[str, Any]
    names: frozenset[str]


def covers(asked: Ids, owned: Ids) -> bool:
    """Whether a request for these ids may see what belongs to those."""
    return all(owned.get(name) == value for name, value in asked.items())


def ledger_of(ids: Ids) -> tuple[str, str]:
    """The owner: the user if there is one, else the agent, else the run."""
    return next((name, ids[name]) for name in OWNERS if name in ids)


@define
class Round:
    """One memory with planted facts, and requests to it.

    Args:
        memory: an empty memory.
        seed: decides about everything.

    Attributes:
        shown: facts, links and entities that the requests showed, all of them checked.
    """

    memory: Memory
    seed: str
    shown: int = 0
    random: Random = field(init=False)
    planted: dict[str, Planted] = field(factory=dict)
    active: set[str] = field(factory=set)
    messages: dict[tuple[str, str], int] = field(factory=dict)
    names: dict[str, Planted] = field(factory=dict)
    asked: tuple[str, Ids] = ("", {})

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)

    def plant(self, count: int) -> None:
        """Tell ``count`` things, most of them by owners with confusable ids."""
        chosen = self.random.sample(ALIKE, 7)
        for number in range(count):
            self._tell(number, self._ids(chosen))

    def _ids(self, values: Sequence[str]) -> Ids:
        weights = {"user_id": 0.7, "agent_id": 0.4, "run_id": 0.3, "app_id": 0.2}
        while True:
            ids = {
                name: self.random.choice(values)
                for name in NAMES
                if self.random.random() < weights[name]
            }
            if not ids.keys().isdisjoint(OWNERS):
                return ids

    def _tell(self, number: int, ids: Ids) -> None:
        person, place, speaker = (f"{kind}{_letters(number)}" for kind in ("Per", "Pla", "Spe"))
        word = self.random.choice(WORDS)
        text, infer = self.random.choice(
            [
                (f"I like the {word}.", False),
                (f"{person} likes the {word}.", False),
                (f"My sister is {person}. {person} works at {place}.", True),
                (f"I live in {place}.", True),
                (f"My friend {person} moved to {place}.", True),
            ]
        )
        planted = Planted(
            ids=ids,
            metadata={"n": self.random.randrange(6), "tag": self.random.choice(TAGS)},
            names=frozenset({person, place, speaker}),
        )
        self.names |= dict.fromkeys(planted.names, planted)
        receipt = self.memory.add(
            {"content": text, "name": speaker, "timestamp": BEGINNING + timedelta(days=number)},
            metadata=planted.metadata,
            infer=infer,
            **_scope(ids),
        )
        owner = ledger_of(ids)
        self.messages[owner] = self.messages.get(owner, 0) + 1
        for verdict in receipt.verdicts:
            if verdict.fact_id is not None:
                self.planted.setdefault(verdict.fact_id, planted)
        self._count_active(owner)

    def _count_active(self, owner: tuple[str, str]) -> None:
        """Which facts of an owner are active, asked one by one and without a scope."""
        for fact_id, planted in self.planted.items():
            if ledger_of(planted.ids) == owner:
                active = self.memory.get(fact_id).status is FactStatus.ACTIVE
                (self.active.add if active else self.active.discard)(fact_id)

    def request(self) -> None:
        """Make one request and check its answer.

        Raises:
            Foreign: the answer is wrong.
        """
        ids = self._asked_ids()
        ask = self.random.choices(list(REQUESTS), list(REQUESTS.values()))[0]
        self.asked = (ask.__name__, ids)
        ask(self, ids)

    def _asked_ids(self) -> Ids:
        """Ids of somebody, fewer of them, or ids that look like them."""
        ids = dict(self.random.choice(list(self.planted.values())).ids)
        for name in list(ids):
            fate = self.random.random()
            if fate < 0.15:
                ids[name] = self.random.choice(ALIKE)
            elif fate < 0.3:
                ids[name] = _respelled(ids[name], self.random)
            elif fate < 0.45 and not (ids.keys() - {name}).isdisjoint(OWNERS):
                del ids[name]
        if self.random.random() < 0.1:
            ids[self.random.choice(NAMES)] = self.random.choice(ALIKE)
        return ids

    def visible(self, ids: Ids, holds: Oracle = lambda _: True) -> set[str]:
        """The active facts that a request for these ids sees."""
        owner = ledger_of(ids)
        return {
            fact_id
            for fact_id in self.active
            if ledger_of((planted := self.planted[fact_id]).ids) == owner
            and covers(ids, planted.ids)
            and holds(planted.metadata)
        }

    def check_facts(self, ids: Ids, facts: Iterable[Fact]) -> set[str]:
        """Check that facts are the request's own; return their ids."""
        found: set[str] = set()
        for fact in facts:
            planted = self.planted.get(fact.fact_id)
            if planted is None or not covers(ids, planted.ids):
                raise self.wrong(f"showed {fact.fact_id}, which belongs to {planted}")
            if fact.scope.ids() != planted.ids:
                raise self.wrong(f"showed {fact.fact_id} with {fact.scope.ids()}, not {planted}")
            self.check_names(ids, fact.text.split())
            self.shown += 1
            found.add(fact.fact_id)
        return found

    def check_names(self, ids: Ids, words: Iterable[str]) -> None:
        """Check that no word names what belongs to somebody else."""
        for word in words:
            planted = self.names.get(word.strip(".,"))
            if planted is not None and not covers(ids, planted.ids):
                raise self.wrong(f"named {word}, which belongs to {planted.ids}")

    def wrong(self, problem: str) -> Foreign:
        """The error that tells how to see it again."""
        name, ids = self.asked
        return Foreign(f"seed {self.seed!r}: {name} for {ids!r} {problem}")


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")


def _respelled(value: str, random: Random) -> str:
    """Another string that a comparison may take for this one; itself where there is none."""
    changed = random.choice(
        [
            *(partial(unicodedata.normalize, form) for form in _FORMS),
            str.upper, str.lower, str.casefold, str.title, str.strip,
            lambda text: text + " ", lambda text: " " + text, lambda text: text[:-1],
            lambda text: text + "%", lambda text: "_" + text[1:], lambda text: text * 2,
            lambda text: "".join(_WIDE.get(each, each) for each in text),
        ]
    )(value)  # fmt: skip
    return changed[:256] if changed.strip() else value


_FORMS: tuple[Any, ...] = ("NFC", "NFD", "NFKC", "NFKD")
_WIDE = {chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)}


def _scope(ids: Ids) -> ScopeIds:
    return cast("ScopeIds", ids)


def _moments(random: Random) -> dict[str, Any]:
    """Arguments that look back in valid time or not; without any the answer is known exactly."""
    return random.choice([{}, {}, {"valid_at": BEGINNING + timedelta(days=random.randrange(60))}])


# The requests. Each checks its own answer.


def search(asked: Round, ids: Ids) -> None:
    """Search."""
    where, holds = asked.random.choice(FILTERS)
    query = asked.random.choice([*WORDS, *asked.names, "Where does my sister work?", "%", "ann"])
    result = asked.memory.search(
        query,
        filters=where,
        limit=asked.random.choice((1, 5, 50)),
        explain=True,
        **_moments(asked.random),
        **_scope(ids),
    )
    found = asked.check_facts(ids, (hit.fact for hit in result))
    for hit in result:
        asked.check_names(ids, str(hit.path or "").split())
    if unmatched := [each for each in found if not holds(asked.planted[each].metadata)]:
        raise asked.wrong(f"showed {unmatched}, which {where} leaves out")
    if result.degraded:
        raise asked.wrong(f"was degraded: {result.degraded}")


def get_all(asked: Round, ids: Ids) -> None:
    """List all pages; without another time, the answer is known exactly."""
    where, holds = asked.random.choice(FILTERS)
    moments, limit = _moments(asked.random), asked.random.choice((3, 100))
    found: set[str] = set()
    cursor: str | None = None
    while True:
        page = asked.memory.get_all(
            filters=where, limit=limit, cursor=cursor, **moments, **_scope(ids)
        )
        found |= asked.check_facts(ids, page.facts)
        cursor = page.cursor
        if cursor is None:
            break
    if not moments and found != asked.visible(ids, holds):
        raise asked.wrong(f"listed {found}, not {asked.visible(ids, holds)}, by {where}")


def get(asked: Round, ids: Ids) -> None:
    """Get a fact by its id and somebody's ids."""
    fact_id = asked.random.choice(list(asked.planted))
    _owned(asked, ids, fact_id, lambda: [asked.memory.get(fact_id, **_scope(ids))])


def history(asked: Round, ids: Ids) -> None:
    """Read the versions of a fact by its id and somebody's ids."""
    fact_id = asked.random.choice(list(asked.planted))
    _owned(asked, ids, fact_id, lambda: asked.memory.history(fact_id, **_scope(ids)))


def _owned(asked: Round, ids: Ids, fact_id: str, read: Callable[[], Iterable[Fact]]) -> None:
    owned = asked.planted[fact_id].ids
    try:
        found = asked.check_facts(ids, read())
    except NotFound:
        if covers(ids, owned) and ledger_of(ids) == ledger_of(owned):
            raise asked.wrong(f"did not find its own {fact_id}") from None
        return
    if found != {fact_id}:
        raise asked.wrong(f"showed {found} for {fact_id}")


def entities(asked: Round, ids: Ids) -> None:
    """List entities."""
    found = asked.memory.entities(limit=1000, **_moments(asked.random), **_scope(ids))
    _check_entities(asked, ids, found)


def _check_entities(asked: Round, ids: Ids, found: Iterable[Entity]) -> None:
    for entity in found:
        asked.check_names(ids, " ".join((entity.name, *entity.aliases)).split())
        asked.shown += 1


def relations(asked: Round, ids: Ids) -> None:
    """List the relations of an entity, which may be somebody else's."""
    name = asked.random.choice([*asked.names, "sister"])
    try:
        found = asked.memory.relations(name, limit=1000, **_moments(asked.random), **_scope(ids))
    except NotFound as error:
        asked.check_names(ids, str(error).replace(name, "").split())
        return
    _check_relations(asked, ids, found)


def _check_relations(asked: Round, ids: Ids, found: Iterable[Relation]) -> None:
    for relation in found:
        if not covers(ids, relation.scope.ids()):
            raise asked.wrong(f"showed {relation}")
        if relation.fact_id is not None and not covers(ids, asked.planted[relation.fact_id].ids):
            raise asked.wrong(f"showed {relation}, whose fact belongs to somebody else")
        asked.check_names(ids, f"{relation.subject} {relation.object}".split())
        asked.shown += 1


def graph(asked: Round, ids: Ids) -> None:
    """Explore the neighbourhood of an entity, which may be somebody else's."""
    name = asked.random.choice([None, *asked.names])
    try:
        found = asked.memory.graph(name, depth=3, **_moments(asked.random), **_scope(ids))
    except NotFound as error:
        asked.check_names(ids, str(error).replace(str(name), "").split())
        return
    if found is not None:
        _check_exploration(asked, ids, found)


def _check_exploration(asked: Round, ids: Ids, found: Exploration) -> None:
    _check_entities(asked, ids, (found.start, *found.entities))
    _check_relations(asked, ids, (relation for relation, _ in found.relations))
    asked.check_facts(ids, found.facts.values())
    for mention, _ in found.mentions:
        asked.check_names(ids, " ".join(mention.entities).split())
        if not covers(ids, asked.planted[mention.fact_id].ids):
            raise asked.wrong(f"showed {mention}")


def stats(asked: Round, ids: Ids) -> None:
    """Count what an owner has."""
    found = asked.memory.stats(**_scope(ids))
    owner = ledger_of(ids)
    active = sum(ledger_of(asked.planted[each].ids) == owner for each in asked.active)
    counted = (found.facts.get(FactStatus.ACTIVE, 0), found.messages)
    if counted != (active, asked.messages.get(owner, 0)):
        raise asked.wrong(f"counted {counted}, not {(active, asked.messages.get(owner, 0))}")


def update(asked: Round, ids: Ids) -> None:
    """Change the metadata of a fact by its id and somebody's ids."""
    fact_id = asked.random.choice(list(asked.planted))
    planted = asked.planted[fact_id]
    before = asked.memory.get(fact_id)
    try:
        asked.memory.update(fact_id, metadata={**planted.metadata, "seen": True}, **_scope(ids))
    except NotFound:
        if asked.memory.get(fact_id) != before:
            raise asked.wrong(f"refused and changed {fact_id}") from None
        return
    if not covers(ids, planted.ids):
        raise asked.wrong(f"changed {fact_id}, which belongs to {planted.ids}")


def delete(asked: Round, ids: Ids) -> None:
    """Withdraw a fact by its id and somebody's ids."""
    fact_id = asked.random.choice(list(asked.planted))
    try:
        asked.memory.delete(fact_id, **_scope(ids))
    except NotFound:
        if fact_id in asked.active and fact_id in asked.visible(ids):
            raise asked.wrong(f"did not withdraw its own {fact_id}") from None
        return
    if not covers(ids, asked.planted[fact_id].ids):
        raise asked.wrong(f"withdrew {fact_id}, which belongs to {asked.planted[fact_id].ids}")
    asked.active.discard(fact_id)


def delete_all(asked: Round, ids: Ids) -> None:
    """Withdraw all facts of a scope."""
    own = asked.visible(ids)
    asked.memory.delete_all(**_scope(ids))
    asked.active -= own
    for fact_id in asked.planted:
        is_active = asked.memory.get(fact_id).status is FactStatus.ACTIVE
        if is_active != (fact_id in asked.active):
            raise asked.wrong(f"left {fact_id} {'active' if is_active else 'withdrawn'}")


REQUESTS: dict[Callable[[Round, Ids], None], float] = {
    search: 20, get_all: 20, get: 10, history: 10, entities: 8, relations: 8, graph: 8, stats: 8,
    update: 4, delete: 2, delete_all: 0.5,
}  # fmt: skip
"""Each request with its weight. Those that withdraw are rare: there must be something to show."""


def run_round(memory: Memory, seed: str, requests: int, *, planted: int = 60) -> int:
    """Plant facts and make requests; return how much was shown and checked.

    Raises:
        Foreign: an answer is wrong.
    """
    made = Round(memory, seed)
    made.plant(planted)
    for _ in range(requests):
        made.request()
    return made.shown
