"""Events to stored bytes and back: JSON by msgspec, straight from and into the attrs classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from memledger.domain.errors import IntegrityError
from memledger.domain.events import Event
from memledger.domain.upcasting import EventRegistry


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
        """The bytes that are stored and hashed."""
        return self._encoder.encode(event)

    def decode(self, payload: bytes, type_name: str, schema_version: int, position: int) -> Event:
        """The event in stored bytes, brought up to the current shape.

        Raises:
            IntegrityError: unknown type or version, or bytes that do not fit it.
        """
        try:
            decode = self._current.get((type_name, schema_version))
            if decode is not None:
                return decode(payload)
            event_type = self._registry.type_of(type_name, schema_version, position)
            raw = self._registry.upcast(msgspec.json.decode(payload), event_type, schema_version)
            return msgspec.convert(raw, event_type)
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
            raise IntegrityError(
                f"position {position}: the stored {type_name} can't be read: {error}"
            ) from error

    def decode_all(
        self,
        payloads: Sequence[bytes],
        type_names: Sequence[str],
        schema_versions: Sequence[int],
        positions: Sequence[int],
    ) -> list[Event]:
        """``decode`` for many events, one element of each sequence an event."""
        current = self._current
        try:
            kinds = zip(type_names, schema_versions, strict=True)
            return [current[kind](payload) for kind, payload in zip(kinds, payloads, strict=True)]
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError):
            # An older version is among them, or something that can't be read and must be named.
            return list(map(self.decode, payloads, type_names, schema_versions, positions))
