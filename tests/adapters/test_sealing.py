"""Encrypted payloads: round trips, and rejection of changed or moved ciphertext."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.key_vault.memory import InMemoryKeyVault
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.shared import chaining
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.domain.audit.recorded_chain import faults_of
from remembrancer.domain.errors import IntegrityError, InvalidRequest
from remembrancer.domain.events import FactAdded, PayloadErased
from remembrancer.domain.recorded import SEALED, Head, Position, Recorded, is_sealed, payload_digest
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import ALICE, BOB, append_of, fact_added

VAULT = InMemoryKeyVault()
CODEC = SealingCodec(VAULT)


def recorded(text: str = "I like tea", ledger: LedgerId = ALICE) -> Recorded:
    append = append_of([fact_added(text)], ledger=ledger)
    return chaining.chained(append, Head(), Position(0), CODEC)[0]


def read(item: Recorded, **changes: Any) -> Any:
    """Decode a stored event after changing some of its parts."""
    names = ("payload", "type_name", "schema_version", "position", "ledger", "event_id")
    return CODEC.decode(**{name: getattr(item, name) for name in names} | changes)


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_survives_a_round_trip(text: str) -> None:
    item = recorded(text)
    assert is_sealed(item.payload)
    assert read(item) == item.event


@given(st.data())
def test_flipped_bit_is_refused(data: st.DataObject) -> None:
    item = recorded()
    # The first byte marks the payload as encrypted: without it, it is not a JSON document either
    place = data.draw(st.integers(0, 8 * len(item.payload) - 1))
    changed = bytearray(item.payload)
    changed[place // 8] ^= 1 << place % 8
    with pytest.raises(IntegrityError, match="position 1"):
        read(item, payload=bytes(changed))


@given(st.integers(1, 400))
def test_truncated_payload_is_refused(length: int) -> None:
    item = recorded()
    with pytest.raises(IntegrityError, match="position 1"):
        read(item, payload=item.payload[: min(length, len(item.payload) - 1)])


@pytest.mark.parametrize(
    "changes",
    [
        {"ledger": BOB},
        {"event_id": "0" * 32},
        {"type_name": "fact.retracted"},
        {"schema_version": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_payload_moved_to_another_event_is_refused(changes: dict[str, Any]) -> None:
    VAULT.key(BOB)
    with pytest.raises(IntegrityError, match="belongs to another event"):
        read(recorded(), **changes)


def test_payload_encrypted_with_another_key_is_refused() -> None:
    item = recorded()
    other = InMemoryKeyVault()
    other.key(ALICE)
    with pytest.raises(IntegrityError, match="another key"):
        SealingCodec(other).current([item])


def test_hash_chain_detects_a_changed_payload_without_the_key() -> None:
    # Given an encrypted event whose payload was changed
    item = recorded()
    changed = evolve(item, payload=item.payload[:-1] + bytes([item.payload[-1] ^ 1]))
    # Then its digest does not match
    assert not faults_of([item])
    assert [fault.kind for fault in faults_of([changed])] == ["payload-changed"]
    # And if digest and chain are recomputed, decryption fails
    digest = payload_digest(item.salt, changed.payload)
    with pytest.raises(IntegrityError, match="fails authentication"):
        CODEC.current([evolve(changed, payload_digest=digest)])


def test_page_may_mix_plain_encrypted_and_erased_events() -> None:
    vault = InMemoryKeyVault()
    sealing, plain = SealingCodec(vault), EventCodec()
    gone, here = LedgerId("user:gone"), LedgerId("user:here")
    chains = [
        chaining.chained(append_of([fact_added(text)], ledger=ledger), Head(), Position(0), codec)
        for text, ledger, codec in (
            ("a", gone, sealing),
            ("b", here, plain),
            ("c", here, sealing),
            ("d", gone, plain),
            ("e", gone, sealing),
        )
    ]
    vault.destroy(gone)
    events = [item.event for item in sealing.current([chain[0] for chain in chains])]
    read_back = [event.text if isinstance(event, FactAdded) else type(event) for event in events]
    assert read_back == [PayloadErased, "b", "c", "d", PayloadErased]


@given(st.binary())
def test_json_document_never_starts_with_the_sealed_byte(rest: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(SEALED + rest)


def test_payload_erased_event_is_not_appended() -> None:
    log = InMemoryAuditLog()
    with pytest.raises(InvalidRequest, match="events"):
        log.append(append_of([PayloadErased()]))
    assert log.last_position() == 0
