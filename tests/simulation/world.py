"""One simulation: sessions, processes, faults and checks, all of them chosen by a seed."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, evolve, frozen

from remembrancer import Settings, load_settings
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.application.projections.second_delivery import LATEST
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.ports.audit_log import Appended
from remembrancer.domain.scope import Scope
from tests.simulation import invariants
from tests.simulation.chronicle import Chronicle, Foul, Ids, Told
from tests.simulation.faults import (
    Faults,
    FlakyGraph,
    FlakyIndex,
    Weather,
    Wire,
)
from tests.simulation.process import Process
from tests.simulation.scheduler import Scheduler, Stuck
from tests.simulation.sessions import FAILURES, REQUESTS, SKEW, Request, Session, acknowledge
from tests.simulation.stores import InMemory, OnSqlite, Stores
from tests.soak.foreign import ALIKE

BEGINNING = datetime(2025, 6, 1, tzinfo=UTC)
SHOWN = 60
"""Steps of a trace that are printed."""

MOST_TURNS = 400_000
A_STORM = 4
"""Every so many seeds, deliveries of a few changing facts overtake each other all the time."""

A_MIX_UP = 2
"""The seeds in which engines confuse their callers, counted like those with storms."""

A_SQLITE_SEED = 12
"""Every so many seeds, the store is a SQLite file."""


@frozen(kw_only=True)
class Outcome:
    """What a seed led to.

    ``steps`` are port calls. ``digest`` is the same for the same steps. ``foul`` is ``None`` if
    all invariants held; ``trace`` shows the last steps then.
    """

    seed: int
    steps: int
    digest: int
    crashes: int
    events: int
    foul: Foul | None
    trace: tuple[str, ...]

    def __str__(self) -> str:
        command = f"sh dev soak simulation --replay {self.seed}"
        return "\n".join(
            [*self.trace, f"seed {self.seed}: {self.foul}", f"replay it with: {command}"]
        )


class SeededIds:
    """An ``IdSource`` whose ids are those of the seed."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """See ``IdSource.new``."""
        return f"{next(self._numbers):016x}{self._random.getrandbits(64):016x}"


@define(eq=False)
class BeganRead:
    """A read that has begun: which answers are right is decided when it has ended."""

    world: World
    ids: Ids
    since: int
    early: datetime

    def check(self, facts: Sequence[Fact], *, complete: bool) -> None:
        """Check the answer.

        Raises:
            Foul: it shows what it must not, or lacks what it must have.
        """
        chronicle = self.world.chronicle
        for fact in facts:
            chronicle.check_fact(self.ids, fact)
        must, may = chronicle.versions_seen(
            Scope(**self.ids), self.since, self.early, self.world.now(SKEW)
        )
        found = {fact.key for fact in facts}
        if found - may:
            raise Foul("fold", f"{self.ids} were shown {found - may}, which were not current")
        if complete and must - found:
            raise Foul("own writes", f"{self.ids} were not shown {must - found}")


class World:
    """Everything of one seed.

    Args:
        seed: decides about everything.
        folder: for the files of this seed.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.random = random = Random(seed)
        self.storm = seed % A_STORM == 1
        self.faults = Faults(random, self._weather())
        self.scheduler = Scheduler(
            random, haste=random.choice((0.005, 0.03, 0.15)), most=MOST_TURNS
        )
        self.loop = self.scheduler.loop
        self.loop.set_exception_handler(self._on_error)
        self.ids = SeededIds(random)
        self.embedder = HashingEmbedder(16)
        self.chronicle = Chronicle()
        self.stores = self._stores(folder)
        self.owners = self._owners()
        self.weights: dict[Request, float] = {
            request: weight * random.choice((0.25, 1.0, 4.0))
            for request, weight in REQUESTS.items()
        }
        if self.storm:
            self.weights = {Session.tell: 1, Session.change: 3}
        if seed % A_STORM == A_MIX_UP:
            self.weights[Session.search] *= 5
        self.workers = random.choice((0.0, 0.4, 1.0))
        self.lease = 0.2 if self.storm else random.choice((0.2, 1.0, 3.0))
        self.retry_on_add = self.others_finish = random.random() < 0.3
        self.settings = self._settings()
        self.wire = Wire(self.faults, longest=3 * self.lease)
        self.engines = self._engines()
        self.processes: list[Process] = []
        self.over = False
        self.steps = self.digest = self.crashes = 0
        self._trace: deque[tuple[Any, ...]] = deque(maxlen=SHOWN)
        self._names = itertools.count(1)
        self._end: asyncio.Future[None] = self.loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    # Making it

    def _weather(self) -> Weather:
        weather = Weather(slow=0.4) if self.storm else Weather.of(self.random)
        return evolve(weather, mixed_up=0.3) if self.seed % A_STORM == A_MIX_UP else weather

    def _settings(self) -> Settings:
        random = self.random
        return load_settings(
            {
                "audit_log": "memory",
                "embedder": {"dimension": 16},
                "retry_on_add": self.retry_on_add,
                "concurrency": random.choice((1, 4)),
                "projections": {
                    "wait": 2.0 if self.storm else random.choice((0.0, 0.5, 2.0, 2.0)),
                    "partitions": random.choice((1, 1, 3)),
                    "lease": self.lease,
                    "batch": random.choice((1, 2, 5, 500)),
                },
            },
            environment={},
        )

    def _stores(self, folder: Path) -> Stores:
        if self.seed % A_SQLITE_SEED == A_SQLITE_SEED - 1:
            return OnSqlite(folder / f"{self.seed}.db", self.embedder, self.loop.time)
        return InMemory(self.embedder, self.loop.time)

    def _owners(self) -> list[Ids]:
        """Ids that look alike, and some of the same owner."""
        values = self.random.sample(ALIKE, 3)
        found: list[Ids] = [{"user_id": value} for value in values[:2]]
        found.append({"agent_id": values[0]})
        found.append({"user_id": values[0], "run_id": values[2]})
        found.append({"user_id": values[1], "agent_id": values[0], "app_id": values[2]})
        return found[: 1 if self.storm else self.random.choice((1, 2, 5))]

    def _engines(self) -> dict[str, Any]:
        scopes = [Scope(**ids) for ids in self.owners]
        made: dict[str, Any] = {}
        if self.storm or self.random.random() < 0.85:
            made["vector_index"] = FlakyIndex(self.wire, scopes)
        if self.random.random() < 0.5:
            made["knowledge_graph"] = FlakyGraph(self.wire, scopes)
        return made

    def now(self, skew: float) -> datetime:
        """The time of a clock that is wrong by ``skew`` seconds."""
        return BEGINNING + timedelta(seconds=self.loop.time() + skew)

    @property
    def engine_is_whole(self) -> bool:
        """Whether a search must find everything: no fault makes an external index old for good, or
        lets it answer from an old copy.
        """
        weather = self.faults.weather
        harmful = ("late", "twice", "stale", "mixed_up", "crash")
        return "vector_index" not in self.engines or not any(
            getattr(weather, fault) for fault in harmful
        )

    # Steps

    async def step(
        self,
        process: Process,
        adapter: Any,
        name: str,
        arguments: Sequence[Any],
        options: Mapping[str, Any],
    ) -> Any:
        """One port call, with a turn before it and one after it."""
        await process.turn()
        self._note(process, adapter, name, arguments)
        if self.faults.strikes("crash"):
            self.crash(process)
        error = self.faults.before(adapter, name, arguments)
        try:
            answer = await _called(error, getattr(adapter, name), arguments, options)
            self._observe(process, name, answer)
        except Exception as failure:
            self._note(process, adapter, name, (), failure)
            await process.turn()
            raise
        await process.turn()
        error = self.faults.after(adapter, name)
        if error is not None:
            self._note(process, adapter, name, (), error)
            raise error
        return answer

    def _note(
        self,
        process: Process,
        adapter: object,
        name: str,
        arguments: Sequence[Any],
        failure: Exception | None = None,
    ) -> None:
        if failure is None:
            self.steps += 1
        said = f"{process.name} {type(adapter).__name__}.{name} {failure or ''}"
        self.digest = zlib.crc32(said.encode(), self.digest)
        self._trace.append((self.steps, self.loop.time(), said, arguments))

    def _observe(self, process: Process, name: str, answer: Any) -> None:
        if name == "append" and isinstance(answer, Appended) and not answer.replayed:
            changed = self.chronicle.append(answer.recorded)
            if isinstance(self.stores, InMemory):
                facts = self.stores.open().fact_store
                for fact_id, versions in changed.items():
                    if tuple(facts.versions(fact_id)) != versions:
                        raise Foul("fold", f"{fact_id} is not in the table as the log has it")

    def trace(self) -> tuple[str, ...]:
        """The last steps, each on a line."""
        return tuple(
            f"{step:>7} {seconds:9.3f}s {said} {_short(arguments)}".rstrip()
            for step, seconds, said, arguments in self._trace
        )

    # Processes

    def start(self) -> Process:
        """A new process; if it has an engine, perhaps with a worker."""
        process = Process(self, f"p{next(self._names)}", self.random.uniform(-SKEW, SKEW))
        self.processes.append(process)
        if self.engines and self.random.random() < self.workers:
            self.spawn(process, self._work(process))
        return process

    async def _work(self, process: Process) -> None:
        while not self._end.done():
            try:
                await process.memory.run_worker(stop=self._end.done)
            except FAILURES:
                await self.pause()

    def spawn(self, process: Process, work: Coroutine[Any, Any, None]) -> None:
        """Run something in a process."""

        async def run() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - it ends the simulation
                self._fail(error)

        task = self.loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, error: Exception) -> None:
        if not self._end.done():
            self._end.set_exception(error)

    def _on_error(self, _loop: object, context: Mapping[str, Any]) -> None:
        # Nobody waits for the jobs of a process that has crashed.
        if not self.over and "never retrieved" not in context["message"]:
            self._fail(context.get("exception") or AssertionError(context["message"]))

    def crash(self, process: Process) -> None:
        """End a process; what it had on the wire may still arrive."""
        if not process.alive or self.over:
            return
        process.alive = False
        self.crashes += 1
        self.scheduler.abandon(process)

    def some_process(self) -> Process:
        """A process that is alive, a new one if there is none."""
        alive = [process for process in self.processes if process.alive]
        return self.random.choice(alive) if alive else self.start()

    async def pause(self) -> None:
        """Wait a little."""
        await asyncio.sleep(self.random.uniform(0.01, 0.3))

    # Sessions

    def tell_beside(self, told: Told) -> None:
        """Send a request from another process at the same time."""

        async def tell(process: Process) -> None:
            try:
                acknowledge(told, await process.memory.add(**told.arguments()))
            except FAILURES:
                return

        process = self.some_process()
        self.spawn(process, tell(process))

    def asked_ids(self, own: Ids) -> Ids:
        """Ids of a read: one's own, fewer of them, or those of somebody who looks alike."""
        if self.random.random() < 0.7:
            return own
        return self.random.choice(self.owners)

    def some_fact(self, own: Ids) -> tuple[FactId, Ids] | None:
        """A fact that was added, mostly one's own, and whose it is."""
        ledgers = list(self.chronicle.states)
        mine = Scope(**own).ledger
        if mine in ledgers and self.random.random() < 0.8:
            ledgers = [mine]
        facts = [fact for ledger in ledgers for fact in self.chronicle.states[ledger][-1].current()]
        if not facts:
            return None
        # Its delivery may still be under way.
        recent = facts[-3:] if self.random.random() < 0.6 else facts
        fact = self.random.choice(recent)
        return fact.fact_id, fact.scope.ids()

    def begin_read(self, ids: Ids) -> BeganRead:
        """Remember the moment at which a read begins."""
        since = len(self.chronicle.states[Scope(**ids).ledger])
        return BeganRead(self, ids, since, self.now(-SKEW))

    async def _serve(self, session: Session) -> None:
        """Serve a session to its end, by one process after another."""
        while session.left:
            process = self.some_process()
            ended = self.loop.create_future()

            async def run(process: Process = process, ended: Any = ended) -> None:
                await session.run(process)
                ended.set_result(None)

            self.spawn(process, run())
            while process.alive and not ended.done():
                await asyncio.wait({ended}, timeout=0.5)

    # The whole of it

    async def live(self) -> None:
        """Serve all sessions, then let everything become quiet, and check it."""
        count = self.random.choice((2, 3, 5))
        sessions = [
            Session(self, self.random.choice(self.owners), self.random.randint(5, 20))
            for _ in range(count)
        ]
        for _ in range(self.random.choice((1, 2, 3))):
            self.start()
        serving = asyncio.gather(
            *(self._serve(session) for session in sessions), self._rebuild_perhaps()
        )
        await asyncio.wait({serving, self._end}, return_when=asyncio.FIRST_COMPLETED)
        if self._end.done():
            serving.cancel()
            self._end.result()
        serving.result()
        await self._become_quiet()
        await self._check()

    async def _rebuild_perhaps(self) -> None:
        if not self.engines or self.random.random() < 0.7:
            return
        await asyncio.sleep(self.random.uniform(0.0, 5.0))
        process = self.some_process()

        async def rebuild() -> None:
            name = self.random.choice(list(self.engines))
            try:
                await process.memory.rebuild(name)
            except (*FAILURES, InvalidRequest):
                return

        self.spawn(process, rebuild())

    async def _become_quiet(self) -> None:
        """End all faults, and wait for what is under way."""
        self.faults.calm()
        self._end.set_result(None)
        while self.wire.under_way or any(process.alive for process in self.processes):
            for process in [each for each in self.processes if each.alive]:
                ended = self.loop.create_task(self._close(process))
                await ended
            await asyncio.sleep(0.5)

    async def _close(self, process: Process) -> None:
        await process.memory._use.queues.close(1e6)
        await process.memory._lifecycle._beside.close(None)
        await asyncio.sleep(10.0)
        process.alive = False

    async def _check(self) -> None:
        """Bring everything up to date in a last process, and check the invariants."""
        last = Process(self, "last", 0.0)
        self.processes.append(last)
        for told in self.chronicle.told:
            acknowledge(told, await last.memory.add(**told.arguments()))
        retried = await last.memory.retry()
        if retried.failures:
            raise Foul("error", f"without faults, retry failed: {retried.failures}")
        # A reader of a clock that was ahead may have been last.
        await asyncio.sleep(2 * SKEW)
        if self.engines:
            await last.memory.run_worker(once=True)
            # Whatever arrived late is overwritten by then.
            await asyncio.sleep(LATEST)
            await last.memory.run_worker(once=True)
            await last.memory.retry_dead_letters()
        verification = await last.memory.verify()
        if not verification.ok:
            raise Foul("fold", f"{verification.first}")
        tables = invariants.Tables(self.chronicle, self.embedder)
        invariants.check_tables(self.chronicle, self.stores.open(), tables)
        invariants.check_used_keys(self.chronicle.recorded)
        invariants.check_requests(self.chronicle)
        self._check_engines(await last.memory.dead_letters(), tables)
        await self._check_lag(last)
        for ids in self.owners:
            await self._check_reads(last, ids)

    def _check_engines(self, dead: Sequence[Any], tables: invariants.Tables) -> None:
        if dead:
            raise Foul("newest delivery", f"without faults, dead letters are left: {dead}")
        if index := self.engines.get("vector_index"):
            invariants.check_index(index, tables)
        if graph := self.engines.get("knowledge_graph"):
            invariants.check_graph(graph, tables)

    async def _check_lag(self, last: Process) -> None:
        lags = (await last.memory.stats()).lags
        if any(lag.events for lag in lags):
            raise Foul("newest delivery", f"without faults, engines lag: {lags}")

    async def _check_reads(self, last: Process, ids: Ids) -> None:
        seen = self.begin_read(ids)
        seen.check((await last.memory.get_all(limit=1000, **ids)).facts, complete=True)
        found = await last.memory.search("green tea", limit=1000, **ids)
        seen.check([hit.fact for hit in found], complete=True)

    def run(self) -> Outcome:
        """Run to the end."""
        foul: Foul | None = None
        try:
            self.loop.run_until_complete(self.live())
        except Foul as error:
            foul = error
        except Stuck as error:
            foul = Foul("stuck", str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, this seed shows it
            foul = Foul("error", f"{type(error).__name__}: {error}")
            foul.__cause__ = error
        trace = self.trace() if foul else ()
        self._clean_up()
        return Outcome(
            seed=self.seed,
            steps=self.steps,
            digest=self.digest,
            crashes=self.crashes,
            events=len(self.chronicle.recorded),
            foul=foul,
            trace=trace,
        )

    def _clean_up(self) -> None:
        """Release the tasks of processes that have crashed: nothing that they do counts."""
        self.over = True
        for process in self.processes:
            process.alive = False
            self.scheduler.abandon(process)
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        for process in self.processes:
            process.memory._lifecycle.close()
        self.loop.close()
        self.stores.close()


async def _called(
    error: Exception | None,
    method: Callable[..., Any],
    arguments: Sequence[Any],
    options: Mapping[str, Any],
) -> Any:
    if error is not None:
        raise error
    answer = method(*arguments, **options)
    return await answer if asyncio.iscoroutine(answer) else answer


def _short(arguments: Sequence[Any]) -> str:
    return ", ".join(repr(each)[:60] for each in arguments)


def simulate(seed: int) -> Outcome:
    """Run one seed."""
    with tempfile.TemporaryDirectory() as folder:
        return World(seed, Path(folder)).run()
