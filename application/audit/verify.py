"""Verify the hash chain and versions of the log, and that the read models equal its fold.

Facts and graph are compared version by version. Of the index only the number of documents is
compared, because their contents depend on the embedder.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from attrs import field, frozen

from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.errors import Erased, IntegrityError
from remembrancer.domain.events import MessageObserved
from remembrancer.domain.facts.evolve import LedgerState, fold
from remembrancer.domain.graph.graph import Link, LinkKey, touches
from remembrancer.domain.graph.link_history import Links
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.ports.vector_index import VectorIndex
from remembrancer.domain.recall.documents import INDEXED
from remembrancer.domain.recorded import (
    CLOCK_LEAD,
    UNSEALED,
    Head,
    Recorded,
    chain_hash,
    header_of,
    is_sealed,
    payload_digest,
)
from remembrancer.domain.scope import LedgerId, Scope

PAGE = 1000
MAX_PROBLEMS = 100
"""Maximum of listed problems, and of listed warnings."""

Progress = Callable[[int, int], None]
"""Called with the number of checked events and the number of all events."""


@frozen(kw_only=True)
class Verification:
    """The number of checked events, ledgers and facts, and the problems found.

    ``warnings`` are no contradictions: ledgers whose last event is in the future.
    """

    events: int
    ledgers: int
    facts: int
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {"ok": self.ok, **to_jsonable(self)}


@frozen(kw_only=True)
class _Folded:
    """The fold of one ledger."""

    state: LedgerState = field(factory=LedgerState)
    links: Links = field(factory=Links)
    events: int = 0


class Verify:
    """Verifies the log and its read models in one pass.

    Args:
        log: the log.
        facts: the facts table, compared with the fold.
        links: the graph, compared with the fold.
        index: the index; it must have a document for each searchable version.
        clock: the current time.
        clock_lead: how far the last event of a ledger may be ahead of the clock without a warning.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        facts: FactStore,
        links: LinkHistory,
        index: VectorIndex,
        clock: Clock,
        clock_lead: timedelta = CLOCK_LEAD,
    ) -> None:
        self._log = log
        self._facts = facts
        self._links = links
        self._index = index
        self._clock = clock
        self._clock_lead = clock_lead

    async def __call__(self, progress: Progress | None = None) -> Verification:
        """Verify the whole log, ledger by ledger."""
        total = await self._log.last_position()
        events = ledgers = facts = 0
        problems: list[str] = []
        warnings: list[str] = []
        after: LedgerId | None = None
        while names := await self._log.ledgers(after, PAGE):
            for name in names:
                folded = await self._ledger(name, problems)
                events += folded.events
                ledgers += 1
                facts += len(folded.state.facts)
                await self._compare(name, folded, problems)
                warnings += await self._ahead(name)
                if progress is not None:
                    progress(events, total)
            after = names[-1]
        last = await self._log.last_position()
        # An append during the verification may or may not be counted.
        if not total <= events <= last:
            problems.append(
                f"the log's last position is {last}, but its ledgers hold {events} events"
            )
        return Verification(
            events=events,
            ledgers=ledgers,
            facts=facts,
            problems=tuple(problems[:MAX_PROBLEMS]),
            warnings=tuple(warnings[:MAX_PROBLEMS]),
        )

    async def _ahead(self, name: LedgerId) -> list[str]:
        """A warning if the last event of a ledger is in the future."""
        head = await self._log.head(name)
        if head.lead(await self._clock.now()) <= self._clock_lead:
            return []
        return [f"{name}: the last event was recorded in the future, at {head.recorded_at}"]

    async def _ledger(self, name: LedgerId, problems: list[str]) -> _Folded:
        """Check the chain of one ledger and fold it."""
        expected = await self._log.head(name)
        head, state, links, count, sealed = Head(), LedgerState(), Links(), 0, False
        while True:
            try:
                page = await self._log.read_ledger(name, head.version, PAGE)
            except (IntegrityError, Erased) as error:
                problems.append(f"{name}: {error}")
                return _Folded(state=state, links=links, events=count)
            for item in page:
                if touches(item.event):
                    links.apply(item)
                problem = broken_link(item, head) or (_unsealed(item) if sealed else None)
                sealed = sealed or is_sealed(item.payload)
                if problem is not None:
                    problems.append(f"{name}: position {item.position}: {problem}")
                head = Head.after(item)
            state = fold(page, state)
            count += len(page)
            if len(page) < PAGE:
                break
        if head.version < expected.version or (
            head.version == expected.version and head.hash != expected.hash
        ):
            problems.append(
                f"{name}: the head (version {expected.version}) does not match the last event "
                f"(version {head.version})"
            )
        return _Folded(state=state, links=links, events=count)

    async def _compare(self, name: LedgerId, folded: _Folded, problems: list[str]) -> None:
        state = folded.state
        for fact_id, versions in state.facts.items():
            if tuple(await self._facts.versions(fact_id)) != versions:
                # Ignore the difference if a write came between the two reads.
                head = await self._log.head(name)
                if head.version == state.version:
                    problems.append(f"{name}: the facts table disagrees with the log on {fact_id}")
        tally = await self._facts.tally(name)
        held = sum(tally.facts.values())
        if held != len(state.facts) and (await self._log.head(name)).version == state.version:
            problems.append(f"{name}: the facts table has {held} facts, the log {len(state.facts)}")
        found = await self._derived(name, folded)
        if found and (await self._log.head(name)).version == state.version:
            problems += found

    async def _derived(self, name: LedgerId, folded: _Folded) -> list[str]:
        """The differences of the graph and the index from the fold."""
        held: dict[LinkKey, list[Link]] = {}
        for link in await self._links.versions(name):
            held.setdefault(link.key, []).append(link)
        expected_links = folded.links.history
        differing = [
            key for key in {**expected_links, **held} if held.get(key) != expected_links.get(key)
        ]
        problems = [
            f"{name}: the graph disagrees with the log on {' '.join(key)}" for key in differing
        ]
        versions = [version for all_ in folded.state.facts.values() for version in all_]
        expected = sum(version.status in INDEXED for version in versions)
        documents = await self._index.count(name)
        if documents != expected:
            problems.append(f"{name}: the index has {documents} documents, the log {expected}")
        return problems


def _unsealed(item: Recorded) -> str | None:
    """The problem of a plain event after sealed ones: an encrypted log writes none. Whoever can
    write to the file can recompute the chain, but can't encrypt.
    """
    if is_sealed(item.payload) or isinstance(item.event, UNSEALED):
        return None
    return "the payload is plain, but earlier events of the ledger are sealed"


def _scope_of(item: Recorded) -> Scope | None:
    """The scope that an event names."""
    event = item.event
    if isinstance(event, MessageObserved):
        return event.message.scope
    return getattr(event, "scope", None)


def broken_link(item: Recorded, previous: Head) -> str | None:
    """The problem of the event after ``previous``, ``None`` if the chain is intact."""
    if item.version != previous.version + 1:
        return f"version {item.version} follows version {previous.version}"
    if item.previous_hash != previous.hash:
        return "the hash of the event before does not match"
    if previous.handle not in (None, item.handle):
        return "the handle of the ledger differs from that of the event before"
    # SQLite does not enforce the declared type of a column.
    stored = isinstance(item.payload, bytes) and isinstance(item.salt, bytes)
    if not stored or payload_digest(item.salt, item.payload) != item.payload_digest:
        return "the payload was changed"
    scope = _scope_of(item)
    if scope is not None and scope.ledger != item.ledger:
        # The chain covers the handle, so that a name can be erased.
        return f"it belongs to another ledger, {scope.ledger}"
    header = header_of(
        handle=item.handle,
        version=item.version,
        event_id=item.event_id,
        recorded_at=to_microseconds(item.recorded_at),
        correlation_id=item.correlation_id,
        causation_id=item.causation_id,
        actor=item.actor,
        type_name=item.type_name,
        schema_version=item.schema_version,
    )
    if chain_hash(item.previous_hash, header, item.payload_digest) != item.hash:
        return "the envelope was changed"
    return None
