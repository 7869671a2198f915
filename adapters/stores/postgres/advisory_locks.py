"""Keys of advisory locks: a 64-bit hash of purpose and schema."""

from __future__ import annotations

from hashlib import blake2b


def advisory_key(schema: str, purpose: str) -> int:
    """The lock key for ``purpose``, the same in every process; ``schema`` is quoted."""
    digest = blake2b(f"remembrancer {purpose} {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


TRY_LOCK = "SELECT pg_try_advisory_lock"
UNLOCK = "SELECT pg_advisory_unlock"
