"""A key vault in memory, for tests. The keys are lost when the process ends, and with them all that
was encrypted under them.
"""

from __future__ import annotations

import os
import threading

from remembrancer.domain.errors import Erased
from remembrancer.domain.ports.key_vault import KEY_BYTES
from remembrancer.domain.scope import LedgerId


class InMemoryKeyVault:
    """``KeyVault`` in a dictionary, protected by a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[LedgerId, bytes | None] = {}

    def key(self, ledger: LedgerId) -> bytes:
        """See ``KeyVault.key``."""
        with self._lock:
            if ledger not in self._keys:
                self._keys[ledger] = os.urandom(KEY_BYTES)
            return _require_key(self._keys[ledger], ledger)

    def find(self, ledger: LedgerId) -> bytes | None:
        """See ``KeyVault.find``."""
        with self._lock:
            if ledger not in self._keys:
                return None
            return _require_key(self._keys[ledger], ledger)

    def destroy(self, ledger: LedgerId) -> None:
        """See ``KeyVault.destroy``."""
        with self._lock:
            self._keys[ledger] = None

    def held(self) -> int:
        """See ``KeyVault.held``."""
        with self._lock:
            return sum(key is not None for key in self._keys.values())

    def ping(self) -> str:
        """See ``KeyVault.ping``."""
        return "memory (gone when it is closed)"

    def close(self) -> None:
        """See ``KeyVault.close``."""


def _require_key(key: bytes | None, ledger: LedgerId) -> bytes:
    if key is None:
        raise Erased(f"{ledger}: its key has been destroyed")
    return key
