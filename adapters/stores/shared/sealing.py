"""Encrypt ("seal") event payloads: AES-256-GCM, one key per ledger, kept in a key vault.

A sealed payload is the byte ``SEALED``, a random nonce (12 bytes), the ciphertext (as long as the
JSON document) and a tag (16 bytes). Ledger, event id, type and schema version are authenticated
too, so a payload can't be moved to another event. A nonce must not repeat under one key: with
random 12-byte nonces a repetition is expected after 2^48 events of one ledger (NIST SP 800-38D
allows 2^32).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.domain.errors import Erased, IntegrityError, InvalidRequest
from remembrancer.domain.events import (
    Event,
    EventId,
    PayloadErased,
)
from remembrancer.domain.ports.key_vault import KeyVault
from remembrancer.domain.recorded import SEALED, UNSEALED, Append, Recorded, is_sealed
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.upcasting import EventRegistry

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12

NEWEST = 16
"""Events at the end of a log that are read when it is opened, so that nobody writes to an encrypted
log without its vault. More than the expected number of ``UNSEALED`` events in a row.
"""


def aes_gcm() -> Callable[[bytes], AESGCM]:
    """The AES-GCM cipher class; imports ``cryptography`` only when needed.

    Raises:
        InvalidRequest: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise InvalidRequest(
            "key_vault.provider", "needs cryptography; pip install 'remembrancer[encryption]'"
        ) from error
    return AESGCM


class SealingCodec(EventCodec):
    """An ``EventCodec`` that encrypts new payloads, and reads encrypted and plain ones.

    Args:
        vault: the keys. It is called once for each append, and once for each ledger of a page:
            keys are not cached, so that a destroyed key is gone at once.
        registry: same as for ``EventCodec``.
    """

    def __init__(self, vault: KeyVault, registry: EventRegistry | None = None) -> None:
        super().__init__(registry)
        self._vault = vault
        self._cipher = aes_gcm()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._vault, self._registry)

    def stored(self, append: Append) -> Sequence[bytes]:
        """See ``EventCodec.stored``.

        Raises:
            Erased: the key of the ledger has been destroyed.
        """
        documents = super().stored(append)
        if all(isinstance(new.event, UNSEALED) for new in append.events):
            return documents
        encrypt = self._cipher(self._vault.key(append.ledger)).encrypt
        nonces = os.urandom(NONCE_BYTES * len(documents))
        stored: list[bytes] = []
        for index, (new, document) in enumerate(zip(append.events, documents, strict=True)):
            event = new.event
            if isinstance(event, UNSEALED):
                stored.append(document)
                continue
            nonce = nonces[index * NONCE_BYTES : (index + 1) * NONCE_BYTES]
            associated = _associated_data(
                append.ledger, new.event_id, event.type_name, event.schema_version
            )
            stored.append(SEALED + nonce + encrypt(nonce, document, associated))
        return stored

    def documents(self, items: Sequence[Recorded]) -> Sequence[bytes]:
        """See ``EventCodec.documents``.

        Raises:
            Erased: a key has been destroyed.
            IntegrityError: a payload fails authentication.
        """
        ciphers = self._ciphers(item.ledger for item in items if is_sealed(item.payload))
        found: list[bytes] = []
        for item in items:
            document: bytes | None = item.payload
            if is_sealed(item.payload):
                document = _decrypted(
                    ciphers,
                    item.payload,
                    item.type_name,
                    item.schema_version,
                    item.position,
                    item.ledger,
                    item.event_id,
                )
            if document is None:
                raise Erased(f"{item.ledger}: position {item.position}: its key has been destroyed")
            found.append(document)
        return found

    def current(self, items: Sequence[Recorded]) -> Sequence[Recorded]:
        """See ``EventCodec.current``."""
        events = self.decode_all(
            [item.payload for item in items],
            [item.type_name for item in items],
            [item.schema_version for item in items],
            [item.position for item in items],
            [item.ledger for item in items],
            [item.event_id for item in items],
        )
        return [evolve(item, event=event) for item, event in zip(items, events, strict=True)]

    def decode(
        self,
        payload: bytes,
        type_name: str,
        schema_version: int,
        position: int,
        ledger: LedgerId,
        event_id: EventId,
    ) -> Event:
        """See ``EventCodec.decode``; ``PayloadErased`` if the key has been destroyed.

        Raises:
            Erased: the vault has no key for the ledger.
            IntegrityError: the payload fails authentication; or same as for ``EventCodec``.
        """
        if is_sealed(payload):
            ciphers = self._ciphers([ledger])
            opened = _decrypted(
                ciphers, payload, type_name, schema_version, position, ledger, event_id
            )
            if opened is None:
                return PayloadErased()
            payload = opened
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
        """See ``EventCodec.decode_all``."""
        rest = (type_names, schema_versions, positions, ledgers, event_ids)
        sealed = list(map(is_sealed, payloads))
        if not any(sealed):
            return super().decode_all(payloads, *rest)
        ciphers = self._ciphers(
            ledger for ledger, shut in zip(ledgers, sealed, strict=True) if shut
        )
        documents = [
            _decrypted(ciphers, payload, *event) if shut else payload
            for shut, payload, event in zip(sealed, payloads, zip(*rest, strict=True), strict=True)
        ]
        left = [place for place, document in enumerate(documents) if document is not None]
        kept: list[list[Any]] = [[column[place] for place in left] for column in (documents, *rest)]
        events = dict(zip(left, super().decode_all(*kept), strict=True))
        return [events.get(place, PayloadErased()) for place in range(len(documents))]

    def _ciphers(self, ledgers: Iterable[LedgerId]) -> dict[LedgerId, AESGCM | None]:
        """The cipher of each ledger that has a key in the vault; ``None`` if it was destroyed."""
        found: dict[LedgerId, AESGCM | None] = {}
        for ledger in set(ledgers):
            try:
                key = self._vault.find(ledger)
            except Erased:
                found[ledger] = None
            else:
                if key is not None:
                    found[ledger] = self._cipher(key)
        return found


def _decrypted(
    ciphers: Mapping[LedgerId, AESGCM | None],
    payload: bytes,
    type_name: str,
    schema_version: int,
    position: int,
    ledger: LedgerId,
    event_id: EventId,
) -> bytes | None:
    """The decrypted document, ``None`` if its key has been destroyed."""
    from cryptography.exceptions import InvalidTag

    if ledger not in ciphers:
        # Not treated as a destroyed key: with the wrong vault, the read models would become empty.
        raise Erased(
            f"{ledger}: position {position}: the vault has no key for this ledger; set the "
            "key_vault that it was written with"
        )
    cipher = ciphers[ledger]
    if cipher is None:
        return None
    nonce, sealed = payload[1 : 1 + NONCE_BYTES], payload[1 + NONCE_BYTES :]
    try:
        associated = _associated_data(ledger, event_id, type_name, schema_version)
        return cipher.decrypt(nonce, sealed, associated)
    except (InvalidTag, ValueError) as error:
        raise IntegrityError(
            f"position {position}: the sealed {type_name} of {ledger} fails authentication: it "
            "was changed, belongs to another event, or was encrypted with another key; set the "
            "key_vault that it was written with, or restore a backup"
        ) from error


def _associated_data(
    ledger: LedgerId, event_id: EventId, type_name: str, schema_version: int
) -> bytes:
    """The associated data of the encryption; no field can contain a line break."""
    return f"{ledger}\n{event_id}\n{type_name}\n{schema_version}".encode()
