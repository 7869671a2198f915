"""The envelope of an event, and the hash chain that detects any change to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.domain.audit.recorded_chain import faults_of
from remembrancer.domain.events import FactReaffirmed
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.recorded import (
    GENESIS,
    Recorded,
    chain_hash,
    header_of,
    payload_digest,
)
from remembrancer.testing.audit_log import ALICE, append_of, fact_added

ENVELOPE: dict[str, Any] = {
    "handle": "2" * 32,
    "version": 3,
    "event_id": "0" * 32,
    "recorded_at": 1_714_737_600_000_000,
    "correlation_id": "1" * 32,
    "causation_id": None,
    "actor": "api",
    "type_name": "fact.added",
    "schema_version": 1,
}

hex_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
# Names that a log accepts: no control characters, so that a field can't be read as two.
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=5)
envelopes = st.fixed_dictionaries(
    {
        "handle": hex_ids,
        "version": st.integers(1, 20),
        "event_id": hex_ids,
        "recorded_at": st.integers(-20, 20),
        "correlation_id": hex_ids,
        "causation_id": st.none() | hex_ids,
        "actor": names,
        "type_name": st.sampled_from(["fact.added", "fact.revised"]),
        "schema_version": st.integers(1, 20),
    }
)


def test_hash_of_a_fixed_envelope_never_changes() -> None:
    # Given an envelope and a payload with everything fixed
    digest = payload_digest(bytes(range(16)), '{"text":"Zürich"}'.encode())
    # When they are hashed
    chained = chain_hash(GENESIS, header_of(**ENVELOPE), digest)
    # Then the result is the same as in all existing ledgers
    assert digest.hex() == "11807dddfe0e7c5d44f0e6e95c8c24a6a2aeb1d71ff60e678eb6e0f05b3b41e8"
    assert chained.hex() == "5f2352ec19f7fb33471ed2c191f0ead6ceb376cbbcc6133d584aad5da6c27b6a"


@given(envelopes, envelopes)
def test_different_envelopes_have_different_headers(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assume(one != other)
    assert header_of(**one) != header_of(**other)


@given(envelopes, envelopes, st.sampled_from(sorted(ENVELOPE)))
def test_change_of_any_envelope_field_changes_the_hash(
    envelope: dict[str, Any], other: dict[str, Any], name: str
) -> None:
    assume(envelope[name] != other[name])
    changed = {**envelope, name: other[name]}
    digest = payload_digest(bytes(16), b"{}")
    assert chain_hash(GENESIS, header_of(**envelope), digest) != chain_hash(
        GENESIS, header_of(**changed), digest
    )


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.binary())
def test_different_salts_give_different_digests(one: bytes, other: bytes, payload: bytes) -> None:
    assert (payload_digest(one, payload) == payload_digest(other, payload)) == (one == other)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_different_payloads_have_different_digests(one: bytes, other: bytes) -> None:
    salt = bytes(16)
    assert (payload_digest(salt, one) == payload_digest(salt, other)) == (one == other)


def test_hash_depends_on_all_earlier_events() -> None:
    header, digest = header_of(**ENVELOPE), payload_digest(bytes(16), b"{}")
    first = chain_hash(GENESIS, header, digest)
    assert chain_hash(first, header, digest) != first


# A chain as a log writes it


def chain() -> list[Recorded]:
    """Three events of Alice."""
    log = InMemoryAuditLog()
    log.append(append_of([fact_added(), FactReaffirmed(fact_id=FactId("f" * 32))]))
    log.append(append_of([fact_added()], causation_id="c" * 32))
    return list(log.read_ledger(ALICE))


def test_unchanged_events_have_no_fault() -> None:
    assert not faults_of(chain())


CHANGES: dict[str, Any] = {
    "ledger": "user:bob",
    "handle": "a" * 32,
    "version": 4,
    "event_id": "a" * 32,
    "recorded_at": timedelta(microseconds=1),
    "correlation_id": "b" * 32,
    "causation_id": None,
    "actor": "somebody else",
    "type_name": "fact.expired",
    "schema_version": 2,
    "payload": b"{}",
    "salt": bytes(16),
    "payload_digest": bytes(32),
    "previous_hash": bytes(32),
    "hash": bytes(32),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_change_of_any_field_breaks_the_link(name: str) -> None:
    # Given a valid chain
    *before, third = chain()
    # When one field of its last event is changed
    new = CHANGES[name] + third.recorded_at if name == "recorded_at" else CHANGES[name]
    changed = evolve(third, **{name: new})
    assert changed != third
    # Then the chain is reported as broken
    assert faults_of([*before, changed])


def test_every_field_except_position_and_event_is_covered() -> None:
    # The position belongs to one store; the event is decoded from the payload.
    fields = {field.name for field in attrs.fields(Recorded)}
    assert fields - CHANGES.keys() == {"position", "event"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 5}, "version-gap"),
        ({"previous_hash": bytes(32)}, "chain-broken"),
        ({"payload": b'{"fact_id":"x"}'}, "payload-changed"),
        ({"actor": "root"}, "envelope-changed"),
    ],
)
def test_first_fault_is_the_cause(change: dict[str, Any], problem: str) -> None:
    *before, third = chain()
    assert faults_of([*before, evolve(third, **change)])[0].kind == problem
