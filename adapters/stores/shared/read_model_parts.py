"""Names, fingerprints and documents of the read models in SQLite and PostgreSQL.

The stores differ in how they track progress: SQLite by one position for the whole log, PostgreSQL
by the ledgers that lag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import document_of
from remembrancer.domain.text import EQUALITY_VERSION

FACTS = "facts"
INDEX = "index"
PAGE = 500
"""Events that a rebuild applies at once."""

Embed: TypeAlias = Callable[[Sequence[str]], Mapping[str, Vector]]
"""Returns the available vectors of texts; a text without one is embedded later."""


class Fingerprinted(Protocol):
    """A read model."""

    @property
    def fingerprint(self) -> str:
        """Changes if rows would be stored differently, as with another embedder."""
        ...


class Named(Fingerprinted, Protocol):
    """A read model that is derived from the log alone."""

    @property
    def name(self) -> str:
        """The name of the read model."""
        ...


def fingerprints_of(index: Fingerprinted, others: Iterable[Named]) -> dict[str, str]:
    """The fingerprint of each read model, by name."""
    return {
        FACTS: f"2.{EQUALITY_VERSION}",
        INDEX: index.fingerprint,
        **{other.name: other.fingerprint for other in others},
    }


def rebuilt_elsewhere(name: str) -> InvalidRequest:
    """The error for a read model whose fingerprint in the database is another one."""
    return InvalidRequest(
        "embedder",
        f"another process has rebuilt the {name} read model with other settings; "
        "open the database again with the same settings",
    )


def documents_of(
    versions: Iterable[tuple[Fact, str]], vectors: Mapping[str, Vector]
) -> list[Document]:
    """The index documents of facts with their contexts; texts without a vector get none."""
    return [
        document_of(fact, context=context, vector=vectors.get(fact.text))
        for fact, context in versions
    ]
