"""Walk the knowledge graph: find the links near an entity, each with its path.

Pure. A walk yields queries to ``Ties`` and is sent the answers, so it works with any store, sync or
async. All stores use it, so all of them reach the same links.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from attrs import frozen

from remembrancer.domain.graph.graph import Link, LinkKey, Mention
from remembrancer.domain.text import normalised

T = TypeVar("T")

FAN_OUT = 32
"""Maximum number of relations, and of facts, followed from one name, newest first. A name with
more links is near everything, so its links say little.
"""


@frozen(kw_only=True, slots=False)
class Step:
    """A link that was walked along, and the entity that it led to. ``to`` is ``None`` if the last
    link of a path is a fact, which may name several entities.
    """

    link: Link
    to: str | None = None


@frozen(kw_only=True, slots=False)
class Path:
    """A path from an entity along links; as text ``Ann -[sister]-> Eve -[fact 0192…]``."""

    start: str
    steps: tuple[Step, ...] = ()

    @property
    def distance(self) -> int:
        """The number of links, aliases not counted."""
        return sum(isinstance(link, Mention) or not link.synonym for link in self.links)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links of the path, in order."""
        return tuple(step.link for step in self.steps)

    @property
    def last(self) -> str:
        """The last step as text, such as ``-[sister]-> Eve``."""
        return "".join([*self._written()][-1:]).strip()

    def __str__(self) -> str:
        return self.start + "".join(self._written())

    def _written(self) -> Iterator[str]:
        here = self.start
        for step in self.steps:
            there = "" if step.to is None else f" {step.to}"
            if isinstance(step.link, Mention):
                yield f" -[fact {step.link.fact_id}]{'-' if there else ''}{there}"
            elif normalised(step.link.subject) == normalised(here):
                yield f" -[{step.link.predicate}]->{there}"
            else:
                yield f" <-[{step.link.predicate}]-{there}"
            here = step.to or here


@frozen(kw_only=True, slots=False)
class Reached:
    """A link and the shortest path to it; the link is the last step."""

    link: Link
    path: Path

    @property
    def distance(self) -> int:
        """1 for the links of the start entity, 0 for its aliases."""
        return self.path.distance


@frozen(slots=False)
class Tie:
    """A link with the names that it joins, each with its node: the key of the name in the store."""

    link: Link
    ends: tuple[tuple[Hashable, str], ...]


class Ties(Protocol):
    """The lookups of a walk, all in one view of one state of the graph.

    Two names have the same node if and only if ``normalised`` returns the same for both. An async
    store has the same methods as coroutines, and its own loop in place of ``answered``.
    """

    def nodes(self, names: Sequence[str]) -> Sequence[tuple[Hashable, str]]:
        """The known names among ``names``, each with its node."""
        ...

    def synonyms(self, nodes: Sequence[Hashable]) -> Sequence[Tie]:
        """The ``SAME_AS`` relations of any of ``nodes``, oldest first."""
        ...

    def links(self, nodes: Sequence[Hashable], most: int) -> Sequence[Sequence[Tie]]:
        """For each node, in the order of ``nodes``: the newest ``most`` relations without
        ``SAME_AS``, then the newest ``most`` facts that name it; both newest first.
        """
        ...


Question: TypeAlias = Callable[[Any], Any]
"""A query: called with ``Ties``, it returns the answer."""

Walking: TypeAlias = Generator[Question, Any, T]
"""A generator that yields queries, is sent their answers, and returns a result."""


def answered(ties: Ties, walking: Walking[T]) -> T:
    """Run ``walking`` on a synchronous store and return its result."""
    answer = None
    while True:
        try:
            question = walking.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        answer = question(ties)


def walk(
    start: Sequence[str], *, depth: int, limit: int, at_once: int = 1
) -> Walking[list[Reached]]:
    """The links within ``depth`` of entities, nearest first.

    Entities are visited in the order in which they are reached, the links of each in the order of
    ``Ties.links``. Aliases are followed without counting as a step; their ``SAME_AS`` relations are
    part of the result. The walk stops at ``limit`` links.

    ``at_once`` is the number of nodes per query for links: 1 for a local store, more if each query
    is a network round trip. It does not change the result.
    """
    nodes = yield lambda ties: ties.nodes(start)
    walked = _Walk(nodes)
    frontier = list(walked.places)
    frontier += yield from walked.widened(frontier)
    for _ in range(depth):
        frontier = yield from walked.expanded(frontier, limit, at_once)
        if len(walked.reached) >= limit:
            break
        frontier += yield from walked.widened(frontier)
    return list(walked.reached.values())[:limit]


def known_as(names: Sequence[str]) -> Walking[list[Hashable]]:
    """The nodes of entities and of all their aliases."""
    nodes = yield lambda ties: ties.nodes(names)
    walked = _Walk(nodes)
    yield from walked.widened(list(walked.places))
    return list(walked.places)


def _synonyms(nodes: Sequence[Hashable], ties: Any) -> Any:
    return ties.synonyms(nodes)


def _links(nodes: Sequence[Hashable], ties: Any) -> Any:
    return ties.links(nodes, FAN_OUT)


class _Walk:
    """State of a walk: the links reached so far; for each node the path and the last step to it."""

    def __init__(self, start: Sequence[tuple[Hashable, str]]) -> None:
        self.places: dict[Hashable, tuple[Path, Step | None]] = {}
        self.reached: dict[LinkKey, Reached] = {}
        for node, name in start:
            self.places.setdefault(node, (Path(start=name), None))

    def widened(self, nodes: Sequence[Hashable]) -> Walking[list[Hashable]]:
        """Follow aliases; return the new nodes."""
        added: list[Hashable] = []
        fresh = list(nodes)
        while fresh:
            found = yield partial(_synonyms, fresh)
            fresh = []
            for tie in found:
                here = next(node for node, _ in tie.ends if node in self.places)
                fresh += self._follow(tie, here, self._path(here))
            added += fresh
        return added

    def expanded(
        self, nodes: Sequence[Hashable], limit: int, at_once: int
    ) -> Walking[list[Hashable]]:
        """Follow the links of nodes until ``limit`` links are reached; return the new nodes."""
        added: list[Hashable] = []
        for first in range(0, len(nodes), at_once):
            some = nodes[first : first + at_once]
            found = yield partial(_links, some)
            for node, ties in zip(some, found, strict=True):
                path = self._path(node)
                added += [new for tie in ties for new in self._follow(tie, node, path)]
                if len(self.reached) >= limit:
                    return added
        return added

    def _path(self, node: Hashable) -> Path:
        path, step = self.places[node]
        return path if step is None else Path(start=path.start, steps=(*path.steps, step))

    def _follow(self, tie: Tie, here: Hashable, path: Path) -> list[Hashable]:
        link = tie.link
        others = [(node, name) for node, name in tie.ends if node != here]
        if link.key not in self.reached:
            to = None if isinstance(link, Mention) else (others or tie.ends)[0][1]
            steps = (*path.steps, Step(link=link, to=to))
            self.reached[link.key] = Reached(link=link, path=Path(start=path.start, steps=steps))
        new = []
        for node, name in others:
            if node not in self.places:
                # The path is built only if the walk continues from there, which is rare.
                self.places[node] = (path, Step(link=link, to=name))
                new.append(node)
        return new
