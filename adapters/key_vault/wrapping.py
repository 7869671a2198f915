"""Keys under a master key: what is stored of a ledger's key where the store alone must not do.

AES-256-GCM, bound to the ledger's name, so that a stored key fits no other ledger.
"""

from __future__ import annotations

import os

from remembrancer.adapters.stores.shared.sealing import NONCE_BYTES, aes_gcm
from remembrancer.domain.errors import IntegrityError, InvalidRequest
from remembrancer.domain.ports.key_vault import KEY_BYTES
from remembrancer.domain.scope import LedgerId

_CHECK = b"remembrancer key vault"


class Wrapping:
    """Wraps and unwraps; with no master key, keys are stored as they are.

    Args:
        master_key: 64 hex digits, or nothing.

    Raises:
        InvalidRequest: it is neither.
    """

    def __init__(self, master_key: str) -> None:
        self._cipher = aes_gcm()(_parsed(master_key)) if master_key else None

    def wrapped(self, key: bytes, ledger: LedgerId) -> bytes:
        """What is stored of a key."""
        if self._cipher is None:
            return key
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, ledger.encode())

    def unwrapped(self, stored: bytes, ledger: LedgerId) -> bytes:
        """The key that was stored.

        Raises:
            IntegrityError: it was changed, or is another ledger's.
        """
        if self._cipher is None:
            return stored
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], ledger.encode())
        except (InvalidTag, ValueError) as error:
            raise IntegrityError(
                f"the stored key of {ledger} was changed; restore the vault"
            ) from error

    def check(self) -> bytes:
        """What is stored once, for ``require`` to hold a master key against."""
        if self._cipher is None:
            return b""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, b"", _CHECK)

    def require(self, check: bytes, where: str) -> None:
        """Refuse a vault that was made under another master key.

        Raises:
            InvalidRequest: this one is wrong, missing, or one too many.
        """
        if self._cipher is None and not check:
            return
        path = "key_vault.master_key"
        if self._cipher is None:
            raise InvalidRequest(path, f"is missing; {where} was made with one, name that")
        if not check:
            raise InvalidRequest(path, f"is set, but {where} was made without one; leave it out")
        from cryptography.exceptions import InvalidTag

        try:
            self._cipher.decrypt(check[:NONCE_BYTES], check[NONCE_BYTES:], _CHECK)
        except (InvalidTag, ValueError) as error:
            raise InvalidRequest(
                path, f"is not the one that {where} was made with; name that"
            ) from error


def _parsed(master_key: str) -> bytes:
    try:
        key = bytes.fromhex(master_key)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        # What was given is not shown: it may be the right key with a slip in it.
        raise InvalidRequest(
            "key_vault.master_key",
            f"expected {2 * KEY_BYTES} hex digits, as of openssl rand -hex 32",
        )
    return key
