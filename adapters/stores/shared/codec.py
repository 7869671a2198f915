"""Encode events to stored bytes and decode them: JSON by msgspec, directly to the attrs classes.

Stored bytes may also be encrypted; see ``sealing``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec

from remembrancer.adapters.damage import DAMAGE, damaged
from remembrancer.domain.errors import InvalidRequest, RemembrancerError
from remembrancer.domain.events import Event, EventId
from remembrancer.domain.recorded import Append, Recorded, is_sealed
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.upcasting import EventRegistry


@cache
def _decoder(event_type: type[Event]) -> Callable[[bytes], Event]:
    """A decoder takes far longer to make than to use, so there is one for the process."""
    return msgspec.json.Decoder(event_type).decode


class EventCodec:
    """``Codec`` without encryption: encodes the current schema version, decodes all versions."""

    def __init__(self, registry: EventRegistry | None = None) -> None:
        self._registry = registry or EventRegistry.of()
        self._encoder = msgspec.json.Encoder()
        self._current: dict[tuple[str, int], Callable[[bytes], Event]] = {
            # mypy does not know that classes are hashable.
            (name, event_type.schema_version): _decoder(event_type)  # type: ignore[arg-type]
            for name, event_type in self._registry.types.items()
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # Encoders and decoders of msgspec can't be pickled; ``verify`` sends a codec to processes.
        return type(self), (self._registry,)

    def encode(self, event: Event) -> bytes:
        """The event as a JSON document, before encryption."""
        return self._encoder.encode(event)

    def stored(self, append: Append) -> Sequence[bytes]:
        """The bytes to store and hash for the events of an append, in order."""
        return [self.encode(new.event) for new in append.events]

    def documents(self, items: Sequence[Recorded]) -> Sequence[bytes]:
        """The JSON documents of recorded events, in order."""
        return [item.payload for item in items]

    def current(self, items: Sequence[Recorded]) -> Sequence[Recorded]:
        """The same events decoded again: a key may have been destroyed since."""
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
        """The event in stored bytes, upcast to the current schema version.

        Raises:
            IntegrityError: the type or version is unknown, or the bytes do not match it.
            InvalidRequest: the bytes are encrypted, and no key vault is set; names the setting.
        """
        try:
            decode = self._current.get((type_name, schema_version))
            if decode is not None:
                return decode(payload)
            event_type = self._registry.type_of(type_name, schema_version, position)
            raw = self._registry.upcast(msgspec.json.decode(payload), event_type, schema_version)
            return msgspec.convert(raw, event_type)
        except RemembrancerError:
            raise
        except DAMAGE as error:
            if isinstance(payload, bytes) and is_sealed(payload):
                raise InvalidRequest(
                    "key_vault.provider",
                    f"is none, but position {position} of {ledger} is encrypted; set the key vault "
                    "that it was written with",
                ) from error
            raise damaged(f"position {position}: {type_name}", error) from error

    def decode_all(
        self,
        payloads: Sequence[bytes],
        type_names: Sequence[str],
        schema_versions: Sequence[int],
        positions: Sequence[int],
        ledgers: Sequence[LedgerId],
        event_ids: Sequence[EventId],
    ) -> list[Event]:
        """Same as ``decode`` for many events; each sequence has one element per event."""
        current = self._current
        try:
            kinds = zip(type_names, schema_versions, strict=True)
            return [current[kind](payload) for kind, payload in zip(kinds, payloads, strict=True)]
        except DAMAGE:
            # Decode one by one: some have an older version, or an error that must name its event.
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
