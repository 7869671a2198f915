"""All events of a ledger, named in the past tense.

Events are never edited. A new shape needs a new schema version and an upcaster (``upcasting``);
the type names below are stored and never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, NewType, TypeAlias

from attrs import field, frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.facts.fact import (
    Evidence,
    FactId,
    FactKind,
    FactStatus,
    Interval,
    MessageId,
    Metadata,
    Statement,
)
from remembrancer.domain.facts.verdicts import Decision, Refusal, RefusedItem, Source
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.scope import Scope

EventId = NewType("EventId", str)


@frozen(kw_only=True)
class MessageObserved:
    """A message came in.

    ``extract``: whether facts are still to be extracted from it; ``verbatim``: as it is, word for
    word. ``metadata`` and ``expires_at`` are copied to these facts; the metadata of a request is
    on its first message alone. ``guidance``: instructions of this request, which override the
    settings. ``kind``: the kind of fact to make of the messages as a whole, if requested.
    """

    type_name: ClassVar[str] = "message.observed"
    schema_version: ClassVar[int] = 1

    message: Message
    extract: bool = True
    verbatim: bool = False
    metadata: Metadata = field(factory=dict)
    expires_at: datetime | None = None
    guidance: Guidance | None = None
    kind: FactKind | None = None


@frozen(kw_only=True)
class StatementMade:
    """A caller stated a fact as subject, predicate and value; it is the origin of that fact.

    ``valid`` is when the statement holds. ``single``: the subject has one value for the predicate
    at a time. ``text`` is the fact in words.
    """

    type_name: ClassVar[str] = "statement.made"
    schema_version: ClassVar[int] = 1

    scope: Scope
    statement: Statement
    text: str
    occurred_at: datetime
    valid: Interval = Interval()
    single: bool = True
    metadata: Metadata = field(factory=dict)
    reason: str = ""


@frozen(kw_only=True)
class PipelineDescribed:
    """The parts that decide what is remembered, and their settings. It is appended to a ledger
    before the first decision that was made with them.

    ``digest`` (32 hex digits) identifies the description; inferences and settled candidates name
    it. ``prompts`` maps the names of prompt templates to their digests. ``libraries`` has the
    versions of those that affect a decision.
    """

    type_name: ClassVar[str] = "pipeline.described"
    schema_version: ClassVar[int] = 1

    digest: str
    software: str
    extractor: Mapping[str, Any]
    reconciler: Mapping[str, Any]
    embedder: Mapping[str, Any]
    prompts: Mapping[str, str] = field(factory=dict)
    libraries: Mapping[str, str] = field(factory=dict)


class Outcome(StrEnum):
    """What became of an answer. ``used``: the decision is based on it; ``vain``: there was no
    answer, or an unusable one; ``lost``: another writer or another failure made it useless.
    """

    USED = "used"
    VAIN = "vain"
    LOST = "lost"


@frozen(kw_only=True)
class InferenceRecorded:
    """A model was called. ``output`` is its raw answer, so that a replay needs no model.

    ``pipeline`` is the digest of the ``PipelineDescribed`` that it was called with,
    ``prompt_digest`` that of the prompt template, ``request_digest`` the SHA-256 of all that was
    sent. ``shown`` explains the numbers in the prompt: each is ``fact_id@version``,
    ``message_id[start:end]`` (characters), the same with ``#`` and the reference of an image for
    its description, or ``candidate n``, counted as in ``CandidatesSettled``. ``seen`` are all
    messages that were shown; ``messages`` are those that need no other try.

    ``cost`` is in US dollars, ``None`` if the price is unknown; ``latency`` is in seconds.
    Decisions of rules and checks are recorded too, with an empty ``prompt_digest``.
    """

    type_name: ClassVar[str] = "inference.recorded"
    schema_version: ClassVar[int] = 1

    purpose: str
    model: str
    prompt_digest: str
    output: str
    pipeline: str = ""
    request_digest: str = ""
    parameters: Mapping[str, Any] = field(factory=dict)
    shown: Mapping[str, str] = field(factory=dict)
    seen: tuple[MessageId, ...] = ()
    messages: tuple[MessageId, ...] = ()
    outcome: Outcome = Outcome.USED
    input_tokens: int = 0
    output_tokens: int = 0
    latency: float = 0.0
    cost: float | None = None

    @property
    def asked(self) -> bool:
        """Whether a model was called, even if its answer was not usable."""
        return bool(self.prompt_digest)


class Neighbour(NamedTuple):
    """A fact near a candidate: its place in ``CandidatesSettled.known``, and the similarity of the
    two texts (cosine in [-1, 1]).
    """

    known: int
    similarity: float


@frozen(kw_only=True)
class SettledCandidate:
    """The outcome of one candidate. It holds no text.

    ``fact_id`` is the fact that now represents the candidate, ``target`` the existing fact that
    the decision applies to, and ``also_ended`` are further facts that it ended. ``refused`` is the
    code of the reason why something else was proposed and not done. ``dropped`` names what a check
    took away: a date, a quote. ``quotes`` (``message_id[start:end]``) locates the words of a
    candidate that no fact quotes.
    """

    decision: Decision
    sources: tuple[Source, ...] = ()
    fact_id: FactId | None = None
    target: FactId | None = None
    also_ended: tuple[FactId, ...] = ()
    refused: Refusal | None = None
    dropped: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()


@frozen(kw_only=True)
class CandidatesSettled:
    """A request was decided: each of its candidates has exactly one outcome.

    ``decided_at`` is the time of the decision. ``embedded``: whether the candidates had vectors;
    without them, similar facts are not found. ``inferences`` are the events that the candidates
    came from, ``reconciled_by`` is the event of the model that compared them, if one did.
    ``known`` are the facts (``fact_id@version``) that they were compared with: the first ``shared``
    of them with all candidates, because they have the text or the slot of one, and each candidate
    with its ``neighbours``. A shared fact has the similarity 0 for a candidate that is not near it.
    ``refused`` are the items of answers that made no candidate.
    """

    type_name: ClassVar[str] = "candidates.settled"
    schema_version: ClassVar[int] = 1

    pipeline: str
    decided_at: datetime
    embedded: bool
    inferences: tuple[EventId, ...] = ()
    reconciled_by: EventId | None = None
    known: tuple[str, ...] = ()
    shared: int = 0
    candidates: tuple[SettledCandidate, ...] = ()
    refused: tuple[RefusedItem, ...] = ()


@frozen(kw_only=True)
class FactAdded:
    """A fact was added to the ledger. ``statement`` is set if a caller stated it."""

    type_name: ClassVar[str] = "fact.added"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    scope: Scope
    text: str
    kind: FactKind = FactKind.SEMANTIC
    metadata: Metadata = field(factory=dict)
    evidence: tuple[Evidence, ...] = ()
    speaker: str | None = None
    entities: tuple[str, ...] = ()
    slot: str | None = None
    statement: Statement | None = None
    occurred_at: datetime
    valid: Interval = Interval()
    expires_at: datetime | None = None
    reason: str = ""


@frozen(kw_only=True)
class FactRevised:
    """A fact was rephrased or corrected. ``None`` leaves a field as it was."""

    type_name: ClassVar[str] = "fact.revised"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    text: str | None = None
    metadata: Metadata | None = None
    evidence: tuple[Evidence, ...] = ()
    expires_at: datetime | None = None
    entities: tuple[str, ...] | None = None
    reason: str = ""


@frozen(kw_only=True)
class FactSuperseded:
    """A fact was true until ``ended_at``; the fact ``by``, if any, replaced it."""

    type_name: ClassVar[str] = "fact.superseded"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    by: FactId | None = None
    ended_at: datetime
    reason: str = ""


@frozen(kw_only=True)
class FactReaffirmed:
    """A fact was stated again."""

    type_name: ClassVar[str] = "fact.reaffirmed"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    evidence: tuple[Evidence, ...] = ()
    reason: str = ""


@frozen(kw_only=True)
class FactRetracted:
    """A fact was withdrawn: it is no longer active, and its history stays.

    ``block``: what it says is not to be drawn again from the same or like words.
    """

    type_name: ClassVar[str] = "fact.retracted"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    block: bool = False
    reason: str = ""


@frozen(kw_only=True)
class FactUnblocked:
    """The owner of a withdrawn fact said it anew, so it may be drawn again. It stays withdrawn."""

    type_name: ClassVar[str] = "fact.unblocked"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    reason: str = ""


@frozen(kw_only=True)
class FactExpired:
    """A fact reached its ``expires_at``."""

    type_name: ClassVar[str] = "fact.expired"
    schema_version: ClassVar[int] = 1

    fact_id: FactId


@frozen(kw_only=True)
class FactRestored:
    """A fact is again what it was in an earlier version, whatever its status was.

    ``status``, ``entities``, ``valid``, ``interruptions`` and ``expires_at`` are those of that
    version, for projections that keep no versions of facts.
    """

    type_name: ClassVar[str] = "fact.restored"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    to_version: int
    status: FactStatus = FactStatus.ACTIVE
    entities: tuple[str, ...] = ()
    valid: Interval = Interval()
    interruptions: tuple[Interval, ...] = ()
    expires_at: datetime | None = None
    reason: str = ""


@frozen(kw_only=True)
class FactCorrected:
    """What the ledger believed of a fact was wrong; the versions that believed it stay. It applies
    to facts of any status.

    ``version`` is the version that was corrected. ``None`` leaves a field as it was. ``valid`` are
    the spans of valid time in order, and ``told`` is what was told of it, if other facts in the
    slot cut that (``None``: nothing was cut). ``status`` is active, or superseded by the fact
    ``superseded_by``; without one, a superseded fact that has no end is active again. A retracted
    or expired fact keeps its status: ``FactRestored`` brings it back.
    """

    type_name: ClassVar[str] = "fact.corrected"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    version: int
    text: str | None = None
    statement: Statement | None = None
    entities: tuple[str, ...] | None = None
    valid: tuple[Interval, ...] | None = None
    told: Interval | None = None
    status: FactStatus | None = None
    superseded_by: FactId | None = None
    reason: str = ""


@frozen(kw_only=True)
class FactsRivalled:
    """Two facts give different answers to one question (``slot``), and nobody said which holds.
    It lasts until either of them ends.
    """

    type_name: ClassVar[str] = "facts.rivalled"
    schema_version: ClassVar[int] = 1

    one: FactId
    other: FactId
    slot: str | None = None
    reason: str = ""


@frozen(kw_only=True)
class RelationAsserted:
    """A relation between two entities was asserted."""

    type_name: ClassVar[str] = "relation.asserted"
    schema_version: ClassVar[int] = 1

    relation_id: str
    scope: Scope
    subject: str
    predicate: str
    object: str
    fact_id: FactId | None = None
    valid: Interval = Interval()


@frozen(kw_only=True)
class RelationEnded:
    """A relation was true until ``ended_at``."""

    type_name: ClassVar[str] = "relation.ended"
    schema_version: ClassVar[int] = 1

    relation_id: str
    ended_at: datetime
    reason: str = ""


@frozen(kw_only=True)
class RelationReopened:
    """A relation that was ended or withdrawn holds again, at the times ``valid``, except in its
    ``interruptions``. ``object`` is what it names again (``None``: as before).
    """

    type_name: ClassVar[str] = "relation.reopened"
    schema_version: ClassVar[int] = 1

    relation_id: str
    object: str | None = None
    valid: Interval = Interval()
    interruptions: tuple[Interval, ...] = ()
    expires_at: datetime | None = None
    reason: str = ""


@frozen(kw_only=True)
class FeedbackGiven:
    """A fact was rated: ``score`` is +1 (useful) or -1 (wrong or useless)."""

    type_name: ClassVar[str] = "feedback.given"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    score: int
    comment: str = ""


@frozen(kw_only=True)
class FactErased:
    """A fact was erased on request: the payloads of the events ``versions`` are deleted."""

    type_name: ClassVar[str] = "fact.erased"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    versions: tuple[int, ...]
    reason: str = ""


@frozen(kw_only=True)
class LedgerErased:
    """A ledger was erased: all payloads up to this event are deleted."""

    type_name: ClassVar[str] = "ledger.erased"
    schema_version: ClassVar[int] = 1

    reason: str = ""


@frozen(kw_only=True)
class CheckpointSealed:
    """A signed Merkle root over the log up to ``size`` events was exported."""

    type_name: ClassVar[str] = "checkpoint.sealed"
    schema_version: ClassVar[int] = 1

    origin: str
    size: int
    root: str
    signature: str


@frozen(kw_only=True)
class PayloadErased:
    """Placeholder for a stored event whose payload was erased. It is never appended, and folds
    ignore it.
    """

    type_name: ClassVar[str] = "payload.erased"
    schema_version: ClassVar[int] = 1


Event: TypeAlias = (
    MessageObserved
    | StatementMade
    | PipelineDescribed
    | InferenceRecorded
    | CandidatesSettled
    | FactAdded
    | FactRevised
    | FactSuperseded
    | FactReaffirmed
    | FactRetracted
    | FactUnblocked
    | FactExpired
    | FactRestored
    | FactCorrected
    | FactsRivalled
    | RelationAsserted
    | RelationEnded
    | RelationReopened
    | FeedbackGiven
    | FactErased
    | LedgerErased
    | CheckpointSealed
    | PayloadErased
)

EVENT_TYPES: tuple[type[Event], ...] = (
    MessageObserved,
    StatementMade,
    PipelineDescribed,
    InferenceRecorded,
    CandidatesSettled,
    FactAdded,
    FactRevised,
    FactSuperseded,
    FactReaffirmed,
    FactRetracted,
    FactUnblocked,
    FactExpired,
    FactRestored,
    FactCorrected,
    FactsRivalled,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
    FeedbackGiven,
    FactErased,
    LedgerErased,
    CheckpointSealed,
)
"""All event types that are stored."""
