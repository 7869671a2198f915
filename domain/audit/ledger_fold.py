"""The fold of one ledger: everything that its read models must say.

Pure. Stores turn it into the rows that they should have, with the builders that they write with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from attrs import define, field

from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, Findings
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import (
    FactAdded,
    FactErased,
    InferenceRecorded,
    LedgerErased,
    MessageObserved,
    PipelineDescribed,
)
from remembrancer.domain.facts.evolve import LedgerState, changes_of, first_version
from remembrancer.domain.facts.fact import Fact, FactId, MessageId
from remembrancer.domain.graph.graph import Mention, Relation, first_mention, touches
from remembrancer.domain.graph.link_history import Links
from remembrancer.domain.recall.documents import INDEXED, SAME_CONVERSATION, Surroundings
from remembrancer.domain.recall.index_context import NEIGHBOURS
from remembrancer.domain.recorded import UNSEALED, Recorded, is_sealed
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.domain.usage import Usage

_SMALL = (InferenceRecorded, PipelineDescribed, FactErased, LedgerErased)


@define
class Observed:
    """A message, the position of its event, and its place in its conversation."""

    message: Message
    position: int
    pending: bool
    place: int


@define
class LedgerFold:
    """The state of one ledger after the events that were applied.

    Args:
        ledger: its name.
        findings: gets the faults of events that contradict the ledger that they are in.
    """

    ledger: LedgerId
    findings: Findings
    state: LedgerState = field(factory=LedgerState)
    messages: dict[MessageId, Observed] = field(factory=dict)
    conversations: dict[tuple[str | None, ...], list[Observed]] = field(
        factory=lambda: defaultdict(list)
    )
    pipelines: set[str] = field(factory=set)
    evidence: set[tuple[MessageId, FactId]] = field(factory=set)
    usage: dict[tuple[str, str], Usage] = field(factory=dict)
    links: Links = field(factory=Links)
    erasures: list[tuple[int, FactErased | LedgerErased]] = field(factory=list)
    sealed: bool = False

    def apply(self, items: Iterable[Recorded]) -> None:
        """Apply the next events, in order."""
        state = self.state
        latest, version = state.latest, state.at_version
        for item in items:
            event = item.event
            self._check(item)
            if isinstance(event, MessageObserved):
                self._observe(item.position, event)
                continue
            if isinstance(event, FactAdded):
                # Most events are of this kind: the general way takes twice the time.
                self._add(item, event)
            elif isinstance(event, InferenceRecorded):
                self._infer(event)
            elif isinstance(event, PipelineDescribed):
                self.pipelines.add(event.digest)
            elif isinstance(event, FactErased | LedgerErased):
                self.erasures.append((item.version, event))
            else:
                changes = changes_of(event, item.recorded_at, latest, version)
                if changes:
                    state.changed(changes)
                    for change in changes:
                        before, after = change.before, change.after
                        known = len(before.evidence) if before else 0
                        for cited in after.evidence[known:]:
                            self.evidence.add((cited.message_id, after.fact_id))
                if touches(event):
                    self.links.apply(item)

    def apply_small(self, items: Iterable[Recorded]) -> None:
        """Check all events; apply what stays small in any ledger: pipelines, usage, erasures."""
        for item in items:
            if isinstance(item.event, _SMALL):
                self.apply((item,))
            else:
                self._check(item)

    def _add(self, item: Recorded, event: FactAdded) -> None:
        """The same as ``changes_of`` of both modules."""
        fact_id, facts = event.fact_id, self.state.facts
        if fact_id in facts:
            return
        facts[fact_id] = (first_version(event, item.recorded_at),)
        for cited in event.evidence:
            self.evidence.add((cited.message_id, fact_id))
        self.links.add(first_mention(event, item))

    def _check(self, item: Recorded) -> None:
        event = item.event
        scope: Scope | None
        if isinstance(event, MessageObserved):
            scope = event.message.scope
        else:
            scope = getattr(event, "scope", None)
        if scope is not None and scope.ledger != self.ledger:
            # The chain covers the handle, so that a name can be erased.
            self._fault(FaultKind.WRONG_LEDGER, item, self.ledger, scope.ledger)
        if is_sealed(item.payload):
            self.sealed = True
        elif self.sealed and not isinstance(event, UNSEALED) and item.payload is not None:
            # An encrypted log writes none. Whoever can write to the file can recompute the chain,
            # but can't encrypt.
            self._fault(FaultKind.UNSEALED, item, "encrypted, as events before it", "plain")

    def _fault(self, kind: FaultKind, item: Recorded, expected: str, found: str) -> None:
        self.findings.fault(
            Fault(
                kind=kind,
                projection=LOG,
                table="event",
                key=f"version {item.version}",
                column="payload",
                ledger=self.ledger,
                version=item.version,
                position=item.position,
                expected=expected,
                found=found,
                help=RESTORE,
            )
        )

    def _observe(self, position: int, event: MessageObserved) -> None:
        message = event.message
        if message.message_id in self.messages:
            return
        scope = message.scope
        thread = self.conversations[scope.agent_id, scope.run_id, scope.app_id]
        observed = Observed(message, position, event.extract, len(thread))
        self.messages[message.message_id] = observed
        thread.append(observed)

    def _infer(self, event: InferenceRecorded) -> None:
        for message_id in event.messages:
            if message_id in self.messages:
                self.messages[message_id].pending = False
        if event.asked:
            key = (event.purpose, event.model)
            self.usage[key] = self.usage.get(key, Usage()).plus(event)

    def indexed(self) -> Iterable[Fact]:
        """The versions that have a document in the index."""
        return (
            fact
            for versions in self.state.facts.values()
            for fact in versions
            if fact.status in INDEXED
        )

    def around(self, message_id: MessageId) -> Surroundings | None:
        """See ``Conversations.around``."""
        observed = self.messages.get(message_id)
        if observed is None:
            return None
        own, place = observed.message, observed.place
        scope = own.scope
        thread = self.conversations[scope.agent_id, scope.run_id, scope.app_id]

        said = own.occurred_at

        def near(neighbours: Sequence[Observed]) -> tuple[Message, ...]:
            messages = [each.message for each in neighbours]
            return tuple([m for m in messages if abs(m.occurred_at - said) <= SAME_CONVERSATION])

        return Surroundings(
            before=near(thread[max(0, place - NEIGHBOURS) : place]),
            own=own,
            after=near(thread[place + 1 : place + 1 + NEIGHBOURS]),
        )

    def citing(self, message_id: MessageId) -> Sequence[Fact]:
        """See ``Conversations.citing``."""
        citing = [fact_id for cited, fact_id in self.evidence if cited == message_id]
        return [fact for fact_id in sorted(citing) for fact in self.state.facts[fact_id]]

    def relations(self) -> dict[str, list[Relation]]:
        """The versions of each relation, oldest first."""
        return {
            key[1]: [link for link in versions if isinstance(link, Relation)]
            for key, versions in self.links.history.items()
            if key[0] == "relation"
        }

    def mentions(self) -> dict[str, list[Mention]]:
        """The versions of each mention by the id of its fact, oldest first."""
        return {
            key[1]: [link for link in versions if isinstance(link, Mention)]
            for key, versions in self.links.history.items()
            if key[0] == "fact"
        }
