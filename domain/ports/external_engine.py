"""The ports to external engines: an index and a graph outside the log's own database.

Such an engine is not part of the append's transaction. ``application.projections`` delivers
committed events to it in pages, with retries; these contracts make that safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NewType, Protocol, TypeGuard

from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph
from remembrancer.domain.ports.vector_index import VectorIndex
from remembrancer.domain.recorded import Recorded

LogId = NewType("LogId", str)
"""The identity of a log: the id of its first event."""


class Engine(Protocol):
    """The operations of every external engine.

    Raises:
        SettingsError: the engine refuses the settings (login, permission, certificate, collection
            of another kind or size): no delivery can succeed until they are corrected.
        AdapterUnavailable: the engine did not answer; the same call can be retried.
    """

    async def clear(self) -> None:
        """Drop everything that this index or graph holds and recreate it empty, under the current
        settings.
        """
        ...

    async def ping(self) -> str:
        """The engine's name and version, such as ``weaviate 1.34.0``."""
        ...

    async def close(self) -> None:
        """Close connections. Closing twice does nothing; an engine with connections refuses all
        other calls afterwards.
        """
        ...


class Fingerprinted(Protocol):
    """Optional, for an engine whose rows depend on its own settings or on its release."""

    @property
    def fingerprint(self) -> str:
        """Changes if the rows written before can't be used any more. The adapter's name, and for an
        index the embedder's model and dimension, need not be part of it.

        Contract: it is known without a connection, and does not change while the engine is open.
        After a change nothing is delivered and searches use the log's own database, until
        ``Memory.rebuild`` has filled the engine again.
        """
        ...


def has_fingerprint(engine: object) -> TypeGuard[Fingerprinted]:
    """Whether an engine has a fingerprint of its own."""
    return hasattr(engine, "fingerprint")


class Claimable(Protocol):
    """Optional, for an engine that stores which log it holds.

    Without it, two logs that are pointed at one engine hide each other's facts: the same user has
    the same ledger in both, and ``clear`` of one empties the engine of the other.
    """

    async def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        """The log that the engine holds.

        Contract: it is stored in the engine, durably, and read there at every call. ``clear``
        removes it. Of two logs that bind a new engine at once, all later calls return the same one.

        Args:
            log: the log of the caller.
            bind: if the engine holds no log, let it hold this one.

        Returns:
            The log that it holds now, ``None`` if it holds none.

        Raises:
            AdapterUnavailable: the engine did not answer.
        """
        ...


def is_claimable(engine: object) -> TypeGuard[Claimable]:
    """Whether an engine stores which log it holds."""
    return hasattr(engine, "claim")


class ExternalIndex(VectorIndex, Engine, Protocol):
    """A ``VectorIndex`` in an engine of its own, updated after the commit.

    Contract, besides that of ``VectorIndex``:
        * It is made by ``build(settings, model, dimension)`` without a connection to the engine;
          collections and the like are created by the first call that needs them.
        * ``put`` is an idempotent upsert by key that returns when the engine has stored all
          documents durably. If it raises, some of them may be stored; a retry repairs that.
        * Documents come in any order, possibly twice and from two processes at once; the last
          ``put`` of a key wins. Each delivery carries the current versions of a fact in the log.
          An engine that can compare within its own write keeps the document with the higher
          ``revision``: a put that arrives late, after a newer one, then changes nothing.
        * ``vectors_for`` may return nothing; vectors are read from the log's own database.

    Raises:
        InvalidRequest, ModelError: this delivery can never succeed, such as a vector of another
            dimension or a text too long for the engine. It becomes a dead letter; others go on.
        AdapterUnavailable: the delivery itself is valid; it is retried later.
    """


class ExternalGraph(KnowledgeGraph, Engine, Protocol):
    """A ``KnowledgeGraph`` in an engine of its own, updated after the commit.

    Contract, besides that of ``KnowledgeGraph``:
        * It shows an append once ``apply`` of it has returned, not once the append has returned.
        * It is made by ``build(settings)`` without a connection to the engine.
    """

    async def apply(self, chain: Sequence[Recorded]) -> None:
        """Apply events, ordered by position within each ledger, all or none of them.

        It is idempotent: the graph stores, in the same transaction, the last version that it
        applied of each ledger, and skips events up to there. So a page that is delivered twice, or
        by two processes at once, changes nothing the second time. A page that leaves out a version
        is refused: it arrives late, after ``clear`` (``domain.graph.delivered_page``).

        Raises:
            InvalidRequest, ModelError: an event of the chain can never be applied.
            AdapterUnavailable: the events are valid; they are retried later. Or events are missing
                before them.
        """
        ...
