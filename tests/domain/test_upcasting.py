"""Upcasting of old events: chains without gaps, one version at a time."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import pytest
from attrs import frozen

from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.domain.errors import IntegrityError
from remembrancer.domain.events import EVENT_TYPES, Event, EventId, FactReaffirmed
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.upcasting import UPCASTERS, EventRegistry, Raw, Upcaster


@frozen(kw_only=True)
class CupFilled:
    """An event in schema version 3: ``what`` was ``drink``, ``millilitres`` was ``decilitres``."""

    type_name: ClassVar[str] = "cup.filled"
    schema_version: ClassVar[int] = 3

    what: str
    millilitres: int


def renamed(raw: Raw) -> Raw:
    return {"what": raw["drink"], "decilitres": raw.get("decilitres", 2)}


def in_millilitres(raw: Raw) -> Raw:
    return {"what": raw["what"], "millilitres": raw["decilitres"] * 100}


CUP_FILLED = cast("type[Event]", CupFilled)
CHAIN: dict[tuple[str, int], Upcaster] = {
    ("cup.filled", 1): renamed,
    ("cup.filled", 2): in_millilitres,
}


OF: dict[str, Any] = {"ledger": LedgerId("user:ann"), "event_id": EventId("0" * 32)}


def of(count: int) -> tuple[list[LedgerId], list[EventId]]:
    """The ledgers and ids of ``count`` events."""
    return [OF["ledger"]] * count, [OF["event_id"]] * count


def codec() -> EventCodec:
    return EventCodec(EventRegistry.of([CUP_FILLED], CHAIN))


@pytest.mark.parametrize(
    ("payload", "version"),
    [
        (b'{"drink":"tea","decilitres":3}', 1),
        (b'{"what":"tea","decilitres":3}', 2),
        (b'{"what":"tea","millilitres":300}', 3),
    ],
)
def test_every_schema_version_is_read_as_the_current_one(payload: bytes, version: int) -> None:
    event: Any = CupFilled(what="tea", millilitres=300)
    assert codec().decode(payload, "cup.filled", version, position=7, **OF) == event


def test_page_with_old_and_new_versions_is_read_in_order() -> None:
    # Given a page of the log that holds all three versions
    payloads = [
        b'{"what":"tea","millilitres":300}',
        b'{"drink":"coffee"}',
        b'{"what":"milk","decilitres":1}',
    ]
    # When it is read at once
    events = codec().decode_all(payloads, ["cup.filled"] * 3, [3, 1, 2], [1, 2, 3], *of(3))
    # Then each event has the current schema version
    assert events == [
        CupFilled(what="tea", millilitres=300),
        CupFilled(what="coffee", millilitres=200),
        CupFilled(what="milk", millilitres=100),
    ]


@pytest.mark.parametrize("missing", [1, 2])
def test_gap_in_a_chain_is_refused_when_the_registry_is_built(missing: int) -> None:
    chain = {key: upcaster for key, upcaster in CHAIN.items() if key[1] != missing}
    with pytest.raises(IntegrityError) as refused:
        EventRegistry.of([CUP_FILLED], chain)
    assert str(refused.value) == (
        f"cup.filled: no upcaster from schema version {missing} to {missing + 1}; "
        "write one before releasing version 3"
    )


def test_two_classes_with_one_type_name_are_refused() -> None:
    with pytest.raises(IntegrityError, match=r"two event classes have the type name 'fact\.reaf"):
        EventRegistry.of([FactReaffirmed, FactReaffirmed])


def test_upcaster_chains_of_this_release_have_no_gaps() -> None:
    registry = EventRegistry.of()
    assert set(registry.types.values()) == set(EVENT_TYPES)


def test_every_upcaster_belongs_to_an_older_version_of_an_event_type() -> None:
    # Finds a typing error in a key, or a schema version that was not raised with its upcaster
    versions = {event_type.type_name: event_type.schema_version for event_type in EVENT_TYPES}
    assert [
        (name, version) for name, version in UPCASTERS if version >= versions.get(name, 0)
    ] == []


def test_unknown_event_type_is_reported_with_its_position() -> None:
    with pytest.raises(IntegrityError) as refused:
        codec().decode(b"{}", "cup.emptied", 1, position=42, **OF)
    assert str(refused.value) == (
        "position 42: unknown event type 'cup.emptied'; upgrade remembrancer"
    )


def test_newer_schema_version_is_refused() -> None:
    with pytest.raises(IntegrityError) as refused:
        codec().decode(b"{}", "cup.filled", 4, position=42, **OF)
    assert str(refused.value) == (
        "position 42: cup.filled has schema version 4, this release reads up to 3; "
        "upgrade remembrancer"
    )


@pytest.mark.parametrize("version", [0, -1])
def test_schema_version_below_1_is_refused(version: int) -> None:
    with pytest.raises(IntegrityError, match="position 42"):
        codec().decode(b"{}", "cup.filled", version, position=42, **OF)


@pytest.mark.parametrize(
    ("payload", "version"),
    [
        (b"", 3),
        (b"{", 3),
        (b'{"what":"\xff","millilitres":1}', 3),
        (b'{"drink":"\xff"}', 1),
        (None, 3),
        (None, 1),
        (b'[{"drink":"tea"}]', 1),
        (b"null", 3),
        (b"[]", 3),
        (b"{}", 3),
        (b'{"what":7,"millilitres":300}', 3),
        (b'{"what":"tea","millilitres":true}', 3),
        (b'{"milk":"tea"}', 1),
        (b'{"drink":"tea","decilitres":"x"}', 1),
    ],
)
def test_unreadable_payload_is_reported_with_its_position(payload: Any, version: int) -> None:
    problem = r"position 42: cup\.filled: what is stored can't be read"
    with pytest.raises(IntegrityError, match=problem):
        codec().decode(payload, "cup.filled", version, position=42, **OF)
    with pytest.raises(IntegrityError, match=problem):
        codec().decode_all([payload], ["cup.filled"], [version], [42], *of(1))


def test_unreadable_payload_in_a_page_is_reported_with_its_position() -> None:
    good = b'{"what":"tea","millilitres":300}'
    with pytest.raises(IntegrityError, match="position 12"):
        codec().decode_all([good, b"{}", good], ["cup.filled"] * 3, [3, 3, 3], [11, 12, 13], *of(3))


def test_unknown_field_is_ignored() -> None:
    event: Any = CupFilled(what="tea", millilitres=1)
    payload = b'{"what":"tea","millilitres":1,"sugar":{"lumps":2}}'
    assert codec().decode(payload, "cup.filled", 3, position=1, **OF) == event
