"""The vocabulary of the ledger: what can have happened, in the past tense.

Events are never edited. A new shape is a new schema version plus an upcaster
(``remembrancer.domain.upcasting``); the type names below are stored and never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

from attrs import field, frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.facts.fact import Evidence, FactId, FactKind, Interval, MessageId, Metadata
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.scope import Scope


@frozen(kw_only=True)
class MessageObserved:
    """A message came in. ``extract`` says whether facts are still to be drawn from it, ``metadata``
    and ``expires_at`` what each of them is to carry, ``guidance`` what this call wanted besides the
    settings, and ``kind`` what it wanted made of the messages as a whole, where it did.
    """

    type_name: ClassVar[str] = "message.observed"
    schema_version: ClassVar[int] = 2

    message: Message
    extract: bool = True
    metadata: Metadata = field(factory=dict)
    expires_at: datetime | None = None
    guidance: Guidance | None = None
    kind: FactKind | None = None


@frozen(kw_only=True)
class InferenceRecorded:
    """A model was called. ``output`` is its raw answer, so that a replay needs no model; ``cost``
    is in US dollars, ``None`` where the price is not known. What rules and checks decided without
    a model is recorded likewise, and has no prompt.
    """

    type_name: ClassVar[str] = "inference.recorded"
    schema_version: ClassVar[int] = 2

    purpose: str
    model: str
    prompt_digest: str
    parameters: Mapping[str, Any] = field(factory=dict)
    output: str
    input_tokens: int = 0
    output_tokens: int = 0
    latency: float = 0.0
    messages: tuple[MessageId, ...] = ()
    cost: float | None = None

    @property
    def asked(self) -> bool:
        """Whether a model was asked, whatever it answered."""
        return bool(self.prompt_digest)


@frozen(kw_only=True)
class FactAdded:
    """The ledger began to believe something."""

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
    occurred_at: datetime
    valid: Interval = Interval()
    expires_at: datetime | None = None
    reason: str = ""


@frozen(kw_only=True)
class FactRevised:
    """The same belief, said better or corrected. ``None`` leaves a field as it was."""

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
    """The world moved on: the fact was true until ``ended_at``, then ``by`` took its place."""

    type_name: ClassVar[str] = "fact.superseded"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    by: FactId | None = None
    ended_at: datetime
    reason: str = ""


@frozen(kw_only=True)
class FactReaffirmed:
    """The same thing was said again."""

    type_name: ClassVar[str] = "fact.reaffirmed"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    evidence: tuple[Evidence, ...] = ()
    reason: str = ""


@frozen(kw_only=True)
class FactRetracted:
    """The belief was withdrawn: it is not held any more, and its history stays."""

    type_name: ClassVar[str] = "fact.retracted"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    reason: str = ""


@frozen(kw_only=True)
class FactExpired:
    """The time that the caller gave it ran out."""

    type_name: ClassVar[str] = "fact.expired"
    schema_version: ClassVar[int] = 1

    fact_id: FactId


@frozen(kw_only=True)
class RelationAsserted:
    """Two entities began to stand in a relation."""

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
    """The relation held until ``ended_at``."""

    type_name: ClassVar[str] = "relation.ended"
    schema_version: ClassVar[int] = 1

    relation_id: str
    ended_at: datetime
    reason: str = ""


@frozen(kw_only=True)
class FeedbackGiven:
    """Somebody judged a fact: ``score`` is +1 (useful) or -1 (wrong or useless)."""

    type_name: ClassVar[str] = "feedback.given"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    score: int
    comment: str = ""


@frozen(kw_only=True)
class FactErased:
    """A person's right was exercised: the payloads of these events are gone for good."""

    type_name: ClassVar[str] = "fact.erased"
    schema_version: ClassVar[int] = 1

    fact_id: FactId
    versions: tuple[int, ...]
    reason: str = ""


@frozen(kw_only=True)
class LedgerErased:
    """The payloads of the whole ledger up to this event are gone for good."""

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
    """Stands where an event was read whose content is gone for good. It is not appended, and no
    fold takes anything from it.
    """

    type_name: ClassVar[str] = "payload.erased"
    schema_version: ClassVar[int] = 1


Event: TypeAlias = (
    MessageObserved
    | InferenceRecorded
    | FactAdded
    | FactRevised
    | FactSuperseded
    | FactReaffirmed
    | FactRetracted
    | FactExpired
    | RelationAsserted
    | RelationEnded
    | FeedbackGiven
    | FactErased
    | LedgerErased
    | CheckpointSealed
    | PayloadErased
)

EVENT_TYPES: tuple[type[Event], ...] = (
    MessageObserved,
    InferenceRecorded,
    FactAdded,
    FactRevised,
    FactSuperseded,
    FactReaffirmed,
    FactRetracted,
    FactExpired,
    RelationAsserted,
    RelationEnded,
    FeedbackGiven,
    FactErased,
    LedgerErased,
    CheckpointSealed,
)
"""What is stored."""
