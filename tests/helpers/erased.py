"""A codec of a store in which some payloads were erased."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.domain.events import Event, EventId, PayloadErased
from remembrancer.domain.scope import LedgerId


class ErasedPayloads(EventCodec):
    """Decodes as ``EventCodec``, but for what was erased.

    Args:
        gone: whether the payload was erased, from the type and the position of its event.
    """

    def __init__(self, gone: Callable[[str, int], bool]) -> None:
        super().__init__()
        self._gone = gone

    def decode(
        self,
        payload: bytes,
        type_name: str,
        schema_version: int,
        position: int,
        ledger: LedgerId,
        event_id: EventId,
    ) -> Event:
        if self._gone(type_name, position):
            return PayloadErased()
        return super().decode(payload, type_name, schema_version, position, ledger, event_id)

    def decode_all(
        self,
        payloads: Sequence[bytes],
        type_names: Sequence[str],
        schema_versions: Sequence[int],
        positions: Sequence[int],
        ledgers: Sequence[LedgerId],
        event_ids: Sequence[EventId],
    ) -> list[Event]:
        columns = (payloads, type_names, schema_versions, positions, ledgers, event_ids)
        return list(map(self.decode, *columns))
