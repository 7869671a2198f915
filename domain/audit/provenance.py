"""Where the versions of a fact come from: the values that ``why`` returns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from remembrancer.domain.audit.in_words import answer_of
from remembrancer.domain.events import EventId, Outcome
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, MessageId, Statement
from remembrancer.domain.facts.verdicts import Decision, Refusal
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.recorded import CorrelationId, Position


@frozen(kw_only=True)
class Quote:
    """A message that a version cites, and the words in it (``None``: all of it).

    ``text`` is the whole message. It and ``quote`` are ``None`` if the message was erased, is not
    in the ledger, or belongs to another scope.
    """

    message_id: MessageId
    speaker: str | None = None
    occurred_at: datetime | None = None
    text: str | None = None
    quote: str | None = None
    erased: bool = False


@frozen(kw_only=True)
class Compared:
    """A fact that a candidate was compared with. ``text`` is ``None`` if it belongs to another
    scope; ``similarity`` is the cosine of the two texts, 0 for a fact with the same text or slot
    that is not near.
    """

    fact_id: FactId
    version: int
    similarity: float
    text: str | None = None


@frozen(kw_only=True)
class Settlement:
    """The decision about the candidate that led to a version; see ``SettledCandidate``."""

    event_id: EventId
    decision: Decision
    decided_at: datetime
    embedded: bool
    target: FactId | None = None
    also_ended: tuple[FactId, ...] = ()
    refused: Refusal | None = None
    dropped: tuple[str, ...] = ()
    neighbours: tuple[Compared, ...] = ()


@frozen(kw_only=True)
class Inference:
    """A call of a model, or a pass of rules, that a version came from; see ``InferenceRecorded``.

    ``output`` is the raw answer, ``items`` are the parts of it that are about this fact. There are
    none if it was erased, or may speak of messages or facts of another scope.
    """

    event_id: EventId
    purpose: str = ""
    model: str = ""
    prompt: str = ""
    prompt_digest: str = ""
    request_digest: str = ""
    pipeline: str = ""
    outcome: Outcome = Outcome.USED
    shown: Mapping[str, str] = field(factory=dict)
    output: str | None = None
    items: tuple[Any, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    latency: float = 0.0
    cost: float | None = None
    erased: bool = False


@frozen(kw_only=True)
class WhyStep:
    """The event that made one version of a fact.

    ``text`` is the text of the fact in that version, ``type`` the type name of the event.
    ``evidence`` is what this version cites and the one before did not. ``inferences`` are the ids
    of those in ``Why.inferences`` that led to it.
    """

    version: int
    text: str
    status: FactStatus
    event_id: EventId
    position: Position
    recorded_at: datetime
    actor: str
    correlation_id: CorrelationId
    type: str
    reason: str = ""
    statement: Statement | None = None
    evidence: tuple[Quote, ...] = ()
    inferences: tuple[EventId, ...] = ()
    decision: Settlement | None = None


@frozen(kw_only=True)
class Replaced:
    """A fact that the explained one took the place of; ``said`` is where its text came from."""

    fact_id: FactId
    version: int
    text: str | None
    said: Quote | None = None
    why: str = ""


@frozen(kw_only=True)
class Ended:
    """Since when a fact is not believed any more, why, and by which fact (``text``)."""

    status: FactStatus
    recorded_at: datetime
    actor: str
    why: str = ""
    by: FactId | None = None
    text: str | None = None


@frozen(kw_only=True)
class Why:
    """Why the memory believes a fact, or did.

    ``versions`` are the steps that led to ``fact``, oldest first. ``gaps`` names what can't be
    followed, in plain words: what was erased, imported without its history, or belongs to another
    scope. Nothing is invented in its place.
    """

    fact: Fact
    versions: tuple[WhyStep, ...] = ()
    inferences: tuple[Inference, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    ended: Ended | None = None
    gaps: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every version leads back to a message, a statement or a caller."""
        return not self.gaps

    @property
    def answer(self) -> tuple[str, ...]:
        """The answer in plain words, one to three lines."""
        return answer_of(self)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values, with ``answer`` and ``complete``."""
        return {
            "answer": list(self.answer),
            **to_jsonable(self),
            "fact": self.fact.to_dict(),
            "complete": self.complete,
        }
