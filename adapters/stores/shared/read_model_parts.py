"""Names, fingerprints and documents of the read models in SQLite and PostgreSQL.

The stores differ in how they track progress: SQLite by one position for the whole log, PostgreSQL
by the ledgers that lag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from remembrancer.application.reconciliation.ending_keys import ENDINGS_VERSION
from remembrancer.application.reconciliation.near_duplicates import SIGNATURE_VERSION
from remembrancer.domain.errors import IntegrityError, InvalidRequest
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import document_of
from remembrancer.domain.text import EQUALITY_VERSION

FACTS = "facts"
INDEX = "index"
PAGE = 500
"""Events that catching up, or a rebuild, applies at once."""

LABEL = "rebuilding read models"
"""The label for ``OnRebuild``."""

COMMAND = "remembrancer rebuild read_models"
"""What rebuilds them."""

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
        FACTS: f"4.{EQUALITY_VERSION}.{SIGNATURE_VERSION}.{ENDINGS_VERSION}",
        INDEX: index.fingerprint,
        **{other.name: other.fingerprint for other in others},
    }


def refused(stored: Mapping[str, str], own: Mapping[str, str]) -> InvalidRequest | None:
    """The error for read models that another embedder or release made, ``None`` if there are none.

    Args:
        stored: the fingerprints in the database, by name.
        own: the fingerprints of this memory, by name.
    """
    differing = [name for name in {**own, **stored} if stored.get(name) != own.get(name)]
    if not differing:
        return None
    both = "; ".join(
        f"{name} was made with {stored.get(name, 'none')[:200]}, this memory has "
        f"{own.get(name, 'none')}"
        for name in differing
    )
    return InvalidRequest(
        "embedder" if differing == [INDEX] else "read_models",
        f"{both}; nothing was changed. Open it with the settings and the release that made it, or "
        f"run {COMMAND} with these",
    )


def damaged(what: str) -> IntegrityError:
    """The error for read models with missing rows or tables."""
    return IntegrityError(
        f"the read models are damaged: {what}; nothing was changed. The log is the source of "
        f"truth: check it with remembrancer verify, then run {COMMAND}"
    )


def documents_of(
    versions: Iterable[tuple[Fact, str]], vectors: Mapping[str, Vector]
) -> list[Document]:
    """The index documents of facts with their contexts; texts without a vector get none."""
    return [
        document_of(fact, context=context, vector=vectors.get(fact.text))
        for fact, context in versions
    ]
