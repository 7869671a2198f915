"""The port to the keys that payloads are sealed under, one a ledger, and destroyed with it."""

from __future__ import annotations

from typing import Protocol

from remembrancer.domain.scope import LedgerId

KEY_BYTES = 32
"""AES-256."""


class KeyVault(Protocol):
    """Keys by ledger. They live in the vault and nowhere else, apart from the log and its copies:
    what is sealed is lost with its key, which is what the vault is for.

    Contract:
        * A key is ``KEY_BYTES`` of a cryptographic random source, made when it is first asked for
          and durable before it is handed out. Whoever asks first, in however many threads or
          processes: all get the same one, and another ledger has another one.
        * ``destroy`` is final: when it has returned, no vault over the same store hands out that
          key again, or makes another one for that ledger, and the store does not have its bytes.
          Destroying again, or a key that was never made, is fine and just as final.
        * Any name of a ledger that a log accepts will do.
        * The constructor reaches nothing and makes nothing. ``close`` twice is fine.
        * Its methods are plain, not ``async def``: they are called while a transaction of the log
          is open, where nothing may suspend. They may be called from several threads at once.

    Raises:
        Erased: the key of that ledger has been destroyed; names the ledger.
        AdapterUnavailable: the vault did not answer; nothing has changed.
        InvalidRequest: the vault is not this one's to open, such as under another master key.
    """

    def key(self, ledger: LedgerId) -> bytes:
        """The key of a ledger, made if it is missing."""
        ...

    def find(self, ledger: LedgerId) -> bytes | None:
        """The key of a ledger, ``None`` if it has none. It makes nothing."""
        ...

    def destroy(self, ledger: LedgerId) -> None:
        """Make the key of a ledger unknown for ever."""
        ...

    def held(self) -> int:
        """How many keys there are, without those that were destroyed. It makes nothing."""
        ...

    def ping(self) -> str:
        """Name and version of what keeps the keys. It makes nothing."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
