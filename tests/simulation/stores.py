"""The store of a simulation: shared by all processes, as a database is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from attrs import define, evolve, field

from remembrancer import Store, StoreNeeds
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.memory.projection_state import InMemoryProjectionState
from remembrancer.adapters.stores.memory.store import build as build_in_memory
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.sqlite.database import Database, Durability, SqliteSettings
from remembrancer.adapters.stores.sqlite.projection_state import SqliteProjectionState
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.sqlite.store import build as build_on_sqlite

Seconds = Callable[[], float]


class Stores(Protocol):
    """Makes a store for each process."""

    def open(self) -> Store:
        """The store of a new process."""
        ...

    def close(self) -> None:
        """Close them all."""
        ...


def _needs(embedder: HashingEmbedder) -> StoreNeeds:
    return StoreNeeds(
        model=embedder.model,
        dimension=embedder.dimension,
        embed=lambda texts: dict(zip(texts, embedder.embed(texts, "document"), strict=True)),
        codec=EventCodec(),
        blocking=True,
    )


class InMemory:
    """One store in memory, which outlives the processes.

    Args:
        embedder: of the documents.
        seconds: the virtual time.
    """

    def __init__(self, embedder: HashingEmbedder, seconds: Seconds) -> None:
        self._store = evolve(
            build_in_memory(None, _needs(embedder)),
            projection_state=InMemoryProjectionState(seconds),
        )

    def open(self) -> Store:
        """See ``Stores.open``."""
        return self._store

    def close(self) -> None:
        """See ``Stores.close``."""


@define
class OnSqlite:
    """A file, with connections of its own for every process.

    Args:
        path: a new file.
        embedder: of the documents.
        seconds: the virtual time.
    """

    path: Path
    embedder: HashingEmbedder
    seconds: Seconds
    _closing: list[Callable[[], None]] = field(factory=list)

    def open(self) -> Store:
        """See ``Stores.open``."""
        settings = SqliteSettings(path=str(self.path), durability=Durability.NORMAL)
        store = build_on_sqlite(settings, _needs(self.embedder))
        # Leases end in virtual time.
        leases = Database(settings, SCHEMA_VERSIONS)
        self._closing += [store.close, leases.close]
        return evolve(store, projection_state=SqliteProjectionState(leases, self.seconds))

    def close(self) -> None:
        """See ``Stores.close``."""
        for close in self._closing:
            close()
