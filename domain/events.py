"""All events of a ledger, named in the past tense.

Events are never edited. A new shape needs a new schema version and an upcaster (``upcasting``);
the type names below are stored and never change.
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
    """A message came in.

    ``extract``: whether facts are still to be extracted from it. ``metadata`` and ``expires_at``
    are copied to these facts. ``guidance``: instructions of this request, which override the
    settings. ``kind``: the kind of fact to make of the messages as a whole, if requested.
    """

    type_name: ClassVar[str] = "message.observed"
    schema_version: ClassVar[int] = 1

    message: Message
    extract: bool = True
    metadata: Metadata = field(factory=dict)
    expires_at: datetime | None = None
    guidance: Guidance | None = None
    kind: FactKind | None = None


@frozen(kw_only=True)
class InferenceRecorded:
    """A model was called. ``output`` is its raw answer, so that a replay needs no model.

    ``cost`` is in US dollars, ``None`` if the price is unknown; ``latency`` is in seconds.
    Decisions of rules and checks are recorded too, with an empty ``prompt_digest``.
    """

    type_name: ClassVar[str] = "inference.recorded"
    schema_version: ClassVar[int] = 1

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
        """Whether a model was called, even if its answer was not usable."""
        return bool(self.prompt_digest)


@frozen(kw_only=True)
class FactAdded:
    """A fact was added to the ledger."""

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
    """A fact was withdrawn: it is no longer active, and its history stays."""

    type_name: ClassVar[str] = "fact.retracted"
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
"""All event types that are stored."""
