"""Verifying: every hash and version of the log, and that the facts are the fold of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from memledger.domain.errors import IntegrityError
from memledger.domain.ledger import LedgerState, fold
from memledger.domain.moments import to_microseconds
from memledger.domain.plain import plain
from memledger.domain.ports.audit_log import AuditLog
from memledger.domain.ports.fact_store import FactStore
from memledger.domain.recorded import Head, Recorded, chain_hash, header_of, payload_digest
from memledger.domain.scope import LedgerId

PAGE = 1000
MAX_PROBLEMS = 100
"""Problems that are listed; a file that has more is past reading them one by one."""

Progress = Callable[[int, int], None]
"""Called with the events checked so far and the events in all."""


@frozen(kw_only=True)
class Verification:
    """What was checked, and what was found to be wrong (nothing: ``ok``)."""

    events: int
    ledgers: int
    facts: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {"ok": self.ok, **plain(self)}


class Verify:
    """Reads everything once.

    Args:
        log: what is verified.
        facts: what must equal its fold.
    """

    def __init__(self, *, log: AuditLog, facts: FactStore) -> None:
        self._log = log
        self._facts = facts

    async def __call__(self, progress: Progress | None = None) -> Verification:
        """Verify the whole log, ledger by ledger."""
        total = await self._log.last_position()
        events = ledgers = facts = 0
        problems: list[str] = []
        after: LedgerId | None = None
        while names := await self._log.ledgers(after, PAGE):
            for name in names:
                state, found = await self._ledger(name, problems)
                events += found
                ledgers += 1
                facts += len(state.facts)
                await self._compare(name, state, problems)
                if progress is not None:
                    progress(events, total)
            after = names[-1]
        last = await self._log.last_position()
        # What is appended meanwhile may be counted, or may come too late for it.
        if not total <= events <= last:
            problems.append(
                f"the log's last position is {last}, but its ledgers hold {events} events"
            )
        return Verification(
            events=events, ledgers=ledgers, facts=facts, problems=tuple(problems[:MAX_PROBLEMS])
        )

    async def _ledger(self, name: LedgerId, problems: list[str]) -> tuple[LedgerState, int]:
        """Check the chain of one ledger and fold it."""
        expected = await self._log.head(name)
        head, state, count = Head(), LedgerState(), 0
        while True:
            try:
                page = await self._log.read_ledger(name, head.version, PAGE)
            except IntegrityError as error:
                problems.append(f"{name}: {error}")
                return state, count
            for item in page:
                problem = broken_link(item, head)
                if problem is not None:
                    problems.append(f"{name}: position {item.position}: {problem}")
                head = Head(version=item.version, hash=item.hash, recorded_at=item.recorded_at)
            state = fold(page, state)
            count += len(page)
            if len(page) < PAGE:
                break
        if head.version < expected.version or (
            head.version == expected.version and head.hash != expected.hash
        ):
            problems.append(
                f"{name}: the head says version {expected.version}, the last event is "
                f"{head.version} or another one"
            )
        return state, count

    async def _compare(self, name: LedgerId, state: LedgerState, problems: list[str]) -> None:
        for fact_id, versions in state.facts.items():
            if tuple(await self._facts.versions(fact_id)) != versions:
                # A write may have come between the two reads; only what stays is a problem.
                head = await self._log.head(name)
                if head.version == state.version:
                    problems.append(f"{name}: the facts table disagrees with the log on {fact_id}")
        tally = await self._facts.tally(name)
        held = sum(tally.facts.values())
        if held != len(state.facts) and (await self._log.head(name)).version == state.version:
            problems.append(f"{name}: the facts table has {held} facts, the log {len(state.facts)}")


def broken_link(item: Recorded, previous: Head) -> str | None:
    """What is wrong with an event after ``previous``, ``None`` if nothing is."""
    if item.version != previous.version + 1:
        return f"version {item.version} follows version {previous.version}"
    if item.previous_hash != previous.hash:
        return "the hash of the event before does not match"
    # Whatever the declared type, a column of SQLite holds what somebody put into it.
    stored = isinstance(item.payload, bytes) and isinstance(item.salt, bytes)
    if not stored or payload_digest(item.salt, item.payload) != item.payload_digest:
        return "the payload was changed"
    header = header_of(
        ledger=item.ledger,
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
