"""The receipt of a write, derived from the events that it recorded.

A request that is sent twice gets the same receipt twice.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from attrs import evolve, frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.events import (
    CandidatesSettled,
    Event,
    FactAdded,
    FactCorrected,
    FactReaffirmed,
    FactRestored,
    FactRetracted,
    FactRevised,
    FactsRivalled,
    FactSuperseded,
    InferenceRecorded,
    MessageObserved,
    Outcome,
    SettledCandidate,
)
from remembrancer.domain.facts.evolve import fact_id_of
from remembrancer.domain.facts.fact import FactId, MessageId
from remembrancer.domain.facts.verdicts import Decision, Skipped, Verdict
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.places import span_of
from remembrancer.domain.ports.extractor import EXTRACTION, IGNORED, PROCEDURE
from remembrancer.domain.recorded import CorrelationId, Position, Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import Usage

CALLER = "caller"
"""``Receipt.extractor`` of writes that a caller decided."""


@frozen(kw_only=True)
class Receipt:
    """The result of one write.

    ``positions`` are the first and the last position that it wrote in the log. ``extractor`` is the
    name of the extractor (``verbatim`` for ``infer=False``, ``caller`` for an update or a deletion,
    empty while all messages are pending). ``verdicts`` has one for each candidate, ignored and
    refused ones included. ``skipped`` are the parts of the messages that could not be read, and the
    statements that were left out, with reasons. ``ignored`` names the guidance that the extractor
    did not follow (rules follow none).
    ``replayed``: the request was done before, and nothing was written now. ``pending`` are the
    ``messages`` that wait for extraction. ``lagging`` names parts that will catch up later:

    * ``vectors``: the embedder did not answer; facts are found by keyword until it does.
    * ``messages``: with ``retry_on_add``, earlier messages of the ledger are still pending.
    * ``vector_index``, ``knowledge_graph``: the external engine did not apply the events within
      ``projections.wait``.
    """

    ledger: LedgerId
    correlation_id: CorrelationId
    positions: tuple[Position, Position]
    messages: tuple[MessageId, ...]
    verdicts: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]
    extractor: str
    usage: Usage
    ignored: tuple[str, ...] = ()
    replayed: bool = False
    pending: tuple[MessageId, ...] = ()
    lagging: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        result: dict[str, Any] = to_jsonable(self)
        return result


def receipt_of(recorded: Sequence[Recorded], extractor: str, *, replayed: bool = False) -> Receipt:
    """The receipt of a request, from all of its events in order."""
    inferences = [i.event for i in recorded if isinstance(i.event, InferenceRecorded)]
    extractions = [
        event
        for event in inferences
        if event.purpose in (EXTRACTION, PROCEDURE) and event.outcome is Outcome.USED
    ]
    pending = pending_of(recorded)
    return Receipt(
        ledger=recorded[0].ledger,
        correlation_id=recorded[0].correlation_id,
        positions=(recorded[0].position, recorded[-1].position),
        messages=tuple(
            item.event.message.message_id
            for item in recorded
            if isinstance(item.event, MessageObserved)
        ),
        verdicts=tuple(_verdicts(recorded)),
        skipped=(
            *_unseen(recorded),
            *(skip for event in extractions for skip in skipped_of(event)),
        ),
        extractor=extractions[-1].model if extractions else "" if pending else extractor,
        usage=reduce(Usage.plus, inferences, Usage()),
        ignored=tuple(
            dict.fromkeys(
                name for event in extractions for name in event.parameters.get(IGNORED, ())
            )
        ),
        replayed=replayed,
        pending=tuple(message.message_id for message in pending),
    )


def pending_of(recorded: Sequence[Recorded]) -> list[Message]:
    """The messages that wait for extraction, from all events of their request."""
    looked_at = {
        message_id
        for item in recorded
        if isinstance(item.event, InferenceRecorded)
        for message_id in item.event.messages
    }
    return [
        item.event.message
        for item in recorded
        if isinstance(item.event, MessageObserved)
        and item.event.extract
        and item.event.message.message_id not in looked_at
    ]


def _verdicts(recorded: Sequence[Recorded]) -> list[Verdict]:
    """The verdicts in the order of the candidates; an edit by a caller has no candidates."""
    told = _Told.of(recorded)
    settled = [item.event for item in recorded if isinstance(item.event, CandidatesSettled)]
    if not settled:
        return [verdict for item in recorded if (verdict := told.verdict_of(item.event))]
    return [told.verdict_on(each) for event in settled for each in event.candidates]


@frozen
class _Told:
    """What the events of a request say about its facts."""

    messages: Mapping[MessageId, Message]
    events: Mapping[tuple[type[Event], FactId], deque[Event]]
    superseded: Mapping[FactId | None, Sequence[FactId]]
    rivals: Mapping[FactId | None, Sequence[FactId]]

    @classmethod
    def of(cls, recorded: Sequence[Recorded]) -> _Told:
        """Sort the events of a request by what they are about."""
        messages: dict[MessageId, Message] = {}
        events: dict[tuple[type[Event], FactId], deque[Event]] = defaultdict(deque)
        superseded: dict[FactId | None, list[FactId]] = defaultdict(list)
        rivals: dict[FactId | None, list[FactId]] = defaultdict(list)
        for item in recorded:
            event, fact_id = item.event, fact_id_of(item.event)
            if isinstance(event, MessageObserved):
                messages[event.message.message_id] = event.message
            elif isinstance(event, FactSuperseded):
                superseded[event.by].append(event.fact_id)
            elif isinstance(event, FactsRivalled):
                rivals[event.one].append(event.other)
            if fact_id is not None:
                events[type(event), fact_id].append(event)
        return cls(messages, events, superseded, rivals)

    def verdict_on(self, candidate: SettledCandidate) -> Verdict:
        """The verdict on a settled candidate."""
        named = candidate.fact_id if candidate.decision in _NEW else candidate.target
        found = self.events.get((_EVENTS[candidate.decision], named)) if named else None
        verdict = self.verdict_of(found.popleft()) if found else None
        if verdict is None:
            reason = candidate.refused.value if candidate.refused else ""
            if candidate.target is not None and not reason:
                reason = "a known fact says it already"
            verdict = Verdict(
                decision=candidate.decision, text="", reason=reason, target=candidate.target
            )
        return evolve(
            verdict,
            text=verdict.text or self._said(candidate),
            rivals=tuple(self.rivals.get(verdict.fact_id, ())),
            refused=candidate.refused,
        )

    def _said(self, candidate: SettledCandidate) -> str:
        return " ".join(filter(None, map(self._quoted, candidate.quotes)))

    def _quoted(self, place: str) -> str:
        message_id, span = span_of(place)
        message = self.messages.get(message_id)
        return message.text[span] if message else ""

    def verdict_of(self, event: Event) -> Verdict | None:
        """The verdict that an event carried out, if it carried one out."""
        match event:
            case FactAdded():
                ended = self.superseded.get(event.fact_id, ())
                return Verdict(
                    decision=Decision.SUPERSEDE if ended else Decision.ADD,
                    text=event.text,
                    reason=event.reason,
                    fact_id=event.fact_id,
                    target=ended[0] if ended else None,
                    also_ended=tuple(ended[1:]),
                    until=event.valid.end,
                )
            case FactRevised():
                return _about(Decision.REVISE, event.fact_id, event.text, event.reason)
            case FactReaffirmed():
                said = " ".join(item.quote for item in event.evidence if item.quote)
                return _about(Decision.REAFFIRM, event.fact_id, said, event.reason)
            case FactRestored():
                return _about(Decision.REVISE, event.fact_id, None, event.reason)
            case FactCorrected():
                return _about(Decision.REVISE, event.fact_id, event.text, event.reason)
            case FactSuperseded(by=None):
                return _about(Decision.SUPERSEDE, event.fact_id, None, event.reason)
            case FactRetracted():
                return _about(Decision.RETRACT, event.fact_id, None, event.reason)
            case _:
                return None


def _about(decision: Decision, fact_id: FactId, text: str | None, reason: str) -> Verdict:
    return Verdict(
        decision=decision,
        text=text or "",
        reason=reason,
        fact_id=None if decision in (Decision.RETRACT, Decision.SUPERSEDE) else fact_id,
        target=fact_id,
    )


_NEW = (Decision.ADD, Decision.SUPERSEDE)
_EVENTS: Mapping[Decision, type[Event]] = {
    Decision.ADD: FactAdded,
    Decision.SUPERSEDE: FactAdded,
    Decision.REVISE: FactRevised,
    Decision.REAFFIRM: FactReaffirmed,
    Decision.RETRACT: FactRetracted,
    Decision.IGNORE: CandidatesSettled,
}


def _unseen(recorded: Sequence[Recorded]) -> list[Skipped]:
    """The images of messages that were stored word for word."""
    return [
        Skipped(
            message_id=item.event.message.message_id,
            text=image.label,
            reason="an image; infer=False keeps the text alone",
        )
        for item in recorded
        if isinstance(item.event, MessageObserved)
        and (item.event.verbatim or not item.event.extract)
        for image in item.event.message.images
    ]


def skipped_of(event: InferenceRecorded) -> list[Skipped]:
    """The statements that the extractor skipped. A model's raw output may have any form; other
    forms give none.
    """
    try:
        items = json.loads(event.output)
    except (ValueError, RecursionError):
        return []
    return [
        Skipped(**item)
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
        and item.keys() == {"message_id", "text", "reason"}
        and all(isinstance(value, str) for value in item.values())
    ]
