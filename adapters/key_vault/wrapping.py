"""Key wrapping: encrypt ledger keys under a master key before a vault stores them.

AES-256-GCM with the ledger's name as associated data, so a wrapped key can't be used for another
ledger.
"""

from __future__ import annotations

import os

from remembrancer.adapters.stores.shared.sealing import NONCE_BYTES, aes_gcm
from remembrancer.domain.errors import IntegrityError, InvalidRequest
from remembrancer.domain.ports.key_vault import KEY_BYTES
from remembrancer.domain.scope import LedgerId

_CHECK = b"remembrancer key vault"


class Wrapping:
    """Wraps and unwraps ledger keys; without a master key, keys are stored unencrypted.

    Args:
        master_key: 64 hex digits, or an empty string.

    Raises:
        InvalidRequest: the master key is not 64 hex digits.
    """

    def __init__(self, master_key: str) -> None:
        self._cipher = aes_gcm()(_parsed(master_key)) if master_key else None

    def wrapped(self, key: bytes, ledger: LedgerId) -> bytes:
        """The wrapped form of a key, as stored."""
        if self._cipher is None:
            return key
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, ledger.encode())

    def unwrapped(self, stored: bytes, ledger: LedgerId) -> bytes:
        """The key in its stored form.

        Raises:
            IntegrityError: the stored key was changed, or belongs to another ledger.
        """
        if self._cipher is None:
            return stored
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], ledger.encode())
        except (InvalidTag, ValueError) as error:
            raise IntegrityError(
                f"the stored key of {ledger} was changed; restore a backup of the vault"
            ) from error

    def check(self) -> bytes:
        """A proof of the master key, stored once in a vault; see ``require``."""
        if self._cipher is None:
            return b""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, b"", _CHECK)

    def require(self, check: bytes, where: str) -> None:
        """Check that a vault was created with this master key.

        Args:
            check: the stored result of ``check``.
            where: the vault's name for error messages.

        Raises:
            InvalidRequest: the master key is wrong or missing, or the vault was created without
                one.
        """
        if self._cipher is None and not check:
            return
        path = "key_vault.master_key"
        if self._cipher is None:
            raise InvalidRequest(path, f"is missing; {where} was created with one, set the same")
        if not check:
            raise InvalidRequest(path, f"is set, but {where} was created without one; leave it out")
        from cryptography.exceptions import InvalidTag

        try:
            self._cipher.decrypt(check[:NONCE_BYTES], check[NONCE_BYTES:], _CHECK)
        except (InvalidTag, ValueError) as error:
            raise InvalidRequest(
                path, f"is not the one that {where} was created with; set the same"
            ) from error


def _parsed(master_key: str) -> bytes:
    try:
        key = bytes.fromhex(master_key)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        # The value is not shown: it may be the right key with a typo.
        raise InvalidRequest(
            "key_vault.master_key",
            f"expected {2 * KEY_BYTES} hex digits; make them with openssl rand -hex 32",
        )
    return key
