"""Sessions: clients that tell, edit and read, one request after the other.

A session outlives the process that serves it. What it was doing when the process ended, it does
again in the next one if that is safe: an ``add`` has a key.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from remembrancer import AsyncMemory, AsyncPendingReceipt, InvalidRequest, NotFound
from remembrancer.domain.errors import AdapterUnavailable, Conflict, ModelError, StillPending
from tests.simulation.chronicle import Edit, Foul, Ids, Told, covers
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

FAILURES = (AdapterUnavailable, Conflict, ModelError)
"""Errors that a caller must expect, and after which it may try again."""

TRIES = 4
"""Of an ``add``, before the session goes on without an answer; the end of a run sends it again."""

SENTENCES = (
    "I live in {}.",
    "I moved to {}.",
    "I work at {}.",
    "I like {}.",
    "I no longer like {}.",
    "My sister is {}.",
    "I met {} in Oslo and I like green tea.",
    "I like green tea.",
    "Good morning!",
)
SKEW = 1.0
"""Seconds that the clock of a process is wrong, at most."""


@define(eq=False)
class Session:
    """A client.

    Args:
        world: where it lives.
        ids: whose memory it writes.
        left: requests to make.
    """

    world: World
    ids: Ids
    left: int
    doing: Told | None = None
    _jobs: list[tuple[Told, AsyncPendingReceipt]] = field(factory=list)

    async def run(self, process: Process) -> None:
        """Make the requests that are left, on a process."""
        self._jobs.clear()
        while self.left:
            if self.doing is not None:
                await self._tell(process, self.doing)
                self.doing = None
            else:
                kinds, weights = list(self.world.weights), list(self.world.weights.values())
                request = self.world.random.choices(kinds, weights)[0]
                await request(self, process)
            self.left -= 1
        await self._finish_jobs()

    # Writing

    async def tell(self, process: Process) -> None:
        """Add something new."""
        random = self.world.random
        text = random.choice(SENTENCES)
        self.doing = self.world.chronicle.new_told(
            self.ids, text, infer=random.random() < 0.75, wait=random.random() < 0.6
        )
        if random.random() < 0.2:
            self.doing.beside = True
            self.world.tell_beside(self.doing)
        await self._tell(process, self.doing)
        self.doing = None

    async def _tell(self, process: Process, told: Told) -> None:
        for _ in range(TRIES):
            try:
                receipt = await process.memory.add(**told.arguments(), wait=told.wait)
            except FAILURES:
                await self.world.pause()
                continue
            acknowledge(told, receipt)
            if isinstance(receipt, AsyncPendingReceipt):
                self._jobs.append((told, receipt))
            return

    async def _finish_jobs(self) -> None:
        """Wait for what runs in the background, which ends in the order in which it began."""
        ended: list[int] = []
        for told, begun in self._jobs:
            try:
                receipt = await begun.wait(60.0)
            except (*FAILURES, StillPending):
                continue
            if begun.pending and not (begun.replayed or told.beside):
                ended.append(receipt.positions[1])
        if ended != sorted(ended) and not self.world.others_finish:
            raise Foul("order", f"{self.ids}: background jobs ended at {ended}")

    async def edit(self, process: Process, method: str, call: Call, owned: Ids | None) -> None:
        """Make another write, once.

        Args:
            process: the process.
            method: its name.
            call: makes it.
            owned: whose fact it is about, if it is about one.
        """
        edit = self.world.chronicle.new_edit(method)
        try:
            receipt = await call(process.memory, edit)
        except (NotFound, InvalidRequest):
            edit.outcome = "refused"
        except FAILURES:
            return
        else:
            edit.outcome = "nothing" if receipt is None else "done"
            if owned is not None and not covers(self.ids, owned):
                raise Foul("scope", f"{self.ids} could {method} a fact of {owned}")

    async def change(self, process: Process) -> None:
        """Update, delete, end or correct a fact, one's own or somebody else's."""
        found = self.world.some_fact(self.ids)
        if found is None:
            return
        fact_id, owned = found
        word = f"chess {len(self.world.chronicle.edits)}"
        soon = self.world.now(SKEW)
        calls: dict[str, Call] = {
            "update": lambda memory, edit: memory.update(
                fact_id, f"I like {word}.", reason=edit.reason, **self.ids
            ),
            "delete": lambda memory, edit: memory.delete(fact_id, reason=edit.reason, **self.ids),
            "end": lambda memory, edit: memory.end(
                fact_id, at=soon, reason=edit.reason, **self.ids
            ),
            "correct": lambda memory, edit: memory.correct(
                fact_id, text=f"I like {word} best.", reason=edit.reason, **self.ids
            ),
        }
        method = self.world.random.choice(list(calls))
        await self.edit(process, method, calls[method], owned)

    async def state(self, process: Process) -> None:
        """State where one lives."""
        city = self.world.random.choice(("Rome", "Oslo", "Lima"))

        def call(memory: AsyncMemory, edit: Edit) -> Coroutine[Any, Any, Any]:
            return memory.state("user", "lives in", city, reason=edit.reason, **self.ids)

        await self.edit(process, "state", call, None)

    async def delete_all(self, process: Process) -> None:
        """Withdraw everything of one's scope."""
        await self.edit(
            process,
            "delete_all",
            lambda memory, edit: memory.delete_all(reason=edit.reason, **self.ids),
            None,
        )

    async def retry(self, process: Process) -> None:
        """Finish what is pending, anybody's."""
        self.world.others_finish = True
        try:
            await process.memory.retry()
        except FAILURES:
            return

    # Reading

    async def get_all(self, process: Process) -> None:
        """List."""
        ids = self.world.asked_ids(self.ids)
        seen = self.world.begin_read(ids)
        try:
            page = await process.memory.get_all(limit=1000, **ids)
        except FAILURES:
            return
        seen.check(page.facts, complete=True)

    async def search(self, process: Process) -> None:
        """Search."""
        ids = self.world.asked_ids(self.ids)
        seen = self.world.begin_read(ids)
        query = self.world.random.choice(("green tea", "Where do I live?", "my sister", "work"))
        try:
            found = await process.memory.search(query, limit=1000, explain=True, **ids)
        except FAILURES:
            return
        for hit in found:
            self.world.chronicle.check_words(ids, str(hit.path or "").split())
        whole = "similarity" not in found.degraded and self.world.engine_is_whole
        seen.check([hit.fact for hit in found], complete=whole)

    async def get(self, process: Process) -> None:
        """Read a fact by its id, one's own or somebody else's."""
        found = self.world.some_fact(self.ids)
        if found is None:
            return
        fact_id, owned = found
        try:
            versions = await process.memory.history(fact_id, **self.ids)
        except NotFound:
            if covers(self.ids, owned):
                raise Foul("own writes", f"{self.ids} do not find their {fact_id}") from None
            return
        except FAILURES:
            return
        for fact in versions:
            self.world.chronicle.check_fact(self.ids, fact)

    async def explore(self, process: Process) -> None:
        """Look at the graph."""
        ids = self.world.asked_ids(self.ids)
        names = list(self.world.chronicle.names)
        name = self.world.random.choice([None, "user", *names[-5:]])
        try:
            found = await process.memory.graph(name, depth=2, **ids)
        except (NotFound, *FAILURES):
            return
        if found is None:
            return
        for fact in found.facts.values():
            self.world.chronicle.check_fact(ids, fact)
        for relation, _ in found.relations:
            if not covers(ids, relation.scope.ids()):
                raise Foul("scope", f"{ids} were shown {relation}")
            self.world.chronicle.check_words(ids, f"{relation.subject} {relation.object}".split())


Call: TypeAlias = Callable[[AsyncMemory, Edit], Coroutine[Any, Any, Any]]
Request: TypeAlias = Callable[[Session, Process], Coroutine[Any, Any, None]]

REQUESTS: dict[Request, float] = {
    Session.tell: 8, Session.change: 6, Session.state: 1, Session.delete_all: 0.3,
    Session.retry: 0.7, Session.get_all: 2, Session.search: 3, Session.get: 1, Session.explore: 1,
}  # fmt: skip


def acknowledge(told: Told, receipt: Any) -> None:
    """Take a receipt down; every try gets that of the same request.

    Raises:
        Foul: it is another one.
    """
    if told.receipt is not None and told.receipt.correlation_id != receipt.correlation_id:
        raise Foul("exactly once", f"two requests were made of {told.text!r}")
    if told.receipt is None or not receipt.pending:
        told.receipt = receipt
