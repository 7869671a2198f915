"""What goes wrong in a simulation: the faults of one seed, and engines that have them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

from attrs import define, evolve, frozen

from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.domain.errors import AdapterUnavailable, Conflict, InvalidRequest
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.graph.graph import Entity, Relation, View
from remembrancer.domain.graph.walk import Reached
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.external_engine import LogId
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.recorded import Append, Recorded
from remembrancer.domain.scope import LedgerId, Scope

T = TypeVar("T")

WRITES = frozenset("append advance release acquire renew cleared restart enrol supply".split())
"""The methods of a store that change something, so that a lost answer hides an effect."""

RATES = (0.005, 0.02, 0.08)


@frozen(kw_only=True)
class Weather:
    """The rates of faults of one seed, each a probability per port call.

    Store: ``down`` raises before the effect, ``lost`` after it, ``rival`` lets another writer win.
    Engines: ``slow`` makes a call outlast leases, ``torn`` stores a part and fails, ``late`` fails
    and arrives afterwards, ``twice`` arrives once more later, ``stale`` answers from an old copy,
    ``mixed_up`` gives the answer to another owner's question, ``refused`` refuses. ``silent`` is a
    model that does not answer, ``crash`` the end of a process.
    """

    down: float = 0.0
    lost: float = 0.0
    rival: float = 0.0
    slow: float = 0.0
    torn: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    stale: float = 0.0
    mixed_up: float = 0.0
    refused: float = 0.0
    silent: float = 0.0
    crash: float = 0.0

    @classmethod
    def of(cls, random: Random) -> Weather:
        """Some of the faults, so that each is also met without the others."""

        def rate() -> float:
            return random.choice((0.0, 0.0, random.choice(RATES)))

        store = {name: rate() / 2 for name in ("down", "lost", "rival")}
        engine = {name: rate() for name in ("torn", "late", "twice", "stale", "mixed_up")}
        return cls(
            **store,
            **engine,
            slow=random.choice((0.0, 0.1, 0.4)),
            refused=rate() / 2,
            silent=rate(),
            crash=random.choice((0.0, 0.0, 0.0005, 0.002)),
        )


@define(eq=False)
class Faults:
    """Draws faults.

    Args:
        random: decides.
        weather: the rates; ``calm`` sets all of them to 0.
    """

    random: Random
    weather: Weather

    def calm(self) -> None:
        """No more faults from here on."""
        self.weather = Weather()

    def strikes(self, fault: str) -> bool:
        """Whether this fault happens now."""
        rate: float = getattr(self.weather, fault)
        return rate > 0 and self.random.random() < rate

    def before(self, adapter: object, method: str, arguments: Sequence[Any]) -> Exception | None:
        """The error of a store that has done nothing."""
        if isinstance(adapter, SimulatedClock | _Engine):
            return None
        if self.strikes("silent" if isinstance(adapter, RulesExtractor) else "down"):
            return AdapterUnavailable(type(adapter).__name__, f"{method}: is busy")
        rival = method == "append" and _expects(arguments) and self.strikes("rival")
        return Conflict("another writer was first") if rival else None

    def after(self, adapter: object, method: str) -> Exception | None:
        """The error of a store whose answer is lost."""
        if isinstance(adapter, SimulatedClock | _Engine) or method not in WRITES:
            return None
        if self.strikes("lost"):
            return AdapterUnavailable(type(adapter).__name__, f"{method}: the answer was lost")
        return None


def _expects(arguments: Sequence[Any]) -> bool:
    """Whether an append names the version that it expects: others meet no rivals."""
    return any(isinstance(each, Append) and each.expected_version is not None for each in arguments)


class SimulatedClock:
    """The clock of one process, on the virtual time.

    Args:
        now: the current time of this process.
    """

    def __init__(self, now: Callable[[], Any]) -> None:
        self._now = now

    def now(self) -> Any:
        return self._now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@define(eq=False)
class Wire:
    """The way to an engine: slow, torn, late, twice.

    Attributes:
        under_way: what arrives later, its sender being gone or served.
    """

    faults: Faults
    longest: float
    under_way: int = 0

    async def carry(self, arrives: Callable[[], T], part: Callable[[], object] | None = None) -> T:
        """Let a request arrive, or not, or not only now."""
        faults = self.faults
        if faults.strikes("refused") and part is not None:
            raise InvalidRequest("document", "not today")
        if faults.strikes("slow"):
            await asyncio.sleep(faults.random.uniform(0.0, self.longest))
        if faults.strikes("torn"):
            if part is not None and faults.random.random() < 0.5:
                part()
            raise AdapterUnavailable("engine", "the connection was cut")
        if part is not None and faults.strikes("late"):
            self._later(arrives)
            raise AdapterUnavailable("engine", "timed out; the request is under way")
        answer = arrives()
        if part is not None and faults.strikes("twice"):
            self._later(arrives)
        return answer

    def _later(self, arrives: Callable[[], object]) -> None:
        self.under_way += 1

        def run() -> None:
            self.under_way -= 1
            # Nobody waits for the answer any more: a refusal of what is late is right.
            with suppress(AdapterUnavailable):
                arrives()

        asyncio.get_running_loop().call_later(self.faults.random.uniform(0.0, self.longest), run)


class _Engine:
    """What both engines have: the log that they hold."""

    def __init__(self, wire: Wire, scopes: Sequence[Scope]) -> None:
        self.fingerprint = "simulated"
        self.log: LogId | None = None
        self._wire = wire
        self._scopes = scopes

    async def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        def arrives() -> LogId | None:
            if self.log is None and bind:
                self.log = log
            return self.log

        return await self._wire.carry(arrives)

    async def ping(self) -> str:
        return "simulated 1"

    async def close(self) -> None:
        """Nothing is open."""

    def _asked(self, scope: Scope) -> Scope:
        """Whose answer is given: sometimes another owner's."""
        faults = self._wire.faults
        return faults.random.choice(self._scopes) if faults.strikes("mixed_up") else scope


class FlakyIndex(_Engine):
    """An ``ExternalIndex`` behind a wire.

    Attributes:
        held: what it holds.
    """

    def __init__(self, wire: Wire, scopes: Sequence[Scope]) -> None:
        super().__init__(wire, scopes)
        self.held = InMemoryVectorIndex()
        self._copy = InMemoryVectorIndex()
        self._not_copied: deque[Sequence[Document]] = deque()

    async def put(self, documents: Sequence[Document]) -> None:
        half = documents[: len(documents) // 2]
        await self._wire.carry(lambda: self._store(documents), lambda: self._store(half))

    def _store(self, documents: Sequence[Document]) -> None:
        self.held.put(documents)
        self._not_copied.append(documents)

    async def remove(self, keys: Sequence[FactKey]) -> None:
        await self._wire.carry(lambda: self.held.remove(keys))

    async def clear(self) -> None:
        await self._wire.carry(self._clear)

    def _clear(self) -> None:
        self.log = None
        self.held.clear()
        self._copy.clear()
        self._not_copied.clear()

    async def search(self, query: IndexQuery) -> list[Hit]:
        asked = evolve(query, scope=self._asked(query.scope))
        return await self._wire.carry(lambda: self._current_or_stale().search(asked))

    def _current_or_stale(self) -> InMemoryVectorIndex:
        if self._wire.faults.strikes("stale"):
            return self._copy
        while self._not_copied:
            self._copy.put(self._not_copied.popleft())
        return self.held

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        return await self._wire.carry(lambda: self.held.speakers(ledger))

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        return await self._wire.carry(lambda: self.held.vectors_for(texts))

    async def lacks_vectors(self, ledger: LedgerId) -> bool:
        return await self._wire.carry(lambda: self.held.lacks_vectors(ledger))

    async def count(self, ledger: LedgerId) -> int:
        return await self._wire.carry(lambda: self.held.count(ledger))


class FlakyGraph(_Engine):
    """An ``ExternalGraph`` behind a wire.

    Attributes:
        held: what it holds.
    """

    def __init__(self, wire: Wire, scopes: Sequence[Scope]) -> None:
        super().__init__(wire, scopes)
        self.held = InMemoryKnowledgeGraph()

    async def apply(self, chain: Sequence[Recorded]) -> None:
        # All or nothing, so that a torn request has no part that arrives.
        await self._wire.carry(lambda: self.held.apply(chain), lambda: None)

    async def clear(self) -> None:
        await self._wire.carry(self._clear)

    def _clear(self) -> None:
        self.log = None
        self.held.clear()

    async def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        asked = evolve(view, scope=self._asked(view.scope))
        return await self._wire.carry(lambda: self.held.neighbours(asked, entities, depth, limit))

    async def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        asked = evolve(view, scope=self._asked(view.scope))
        return await self._wire.carry(lambda: self.held.relations(asked, entity, limit))

    async def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        return await self._wire.carry(lambda: self.held.entities(view, names, limit))
