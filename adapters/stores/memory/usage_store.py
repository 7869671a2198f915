"""Model usage in memory: a read model of the in-memory log."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence

from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import Usage, UsageTotal


class InMemoryUsageStore:
    """``UsageStore`` in dictionaries."""

    name = "usage"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[LedgerId | None, dict[tuple[str, str], Usage]] = defaultdict(dict)

    def apply(self, chain: Sequence[Recorded]) -> None:
        """Apply events, in order."""
        with self._lock:
            for item in chain:
                event = item.event
                if isinstance(event, InferenceRecorded) and event.asked:
                    for held in (self._held[item.ledger], self._held[None]):
                        key = (event.purpose, event.model)
                        held[key] = held.get(key, Usage()).plus(event)

    def totals(self, ledger: LedgerId | None) -> Sequence[UsageTotal]:
        """See ``UsageStore.totals``."""
        with self._lock:
            held = sorted(self._held.get(ledger, {}).items())
        return [
            UsageTotal(purpose=purpose, model=model, usage=usage)
            for (purpose, model), usage in held
        ]
