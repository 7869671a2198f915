"""The port to encryption keys for payloads: one key per ledger, destroyed to erase the ledger."""

from __future__ import annotations

from typing import Protocol

from remembrancer.domain.scope import LedgerId

KEY_BYTES = 32
"""AES-256."""


class KeyVault(Protocol):
    """One key per ledger. Only the vault holds keys, never the log or its copies: destroying a key
    makes all sealed payloads of its ledger unreadable (crypto-shredding).

    Contract:
        * A key is ``KEY_BYTES`` from a cryptographic random source, created on first use and
          durable before it is returned. Concurrent first calls, from any number of threads and
          processes, get the same key; every ledger has a different key.
        * ``destroy`` is final: when it has returned, no vault over the same store returns that key
          or creates another one for the ledger, and the store does not hold its bytes. Destroying
          a key again, or one that was never created, is allowed and just as final.
        * Every ledger name that a log accepts is allowed.
        * The constructor does not connect and creates nothing. Closing twice is allowed.
        * Its methods are plain, not ``async def``: they are called while a transaction of the log
          is open, where nothing may suspend. They can be called from several threads at once.

    Raises:
        Erased: the key of the ledger was destroyed; the message names the ledger.
        AdapterUnavailable: the vault did not answer; nothing has changed.
        InvalidRequest: the vault can't be opened, such as with a wrong master key.
    """

    def key(self, ledger: LedgerId) -> bytes:
        """The key of a ledger, created if missing."""
        ...

    def find(self, ledger: LedgerId) -> bytes | None:
        """The key of a ledger, ``None`` if it has none. Creates nothing."""
        ...

    def destroy(self, ledger: LedgerId) -> None:
        """Destroy the key of a ledger permanently."""
        ...

    def held(self) -> int:
        """The number of keys, without destroyed ones. Creates nothing."""
        ...

    def ping(self) -> str:
        """Name and version of the vault's backend. Creates nothing."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...
