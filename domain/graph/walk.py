"""Walking the knowledge graph: what is near an entity, and by which path.

Pure. A walk yields its questions to ``Ties`` and is sent the answers: it knows no store, and not
whether one has to be waited for. Every store walks by this, so that all reach the same.
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
"""Relations, and facts, that are followed from one name, newest first. What names more than that
is near to everything and tells of nothing in particular.
"""


@frozen(kw_only=True, slots=False)
class Step:
    """A link that was walked along, and the entity that it led to; ``None`` for the last link of
    a path, where it leads to several (or to none).
    """

    link: Link
    to: str | None = None


@frozen(kw_only=True, slots=False)
class Path:
    """From an entity along links; written ``Ann -[sister]-> Eve -[fact 0192…]``."""

    start: str
    steps: tuple[Step, ...] = ()

    @property
    def distance(self) -> int:
        """Links walked; from a name to its alias it is no way."""
        return sum(isinstance(link, Mention) or not link.synonym for link in self.links)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links walked along, in order."""
        return tuple(step.link for step in self.steps)

    @property
    def last(self) -> str:
        """The last step as it is written, such as ``-[sister]-> Eve``."""
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
    """A link with the shortest path to it, itself included as the last step."""

    link: Link
    path: Path

    @property
    def distance(self) -> int:
        """1 for what names the entity that the walk began with, 0 for its aliases."""
        return self.path.distance


@frozen(slots=False)
class Tie:
    """A link with the names that it joins, each with its node: whatever a store tells names by."""

    link: Link
    ends: tuple[tuple[Hashable, str], ...]


class Ties(Protocol):
    """What a walk looks up; all of it as seen in one view of one state of the graph.

    Two names have one node exactly if ``normalised`` makes them one. A store that has to be waited
    for has the same methods as coroutines, and a loop of its own in place of ``answered``.
    """

    def nodes(self, names: Sequence[str]) -> Sequence[tuple[Hashable, str]]:
        """Those of ``names`` that are known, each with its node."""
        ...

    def synonyms(self, nodes: Sequence[Hashable]) -> Sequence[Tie]:
        """The ``SAME_AS`` relations of any of ``nodes``, oldest first."""
        ...

    def links(self, nodes: Sequence[Hashable], most: int) -> Sequence[Sequence[Tie]]:
        """Of each node, in the order of ``nodes``: the newest ``most`` relations without
        ``SAME_AS``, then the newest ``most`` facts that name it; newest first.
        """
        ...


Question: TypeAlias = Callable[[Any], Any]
"""Called with ``Ties``, it returns the answer."""

Walking: TypeAlias = Generator[Question, Any, T]
"""Yields questions, is sent their answers, and returns what it came to."""


def answered(ties: Ties, walking: Walking[T]) -> T:
    """What ``walking`` comes to over a store that has all answers at hand."""
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
    ``Ties.links``; aliases are followed without counting as a step, and their ``SAME_AS``
    relations are among the links. The walk stops at ``limit`` links.

    ``at_once`` is of how many nodes it asks for the links in one question: 1 where asking costs
    nothing, more where each question is a journey over a network. What it reaches is the same.
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
    """The nodes of entities under all of their names."""
    nodes = yield lambda ties: ties.nodes(names)
    walked = _Walk(nodes)
    yield from walked.widened(list(walked.places))
    return list(walked.places)


def _synonyms(nodes: Sequence[Hashable], ties: Any) -> Any:
    return ties.synonyms(nodes)


def _links(nodes: Sequence[Hashable], ties: Any) -> Any:
    return ties.links(nodes, FAN_OUT)


class _Walk:
    """What was reached so far, and how one came to each node: by which path, along which link."""

    def __init__(self, start: Sequence[tuple[Hashable, str]]) -> None:
        self.places: dict[Hashable, tuple[Path, Step | None]] = {}
        self.reached: dict[LinkKey, Reached] = {}
        for node, name in start:
            self.places.setdefault(node, (Path(start=name), None))

    def widened(self, nodes: Sequence[Hashable]) -> Walking[list[Hashable]]:
        """Follow aliases; returns the nodes that were not known before."""
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
        """Follow the links of nodes until ``limit`` links are reached; returns the nodes that were
        not known before.
        """
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
                # The path is put together when the walk goes on from there, which it seldom does.
                self.places[node] = (path, Step(link=link, to=name))
                new.append(node)
        return new
