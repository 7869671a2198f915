"""Envelopes of new events: versions, positions, salts and hashes. Shared by all audit logs."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta

from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.errors import AdapterUnavailable, Conflict, InvalidRequest
from remembrancer.domain.events import PayloadErased
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.recorded import (
    SALT_BYTES,
    Append,
    Handle,
    Head,
    Position,
    Recorded,
    chain_hash,
    header_of,
    payload_digest,
    readable,
)

HANDLE_BYTES = 16

_ID = re.compile(r"[0-9a-f]{32}").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def check(append: Append) -> None:
    """Check that a log may store this append.

    Raises:
        InvalidRequest: no events, a ``PayloadErased`` among them, an id that is not 32 hex digits,
            the same event id twice, a control character in a name, or a naive time.
    """
    if not append.events:
        raise InvalidRequest("events", "is empty; append at least one event")
    if any(isinstance(new.event, PayloadErased) for new in append.events):
        raise InvalidRequest(
            "events", "PayloadErased marks an erased payload and can't be appended"
        )
    ids = [new.event_id for new in append.events]
    if len(set(ids)) != len(ids):
        raise InvalidRequest("events", "two events have the same event_id")
    for name, value in (
        *(("event_id", event_id) for event_id in ids),
        ("correlation_id", append.correlation_id),
        *(("causation_id", new.causation_id) for new in append.events),
    ):
        if value is not None and not _ID(value):
            raise InvalidRequest(name, f"expected 32 lower-case hex digits, got {value!r}")
    for name, text in (
        ("ledger", append.ledger),
        ("actor", append.actor),
        ("idempotency_key", append.idempotency_key),
    ):
        if text is not None and (not text or _CONTROL(text)):
            raise InvalidRequest(name, "is empty or has control characters")
    if append.recorded_at.tzinfo is None:
        raise InvalidRequest("recorded_at", "is a naive datetime; give it a timezone")


def new_handle() -> Handle:
    """A handle for a new ledger."""
    return Handle(os.urandom(HANDLE_BYTES).hex())


def check_version(append: Append, head: Head) -> None:
    """Raise ``Conflict`` if the ledger is not at ``append.expected_version``."""
    if append.expected_version is not None and append.expected_version != head.version:
        raise Conflict(
            f"{append.ledger}: expected version {append.expected_version}, but the ledger is at "
            f"version {head.version}; read it again and decide again"
        )


def chained(append: Append, head: Head, last: Position, codec: Codec) -> list[Recorded]:
    """The events of an append with their envelopes, chained after ``head`` and position ``last``.

    Raises:
        AdapterUnavailable: the ledger's last event is more than ``append.clock_lead`` ahead of
            the clock.
        Erased: the log is encrypted, and the key of this ledger has been destroyed.
    """
    recorded_at = _recorded_at(append, head)
    moment = to_microseconds(recorded_at)
    salts = os.urandom(SALT_BYTES * len(append.events))
    previous, handle = head.hash, head.handle or new_handle()
    chain: list[Recorded] = []
    for index, (new, payload) in enumerate(zip(append.events, codec.stored(append), strict=True)):
        event = new.event
        salt = salts[index * SALT_BYTES : (index + 1) * SALT_BYTES]
        digest = payload_digest(salt, payload)
        header = header_of(
            handle=handle,
            version=head.version + index + 1,
            event_id=new.event_id,
            recorded_at=moment,
            correlation_id=append.correlation_id,
            causation_id=new.causation_id,
            actor=append.actor,
            type_name=event.type_name,
            schema_version=event.schema_version,
        )
        hashed = chain_hash(previous, header, digest)
        chain.append(
            Recorded(
                position=Position(last + index + 1),
                ledger=append.ledger,
                handle=handle,
                version=head.version + index + 1,
                event_id=new.event_id,
                recorded_at=recorded_at,
                correlation_id=append.correlation_id,
                causation_id=new.causation_id,
                actor=append.actor,
                type_name=event.type_name,
                schema_version=event.schema_version,
                event=event,
                payload=payload,
                salt=salt,
                payload_digest=digest,
                previous_hash=previous,
                hash=hashed,
            )
        )
        previous = hashed
    return chain


def check_same(append: Append, earlier: list[Recorded], codec: Codec) -> None:
    """Check that event ids which are recorded already belong to the same events.

    Raises:
        InvalidRequest: an id is recorded with another event.
        Erased: the recorded payload is erased, so the events can't be compared.
    """
    documents = codec.documents(readable(earlier))
    before = {
        item.event_id: (item.ledger, document)
        for item, document in zip(earlier, documents, strict=True)
    }
    for new in append.events:
        if before.get(new.event_id) != (append.ledger, codec.encode(new.event)):
            raise InvalidRequest(
                "event_id", f"{new.event_id} was recorded before with other content; make a new id"
            )


def _recorded_at(append: Append, head: Head) -> datetime:
    last, now = head.recorded_at, append.recorded_at
    if last is None or now > last:
        return now
    if head.lead(now) > append.clock_lead:
        # Following it would give every later event a time in the future as well.
        raise AdapterUnavailable(
            "clock",
            f"the last event of {append.ledger} was recorded at {last.isoformat()}, but it is "
            f"{now.isoformat()} now; correct the clock, or wait. If the clock was wrong when that "
            "event was recorded, set clock_lead to more seconds than the difference",
        )
    # A clock that stops or goes back must not give two versions the same time.
    return last + timedelta(microseconds=1)
