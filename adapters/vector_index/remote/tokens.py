"""Tokens: hashes for exact lookups of documents.

Engines trim, fold or truncate the strings that they index. A token is a hash, so that two
different names, types or texts never compare as equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid5

from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.filters.ast import TIME_FIELDS, Comparable, comparable
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import name_keys

_IDS = UUID("6f2a3c0e-7d5b-5a51-9c3a-1b8f6f0d2f10")


def token(*parts: str) -> str:
    """Return a 128-bit hash of the parts, in hexadecimal; part boundaries are hashed too."""
    digest = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def object_id(key: FactKey) -> UUID:
    """Return the id of a document's object; it never changes."""
    return uuid5(_IDS, token("document", key[0], str(key[1])))


def ledger_token(ledger: LedgerId) -> str:
    """Return the token of a ledger."""
    return token("ledger", ledger)


def marks(document: Document) -> list[str]:
    """Return all tokens of a document: scope, entities, speaker, attributes."""
    found = {token("scope", name, value) for name, value in document.scope.ids().items()}
    found.update(token("name", name) for name in name_keys(document.entities))
    if document.speaker is not None:
        found |= {token("speaks"), token("speaker", document.speaker)}
    for name, value in document.attributes.items():
        found.update(_marks_of(name, value))
    return sorted(found)


def exists(path: str) -> str:
    """Return the token of documents in which a path exists."""
    return token("exists", path)


def equals(path: str, value: Comparable) -> str:
    """Return the token of documents in which a path, or an element of its list, equals a value."""
    return token("equals", path, value[0], _canonical(value[1]))


def _marks_of(path: str, value: Any) -> Iterator[str]:
    if value is None or value == [] or value == ():
        return
    yield exists(path)
    if isinstance(value, Mapping):
        for key, part in value.items():
            # Filters cannot name a key that contains a dot.
            if "." not in key:
                yield from _marks_of(f"{path}.{key}", part)
        return
    for element in value if isinstance(value, list | tuple) else [value]:
        compared = comparable(element)
        # Times of a fact have their own properties.
        if compared is not None and not (path in TIME_FIELDS and compared[0] == "time"):
            yield equals(path, compared)


def _canonical(value: str | float) -> str:
    """Return the same string for all equal values."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else repr(value)
