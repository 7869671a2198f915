"""The port that encodes events to the bytes that a log stores, and decodes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remembrancer.domain.events import Event, EventId
from remembrancer.domain.recorded import Append, Recorded
from remembrancer.domain.scope import LedgerId


class Codec(Protocol):
    """Encodes and decodes events. A log stores and hashes the bytes without parsing them."""

    def encode(self, event: Event) -> bytes:
        """The event as a JSON document, before it is sealed."""
        ...

    def stored(self, append: Append) -> Sequence[bytes]:
        """The bytes to store and to hash for the events of an append, in order.

        Raises:
            Erased: the key of the ledger was destroyed.
        """
        ...

    def documents(self, items: Sequence[Recorded]) -> Sequence[bytes]:
        """The JSON documents of recorded events, in order.

        Raises:
            Erased: a key was destroyed.
            IntegrityError: a sealed payload can't be decrypted.
        """
        ...

    def current(self, items: Sequence[Recorded]) -> Sequence[Recorded]:
        """Decode recorded events again, because a key may have been destroyed since."""
        ...

    def decode(
        self,
        payload: bytes,
        type_name: str,
        schema_version: int,
        position: int,
        ledger: LedgerId,
        event_id: EventId,
    ) -> Event:
        """One event from its stored bytes, upcast to the current schema version.

        Raises:
            IntegrityError: the type or version is unknown, or the bytes don't fit it.
            InvalidRequest: the bytes are sealed, and no vault is configured.
            Erased: the vault has no key for the ledger.
        """
        ...

    def decode_all(
        self,
        payloads: Sequence[bytes],
        type_names: Sequence[str],
        schema_versions: Sequence[int],
        positions: Sequence[int],
        ledgers: Sequence[LedgerId],
        event_ids: Sequence[EventId],
    ) -> list[Event]:
        """``decode`` for many events; the i-th element of each sequence belongs to the i-th."""
        ...
