"""The names of advisory locks: 64 bits for a purpose within a schema."""

from __future__ import annotations

from hashlib import blake2b


def advisory_key(schema: str, purpose: str) -> int:
    """The key of the lock for ``purpose``; ``schema`` is quoted. The same in every process."""
    digest = blake2b(f"remembrancer {purpose} {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


TRY_LOCK = "SELECT pg_try_advisory_lock"
UNLOCK = "SELECT pg_advisory_unlock"
