"""The receipt of a write, derived from the events that it recorded.

A request that is sent twice gets the same receipt twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from typing import Any

from attrs import frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.events import (
    FactAdded,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    InferenceRecorded,
    MessageObserved,
)
from remembrancer.domain.facts.fact import FactId, MessageId
from remembrancer.domain.facts.verdicts import Decision, Skipped, Verdict
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.extractor import EXTRACTION, IGNORED, PROCEDURE
from remembrancer.domain.recorded import CorrelationId, Position, Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import Usage


@frozen(kw_only=True)
class Receipt:
    """The result of one write.

    ``positions`` are the first and the last position that it wrote in the log. ``extractor`` is the
    name of the extractor (``verbatim`` for ``infer=False``, ``caller`` for an update or a deletion,
    empty while all messages are pending). ``skipped`` are the statements that it left out, with
    reasons. ``ignored`` names the guidance that the extractor did not follow (rules follow none).
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
    extractions = [event for event in inferences if event.purpose in (EXTRACTION, PROCEDURE)]
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
        skipped=(*_unseen(recorded), *(skip for event in extractions for skip in _skipped(event))),
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
    superseded: dict[FactId | None, list[FactId]] = defaultdict(list)
    for item in recorded:
        if isinstance(item.event, FactSuperseded):
            superseded[item.event.by].append(item.event.fact_id)
    verdicts: list[Verdict] = []
    for item in recorded:
        event = item.event
        match event:
            case FactAdded():
                ended = superseded.get(event.fact_id, [])
                verdicts.append(
                    Verdict(
                        decision=Decision.SUPERSEDE if ended else Decision.ADD,
                        text=event.text,
                        reason=event.reason,
                        fact_id=event.fact_id,
                        target=ended[0] if ended else None,
                        also_ended=tuple(ended[1:]),
                        until=event.valid.end,
                    )
                )
            case FactRevised():
                verdicts.append(_about(Decision.REVISE, event.fact_id, event.text, event.reason))
            case FactReaffirmed():
                verdicts.append(_about(Decision.REAFFIRM, event.fact_id, None, event.reason))
            case FactRetracted():
                verdicts.append(_about(Decision.RETRACT, event.fact_id, None, event.reason))
            case _:
                pass
    return verdicts


def _about(decision: Decision, fact_id: FactId, text: str | None, reason: str) -> Verdict:
    return Verdict(
        decision=decision,
        text=text or "",
        reason=reason,
        fact_id=None if decision is Decision.RETRACT else fact_id,
        target=fact_id,
    )


def _unseen(recorded: Sequence[Recorded]) -> list[Skipped]:
    """The images of messages that were stored word for word."""
    return [
        Skipped(
            message_id=item.event.message.message_id,
            text=image.label,
            reason="an image; infer=False keeps the text alone",
        )
        for item in recorded
        if isinstance(item.event, MessageObserved) and not item.event.extract
        for image in item.event.message.images
    ]


def _skipped(event: InferenceRecorded) -> list[Skipped]:
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
