"""Find what was said and did not become a fact, and why: the answers of ``why_not``. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from remembrancer.domain.audit.causes import decisions_about, items_of
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import (
    CandidatesSettled,
    EventId,
    InferenceRecorded,
    SettledCandidate,
)
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.facts.verdicts import Decision, Refusal, Skipped, Source
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.places import span_of
from remembrancer.domain.recall.analysis import analyse
from remembrancer.domain.recall.function_words import FUNCTION_WORDS
from remembrancer.domain.recorded import CorrelationId, Recorded

ALIKE = 0.3
"""Least likeness of an answer to the text that was asked about."""

IN_WORDS: Mapping[Refusal, str] = {
    Refusal.FOREIGN_MESSAGE: "it quotes a message that is not part of the conversation",
    Refusal.FORGED_QUOTE: "the words that it quotes are not in the message",
    Refusal.UNKNOWN_TARGET: "it would change a fact that was not shown",
    Refusal.INACTIVE_TARGET: "it would change a fact that is not active",
    Refusal.OTHER_SCOPE: "it would change a fact of another scope",
    Refusal.AGENT_ONLY: "only an agent said so",
    Refusal.NOTHING_NEW: "it says nothing new",
    Refusal.UNDECIDED: "the model decided nothing about it",
    Refusal.INVENTED_WORD: "it has a word that nobody said",
    Refusal.LOST_WORD: "it would lose a word that was said",
    Refusal.MALFORMED: "the answer of the model is malformed",
    Refusal.EMPTY: "it says nothing",
    Refusal.TOO_LONG: "it is too long",
    Refusal.TOO_MANY: "it is one fact too many from one message",
    Refusal.TWICE: "it is told already",
    Refusal.NO_QUOTE: "it quotes nothing",
    Refusal.UNSUPPORTED: "what it quotes does not speak of this",
    Refusal.NOT_DONE: "no agent says that it did this",
    Refusal.NO_STEP: "the procedure has no step",
    Refusal.UNFINISHED: "its message was not read to the end",
    Refusal.BLOCKED: "it was withdrawn for good, and its owner has not said it anew",
}


@frozen(kw_only=True)
class Dismissal:
    """Something that was said, or proposed by a model, and did not become a fact.

    ``code`` is that of a refusal, ``None`` for a statement that was skipped or a candidate that
    was left out. ``event_id`` is the event that records it. ``text`` is the whole
    message (``said``) if nothing else is recorded. ``likeness`` (0 to 1) is that of ``text`` to
    the text that was asked about.
    """

    text: str
    reason: str
    code: Refusal | None = None
    message_id: MessageId
    speaker: str = ""
    occurred_at: datetime | None = None
    said: str = ""
    event_id: EventId
    recorded_at: datetime
    correlation_id: CorrelationId
    likeness: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        result: dict[str, Any] = to_jsonable(self)
        return result


def dismissals(
    item: Recorded,
    inferences: Mapping[EventId, InferenceRecorded],
    skipped: Callable[[InferenceRecorded], Sequence[Skipped]],
) -> Iterator[Dismissal]:
    """What one event dismisses, without the words of messages (see ``with_message``).

    Args:
        item: an event of a ledger.
        inferences: those of its append.
        skipped: reads the statements that an extraction skipped.
    """
    event = item.event
    if isinstance(event, InferenceRecorded):
        for each in skipped(event):
            if each.message_id is not None:
                yield _made(item, each.text, each.reason, None, each.message_id)
    elif isinstance(event, CandidatesSettled):
        for place, candidate in enumerate(event.candidates):
            if candidate.decision is Decision.IGNORE:
                yield from _ignored(item, event, place, candidate, inferences)
        for refused in event.refused:
            yield from _refused(item, event, refused.source, refused.code, inferences)


def _made(
    item: Recorded, text: str, reason: str, code: Refusal | None, message_id: MessageId
) -> Dismissal:
    return Dismissal(
        text=text,
        reason=reason,
        code=code,
        message_id=message_id,
        event_id=item.event_id,
        recorded_at=item.recorded_at,
        correlation_id=item.correlation_id,
    )


def _ignored(
    item: Recorded,
    event: CandidatesSettled,
    place: int,
    candidate: SettledCandidate,
    inferences: Mapping[EventId, InferenceRecorded],
) -> Iterator[Dismissal]:
    compared = inferences.get(event.reconciled_by) if event.reconciled_by else None
    told = [] if compared is None else decisions_about(place, compared, items_of(compared.output))
    given = next((str(each["reason"]) for each in told if each.get("reason")), "")
    left_out = "the comparison with what is known left it out"
    reason = IN_WORDS[candidate.refused] if candidate.refused else given or left_out
    found = [_item(event, source, inferences) for source in candidate.sources]
    texts = [text for text, _ in found if text]
    places = [span_of(place)[0] for place in candidate.quotes]
    message_ids = [*places, *(id_ for _, id_ in found if id_ is not None)]
    if message_ids:
        yield _made(item, " ".join(texts), reason, candidate.refused, message_ids[0])


def _refused(
    item: Recorded,
    event: CandidatesSettled,
    source: Source,
    code: Refusal,
    inferences: Mapping[EventId, InferenceRecorded],
) -> Iterator[Dismissal]:
    text, message_id = _item(event, source, inferences)
    if message_id is not None:
        yield _made(item, text, IN_WORDS[code], code, message_id)


def _item(
    event: CandidatesSettled, source: Source, inferences: Mapping[EventId, InferenceRecorded]
) -> tuple[str, MessageId | None]:
    """The text of an item of an answer, and the message that it cites, or the first one shown."""
    named = event.inferences[source.inference : source.inference + 1]
    inference = inferences.get(named[0]) if named else None
    if inference is None:
        return "", None
    answer = items_of(inference.output) if inference.asked else ()
    draft = answer[source.item] if source.item < len(answer) else None
    shown = [*inference.seen, *inference.messages]
    first = shown[0] if shown else None
    if not isinstance(draft, Mapping):
        return "", first
    text, evidence = draft.get("text"), draft.get("evidence")
    cited = evidence if isinstance(evidence, list) else []
    for each in cited:
        number = str(each.get("message")) if isinstance(each, Mapping) else ""
        if number in inference.shown:
            first = MessageId(span_of(inference.shown[number])[0].partition("#")[0])
            break
    return text if isinstance(text, str) else "", first


def with_message(dismissal: Dismissal, message: Message) -> Dismissal:
    """A dismissal with the message that it is about; without a text of its own it has that one."""
    return evolve(
        dismissal,
        text=dismissal.text or message.text,
        speaker=message.speaker,
        occurred_at=message.occurred_at,
        said=message.text,
    )


def once(found: Sequence[Dismissal]) -> list[Dismissal]:
    """Each dismissal once: a refused item is recorded as skipped, too, with its reason in words."""
    kept: dict[tuple[CorrelationId, MessageId, str], Dismissal] = {}
    for each in found:
        key = (each.correlation_id, each.message_id, each.text.rstrip("…")[:200])
        twin = kept.get(key)
        kept[key] = evolve(twin, code=twin.code or each.code) if twin else each
    return list(kept.values())


def likeness(query: Sequence[str], text: str) -> float:
    """The likeness of a query (see ``weighty``) to a text, from 0 to 1: half the part of its words
    that the text has, half the part of all words that both have.
    """
    wanted, words = set(query), set(weighty(text))
    shared = len(wanted & words)
    if not shared:
        return 0.0
    return round(shared / len(wanted) / 2 + shared / len(wanted | words) / 2, 3)


def weighty(text: str) -> list[str]:
    """The words of a text that carry its meaning; all of them, if it has no others."""
    words = analyse(text)
    return [word for word in words if word not in _LIGHT] or words


_LIGHT = frozenset(term for word in FUNCTION_WORDS for term in analyse(word)) | {"user"}
