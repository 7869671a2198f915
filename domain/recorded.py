"""An event with its envelope, and the hash that chains it to its predecessor.

The chain covers the *digest* of the payload, salted, and never the payload itself: a payload
can be erased later and the chain still verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NewType, Self

from attrs import field, frozen

from remembrancer.domain.errors import Erased
from remembrancer.domain.events import (
    CheckpointSealed,
    Event,
    EventId,
    FactErased,
    LedgerErased,
    PayloadErased,
)
from remembrancer.domain.scope import LedgerId

Position = NewType("Position", int)
CorrelationId = NewType("CorrelationId", str)
Handle = NewType("Handle", str)
"""32 random hex digits that stand for a ledger in its chain. Its name may be a person's, and must
be erasable.
"""

GENESIS = bytes(32)
"""The previous hash of the first event of every ledger."""

SALT_BYTES = 16

SEALED = b"\x01"
"""The first byte of an encrypted payload; no JSON document begins with it."""

UNSEALED = (FactErased, LedgerErased, CheckpointSealed)
"""Never encrypted: these events must stay readable after the key is destroyed."""

HEADER_VERSION = 1
"""The version of ``header_of``; encoded first, so that no other form can be taken for this one."""


CLOCK_LEAD = timedelta(seconds=60)
"""Default of ``Append.clock_lead``: more than clocks that are synchronised ever differ by."""


@frozen(kw_only=True)
class NewEvent:
    """An event to be appended. The writer makes ``event_id`` (32 hex digits, globally unique), so
    that a retried append is idempotent. ``causation_id`` is the event that led to it; ``None``: a
    caller or the clock did.
    """

    event_id: EventId
    event: Event
    causation_id: EventId | None = None


@frozen(kw_only=True)
class Append:
    """Events to be appended to one ledger, all or none.

    ``expected_version`` is the ledger version that the decision was made on (optimistic
    concurrency); ``None`` appends to any version. ``idempotency_key`` is unique within the ledger.
    ``clock_lead`` is how far the ledger's last event may be ahead of ``recorded_at``.
    """

    ledger: LedgerId
    events: Sequence[NewEvent]
    recorded_at: datetime
    correlation_id: CorrelationId
    actor: str = "remembrancer"
    expected_version: int | None = None
    idempotency_key: str | None = None
    clock_lead: timedelta = CLOCK_LEAD


# A replay makes millions of these. Positional arguments, and a dict instead of slots, take 0.7
# microseconds each instead of 1.9.
@frozen(slots=False)
class Recorded:
    """An event as the ledger stores it.

    ``position`` numbers the events of the whole log, ``version`` those of the ledger, both from 1
    without gaps. ``payload`` holds the stored bytes, which may be sealed (encrypted) or have fields
    unknown to this release. ``event`` is a ``PayloadErased`` if they can't be read any more.
    ``handle`` stands for the ledger in the chain.
    """

    position: Position
    ledger: LedgerId
    handle: Handle
    version: int
    event_id: EventId
    recorded_at: datetime
    correlation_id: CorrelationId
    causation_id: EventId | None
    actor: str
    type_name: str
    schema_version: int
    event: Event
    payload: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    payload_digest: bytes = field(repr=False)
    previous_hash: bytes = field(repr=False)
    hash: bytes = field(repr=False)


@frozen(kw_only=True)
class Head:
    """The last version of a ledger; version 0, ``GENESIS`` and no handle before its first event."""

    version: int = 0
    hash: bytes = GENESIS
    recorded_at: datetime | None = None
    handle: Handle | None = None

    @classmethod
    def after(cls, item: Recorded) -> Self:
        """The head when ``item`` is the last event."""
        return cls(
            version=item.version,
            hash=item.hash,
            recorded_at=item.recorded_at,
            handle=item.handle,
        )

    def latest(self, now: datetime) -> datetime:
        """The transaction time of a read of the present: ``now``, but never earlier than the last
        event, so that a slow clock does not bring retracted facts back.

        It is not the time at which facts expire: a clock that was fast for one event would then
        expire facts too early.
        """
        return now if self.recorded_at is None else max(now, self.recorded_at)

    def lead(self, now: datetime) -> timedelta:
        """How far the last event is ahead of ``now``; zero if it is not."""
        return self.latest(now) - now


def readable(items: Sequence[Recorded]) -> Sequence[Recorded]:
    """Return ``items`` if all of their payloads can be read.

    Raises:
        Erased: a payload was erased; the message names the ledger and the position.
    """
    for item in items:
        if isinstance(item.event, PayloadErased):
            raise Erased(
                f"{item.ledger}: position {item.position}: the content of this {item.type_name} "
                "was erased"
            )
    return items


def is_sealed(payload: object) -> bool:
    """Whether stored bytes are encrypted."""
    # SQLite columns can hold values of any type, whatever type is declared.
    return isinstance(payload, bytes) and payload[:1] == SEALED


def payload_digest(salt: bytes, payload: bytes) -> bytes:
    """SHA-256 over salt and stored bytes. The chain covers this digest, not the payload."""
    return sha256(salt + payload).digest()


def chain_hash(previous_hash: bytes, header: bytes, digest: bytes) -> bytes:
    """SHA-256 over the predecessor's hash (32 bytes), the encoded header and the payload digest
    (32 bytes). Both digests have a fixed length, so the concatenation is unambiguous.
    """
    return sha256(previous_hash + digest + header).digest()


def key_digest(handle: Handle, idempotency_key: str) -> bytes:
    """What a log keeps of an idempotency key, which may name a person: the first 16 bytes of the
    SHA-256 of handle and key. Nobody without the handle finds a key by trying.
    """
    return sha256(bytes.fromhex(handle) + idempotency_key.encode()).digest()[:16]


def requests_hash(previous: bytes, key: bytes, first: int, last: int) -> bytes:
    """The hash that chains the keyed requests of a ledger, so that none of them can be taken away
    or changed unseen: the log itself does not say which events came with a key.

    Args:
        previous: the hash of the keyed request before, ``GENESIS`` for the first.
        key: its ``key_digest``.
        first, last: the versions of its first and its last event.
    """
    return sha256(previous + key + f"{first}\n{last}".encode()).digest()


def header_of(
    *,
    handle: Handle,
    version: int,
    event_id: EventId,
    recorded_at: int,
    correlation_id: CorrelationId,
    causation_id: EventId | None,
    actor: str,
    type_name: str,
    schema_version: int,
) -> bytes:
    """Encode the envelope for ``chain_hash``: one field per line, in UTF-8.

    ``recorded_at`` is in microseconds since 1970-01-01 UTC. No field can hold a line break, so
    the encoding is unambiguous. The position is left out: it belongs to one store, and a ledger
    may be moved to another. So is the ledger's name: the chain must verify after it was erased.
    """
    return (
        f"{HEADER_VERSION}\n{handle}\n{version}\n{event_id}\n{recorded_at}\n{correlation_id}\n"
        f"{causation_id or ''}\n{actor}\n{type_name}\n{schema_version}"
    ).encode()
