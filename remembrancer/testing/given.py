"""Given events, when a command, then events: tests of the domain that read like the requirement.

They need no store, no clock and no ids: everything is made by the domain's pure functions::

    given(ADDED).when(update(TEA, text="I like green tea")).then(
        FactRevised(fact_id=TEA, text="I like green tea")
    )

The given events are recorded an hour apart from ``START`` on, at versions 1, 2, 3 and so on, with
ids that are the same in every run. This module imports no adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from difflib import ndiff
from functools import cached_property
from typing import Any, Self, TypeAlias

from attrs import define, evolve, fields, frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import RemembrancerError
from remembrancer.domain.events import (
    Event,
    EventId,
    MessageObserved,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
)
from remembrancer.domain.facts import decide as decisions
from remembrancer.domain.facts.evolve import LedgerState, fold
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Metadata
from remembrancer.domain.facts.verdicts import Candidate, Proposal
from remembrancer.domain.recorded import CorrelationId, Handle, Position, Recorded
from remembrancer.domain.scope import LedgerId

START = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)
"""When the first event was recorded; the others follow an hour apart."""

LEDGER = LedgerId("user:alice")


@frozen(slots=False)
class Ledger:
    """What happened so far, and all that the decisions of the domain need to know of it."""

    events: tuple[Event, ...] = ()

    def after(self, events: Sequence[Event]) -> Ledger:
        """This ledger with further events."""
        return Ledger((*self.events, *events))

    @cached_property
    def history(self) -> tuple[Recorded, ...]:
        """The events as recorded, without payloads and hashes."""
        return tuple(_recorded(event, version) for version, event in enumerate(self.events, 1))

    @property
    def now(self) -> datetime:
        """When the next event will be recorded."""
        return START + timedelta(hours=len(self.events))

    @cached_property
    def state(self) -> LedgerState:
        """The fold of the events."""
        return fold(self.history)

    def fact(self, fact_id: FactId) -> Fact:
        """The latest version of a fact, with any status.

        Raises:
            AssertionError: no event added it.
        """
        assert fact_id in self.state.facts, f"no given event adds the fact {fact_id}"
        return self.state.facts[fact_id][-1]

    @property
    def active(self) -> dict[FactId, Fact]:
        """The active facts by id, in the order in which they were added."""
        facts = self.state.current()
        return {fact.fact_id: fact for fact in facts if fact.status is FactStatus.ACTIVE}

    @property
    def messages(self) -> list[Message]:
        """The observed messages."""
        return [each.message for each in self.events if isinstance(each, MessageObserved)]

    @property
    def open_relations(self) -> list[RelationAsserted]:
        """The asserted relations that have not ended, or were reopened."""
        asserted: dict[str, RelationAsserted] = {}
        found: dict[str, RelationAsserted] = {}
        for event in self.events:
            if isinstance(event, RelationAsserted):
                found[event.relation_id] = event
                asserted[event.relation_id] = event
            elif isinstance(event, RelationEnded):
                found.pop(event.relation_id, None)
            elif isinstance(event, RelationReopened) and event.relation_id in asserted:
                found[event.relation_id] = evolve(asserted[event.relation_id], valid=event.valid)
        return list(found.values())


Command: TypeAlias = Callable[[Ledger], Sequence[Event]]
"""A decision: from what happened so far to new events, or to an error."""


def update(
    fact_id: FactId, *, text: str | None = None, metadata: Metadata | None = None, reason: str = ""
) -> Command:
    """A caller's update of a fact; see ``decide.revise``."""

    def command(ledger: Ledger) -> Sequence[Event]:
        own = [each for each in ledger.open_relations if each.fact_id == fact_id]
        return decisions.revise(
            ledger.fact(fact_id), text=text, metadata=metadata, reason=reason, open_relations=own
        )

    return command


def withdraw(fact_id: FactId, *, reason: str = "") -> Command:
    """A caller's deletion of a fact; see ``decide.retract``."""
    return lambda ledger: decisions.retract(ledger.fact(fact_id), reason=reason)


def reconcile(*proposed: tuple[Candidate, Proposal]) -> Command:
    """Candidates with a reconciler's proposals; see ``decide.decide``.

    The proposals may target all facts of the ledger, and quote all of its messages.
    """

    def command(ledger: Ledger) -> Sequence[Event]:
        decided = decisions.decide(
            [candidate for candidate, _ in proposed],
            [proposal for _, proposal in proposed],
            now=ledger.now,
            known={fact.fact_id: fact for fact in ledger.state.current()},
            messages=ledger.messages,
            open_relations=ledger.open_relations,
        )
        return [event for each in decided for event in each.events]

    return command


def given(*events: Event) -> Given:
    """Start a test: these events happened, in this order."""
    return Given(Ledger(events))


@frozen
class Given:
    """A ledger with its events, before a command.

    Attributes:
        ledger: what happened so far. A test of the fold reads its facts here.
    """

    ledger: Ledger

    def when(self, *commands: Command) -> Outcome:
        """Decide on commands, each after the events of those before it."""
        ledger, decided = self.ledger, list[Event]()
        try:
            for command in commands:
                events = command(ledger)
                ledger = ledger.after(events)
                decided.extend(events)
        except RemembrancerError as error:
            return Outcome(ledger, decided, error)
        return Outcome(ledger, decided)


@define
class Outcome:
    """What a command led to. The checks raise ``AssertionError`` with the difference.

    Attributes:
        ledger: what has happened now.
        events: the decided events.
        error: the error of the command that was refused.
    """

    ledger: Ledger
    events: list[Event]
    error: RemembrancerError | None = None

    def then(self, *events: Event) -> Self:
        """Check that exactly these events were decided, in this order."""
        __tracebackhide__ = True
        self._check_accepted()
        if self.events != list(events):
            raise AssertionError(_difference("events", _shown(events), _shown(self.events)))
        return self

    def then_nothing(self) -> Self:
        """Check that the command was accepted and no event was decided."""
        __tracebackhide__ = True
        return self.then()

    def then_facts(self, *texts: str) -> Self:
        """Check the texts of all active facts, in the order in which they were added."""
        __tracebackhide__ = True
        self._check_accepted()
        active = [fact.text for fact in self.ledger.active.values()]
        if active != list(texts):
            raise AssertionError(_difference("active facts", list(texts), active))
        return self

    def then_refused(self, kind: type[RemembrancerError], message: str = "") -> Self:
        """Check that the command was refused.

        Args:
            kind: the class of the error.
            message: a part of its message.
        """
        __tracebackhide__ = True
        if self.error is None:
            decided = "\n".join(_shown(self.events)) or "no events"
            raise AssertionError(f"expected {kind.__name__}, but the command decided:\n{decided}")
        if not isinstance(self.error, kind) or message not in str(self.error):
            expected = [kind.__name__, message]
            found = [type(self.error).__name__, str(self.error)]
            raise AssertionError(_difference("error", expected, found)) from self.error
        return self

    def _check_accepted(self) -> None:
        __tracebackhide__ = True
        if self.error is not None:
            refused = f"{type(self.error).__name__}: {self.error}"
            raise AssertionError(f"the command was refused: {refused}") from self.error


def _recorded(event: Event, version: int) -> Recorded:
    return Recorded(
        position=Position(version),
        ledger=LEDGER,
        handle=Handle("0" * 32),
        version=version,
        event_id=EventId(f"{version:032x}"),
        recorded_at=START + timedelta(hours=version - 1),
        correlation_id=CorrelationId(f"{version:032x}"),
        causation_id=None,
        actor="test",
        type_name=event.type_name,
        schema_version=event.schema_version,
        event=event,
        payload=b"",
        salt=b"",
        payload_digest=bytes(32),
        previous_hash=bytes(32),
        hash=bytes(32),
    )


def _difference(what: str, expected: Sequence[str], found: Sequence[str]) -> str:
    lines = (line for line in ndiff(expected, found) if not line.startswith("?"))
    return "\n".join([f"{what} differ (- expected, + found):", *lines])


def _shown(events: Sequence[Event]) -> list[str]:
    """One line per event, and one for each field that has not its default."""
    return [line for event in events for line in _lines(event)]


def _lines(event: Any) -> Iterator[str]:
    yield type(event).__name__
    for each in fields(type(event)):
        default = each.default.factory() if hasattr(each.default, "factory") else each.default
        value = getattr(event, each.name)
        if value != default:
            yield f"    {each.name} = {value!r}"
