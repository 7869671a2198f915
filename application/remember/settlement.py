"""The record of a decision: what each candidate came from, what it was compared with, its outcome.

Together with the causes of events it leads from every version of a fact back to a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from attrs import define, evolve, field

from remembrancer.application.remember.neighbours import FoundNeighbours
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import (
    CandidatesSettled,
    Event,
    EventId,
    InferenceRecorded,
    MessageObserved,
    Neighbour,
    SettledCandidate,
    StatementMade,
)
from remembrancer.domain.facts.decide import Decided, lost
from remembrancer.domain.facts.fact import Evidence, MessageId
from remembrancer.domain.facts.verdicts import Candidate, Decision, RefusedItem
from remembrancer.domain.places import place_in_message, place_of_fact
from remembrancer.domain.recorded import NewEvent, Recorded

New = Callable[[Event, EventId | None], NewEvent]
"""Makes an event with a new id from the event and its cause."""

_WITHOUT_FACT = (Decision.IGNORE, Decision.RETRACT)


@define
class Trail:
    """The events that lead to a decision, with their ids: messages, then inferences.

    Inferences of a try that lost its race are kept, and recorded as lost.
    """

    pipeline: str
    new: New
    messages: Mapping[MessageId, EventId]
    statement: EventId | None = None
    inferences: list[NewEvent] = field(factory=list)
    _tries: list[NewEvent] = field(factory=list)
    _latest: list[NewEvent] = field(factory=list)

    @classmethod
    def of(
        cls,
        observed: Sequence[Recorded | NewEvent],
        inferences: Iterable[InferenceRecorded],
        pipeline: str,
        new: New,
    ) -> Trail:
        """The trail of a request.

        Args:
            observed: the events with its messages or its statement; others are left out.
            inferences: of the extraction.
            pipeline: digest of the pipeline that made them.
            new: makes events.
        """
        messages = {
            item.event.message.message_id: item.event_id
            for item in observed
            if isinstance(item.event, MessageObserved)
        }
        stated = [item.event_id for item in observed if isinstance(item.event, StatementMade)]
        trail = cls(
            pipeline=pipeline,
            new=new,
            messages=messages,
            statement=stated[0] if stated else None,
        )
        for inference in inferences:
            shown = (*inference.seen, *inference.messages)
            causes = [messages[each] for each in shown if each in messages]
            trail.inferences.append(trail._made(inference, causes[0] if causes else trail.first))
        return trail

    def _made(self, inference: InferenceRecorded, cause: EventId | None) -> NewEvent:
        return self.new(evolve(inference, pipeline=self.pipeline), cause)

    @property
    def first(self) -> EventId | None:
        """The event of the statement, or of the first message."""
        return next(iter(self.messages.values()), self.statement)

    @property
    def last(self) -> EventId | None:
        """The event that the decision followed."""
        events = [*self.inferences, *self._latest]
        return events[-1].event_id if events else self.first

    @property
    def reconciled_by(self) -> EventId | None:
        """The event of the model that compared the candidates, if one did."""
        return self._latest[-1].event_id if self._latest else None

    @property
    def done(self) -> bool:
        """Whether an inference is done with a message; if none is, there is nothing to decide."""
        return any(_inference(each).messages for each in self.inferences)

    def try_again(self) -> None:
        """Begin a try; what the one before it asked was in vain."""
        self._tries += self._latest
        self._latest = []

    def reconciled(self, inferences: Iterable[InferenceRecorded]) -> None:
        """Add the inferences of a reconciliation."""
        cause = self.inferences[-1].event_id if self.inferences else self.first
        self._latest = [self._made(each, cause) for each in inferences]

    def used(self) -> list[NewEvent]:
        """All inferences, for a decision that is based on the latest ones."""
        return [*self.inferences, *map(_lost, self._tries), *self._latest]

    def lost(self) -> list[NewEvent]:
        """All inferences of models, if nothing is decided."""
        asked = [*self.inferences, *self._tries, *self._latest]
        return [_lost(each) for each in asked if _inference(each).asked]

    def cause_of(self, candidate: Candidate) -> EventId | None:
        """The event that a candidate came from: an inference, the message that it repeats, or the
        statement.
        """
        if candidate.sources:
            return self.inferences[candidate.sources[0].inference].event_id
        if candidate.evidence:
            return self.messages.get(candidate.evidence[0].message_id)
        return self.statement


def _inference(item: NewEvent) -> InferenceRecorded:
    assert isinstance(item.event, InferenceRecorded), "a trail holds inferences"
    return item.event


def _lost(item: NewEvent) -> NewEvent:
    return evolve(item, event=lost(_inference(item)))


def settlement(
    decided: Sequence[Decided],
    neighbours: FoundNeighbours,
    trail: Trail,
    *,
    now: datetime,
    embedded: bool,
    refused: Sequence[RefusedItem],
    messages: Sequence[Message],
) -> CandidatesSettled:
    """The record of a decision.

    Args:
        decided: the decision about each candidate.
        neighbours: the facts that the candidates were compared with.
        trail: the events that led here.
        now: the time of the decision.
        embedded: whether the candidates had vectors.
        refused: items that made no candidate.
        messages: the messages that candidates quote.
    """
    known = {place_of_fact(fact): at for at, (fact, _) in enumerate(neighbours.same.values())}
    by_id = {message.message_id: message for message in messages}
    candidates = [
        SettledCandidate(
            decision=each.verdict.decision,
            sources=each.candidate.sources,
            fact_id=each.verdict.fact_id,
            target=each.verdict.target,
            also_ended=each.verdict.also_ended,
            refused=each.verdict.refused,
            dropped=each.candidate.dropped,
            quotes=tuple(_place(item, by_id) for item in each.candidate.evidence)
            if each.verdict.decision in _WITHOUT_FACT
            else (),
            neighbours=tuple(
                Neighbour(known.setdefault(place_of_fact(fact), len(known)), similarity)
                for fact, similarity in near.values()
            ),
        )
        for each, near in zip(decided, neighbours.near, strict=True)
    ]
    return CandidatesSettled(
        pipeline=trail.pipeline,
        decided_at=now,
        embedded=embedded,
        inferences=tuple(item.event_id for item in trail.inferences),
        reconciled_by=trail.reconciled_by,
        known=tuple(known),
        shared=len(neighbours.same),
        candidates=tuple(candidates),
        refused=tuple(refused),
    )


def _place(item: Evidence, messages: Mapping[MessageId, Message]) -> str:
    """Where evidence is: ``message_id[start:end]``; without numbers if it is not in the text."""
    message = messages.get(item.message_id)
    if message is None:
        return item.message_id
    start = 0 if item.quote is None else message.text.find(item.quote)
    if start < 0:
        return item.message_id
    return place_in_message(item.message_id, start, item.quote or message.text)
