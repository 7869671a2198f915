"""Events to stored bytes and back: JSON by msgspec, straight from and into the attrs classes.

What is stored may also be sealed; see ``sealing``. The first byte
tells: no JSON document begins with ``SEALED``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from remembrancer.domain.errors import IntegrityError, InvalidRequest
from remembrancer.domain.events import Event
from remembrancer.domain.recorded import Append, EventId, Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.upcasting import EventRegistry

SEALED = b"\x01"


def is_sealed(payload: object) -> bool:
    """Whether stored bytes can only be read with a key."""
    # Whatever the declared type, a column of SQLite holds what somebody put into it.
    return isinstance(payload, bytes) and payload[:1] == SEALED


class EventCodec:
    """Encodes events as they are today, decodes them as they have ever been."""

    def __init__(self, registry: EventRegistry | None = None) -> None:
        self._registry = registry or EventRegistry.of()
        self._encoder = msgspec.json.Encoder()
        self._current: dict[tuple[str, int], Callable[[bytes], Event]] = {
            (name, event_type.schema_version): msgspec.json.Decoder(event_type).decode
            for name, event_type in self._registry.types.items()
        }

    def encode(self, event: Event) -> bytes:
        """The event as a JSON document, which is what a digest or a seal covers."""
        return self._encoder.encode(event)

    def stored(self, append: Append) -> Sequence[bytes]:
        """The bytes that are stored and hashed for the events of an append, in order."""
        return [self.encode(new.event) for new in append.events]

    def documents(self, items: Sequence[Recorded]) -> Sequence[bytes]:
        """What ``encode`` made of events that are recorded now, in order."""
        return [item.payload for item in items]

    def current(self, items: Sequence[Recorded]) -> Sequence[Recorded]:
        """Events that were decoded before, as they would be decoded now."""
        return items

    def decode(
        self,
        payload: bytes,
        type_name: str,
        schema_version: int,
        position: int,
        ledger: LedgerId,
        event_id: EventId,
    ) -> Event:
        """The event in stored bytes, brought up to the current shape.

        Raises:
            IntegrityError: unknown type or version, or bytes that do not fit it.
            InvalidRequest: they are sealed, and there is no vault; names the setting.
        """
        try:
            decode = self._current.get((type_name, schema_version))
            if decode is not None:
                return decode(payload)
            event_type = self._registry.type_of(type_name, schema_version, position)
            raw = self._registry.upcast(msgspec.json.decode(payload), event_type, schema_version)
            return msgspec.convert(raw, event_type)
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
            if is_sealed(payload):
                raise InvalidRequest(
                    "key_vault.provider",
                    f"is none, but position {position} of {ledger} is sealed; choose the vault "
                    "that it was written with",
                ) from error
            raise IntegrityError(
                f"position {position}: the stored {type_name} can't be read: {error}"
            ) from error

    def decode_all(
        self,
        payloads: Sequence[bytes],
        type_names: Sequence[str],
        schema_versions: Sequence[int],
        positions: Sequence[int],
        ledgers: Sequence[LedgerId],
        event_ids: Sequence[EventId],
    ) -> list[Event]:
        """``decode`` for many events, one element of each sequence an event."""
        current = self._current
        try:
            kinds = zip(type_names, schema_versions, strict=True)
            return [current[kind](payload) for kind, payload in zip(kinds, payloads, strict=True)]
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError):
            # An older version is among them, or something that can't be read and must be named.
            return list(
                map(
                    self.decode,
                    payloads,
                    type_names,
                    schema_versions,
                    positions,
                    ledgers,
                    event_ids,
                )
            )
