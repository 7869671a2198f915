"""The ports to engines outside the log's own database: an index and a graph driven from the log.

Such an engine takes no part in the append's transaction. ``application.projecting`` brings it what
was committed, in pages, as often as it takes; these contracts say what makes that safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph
from remembrancer.domain.ports.vector_index import VectorIndex
from remembrancer.domain.recorded import Recorded


class Engine(Protocol):
    """What every external engine can be asked.

    Raises:
        AdapterUnavailable: the engine did not answer; the same call may be tried again.
    """

    async def clear(self) -> None:
        """Drop everything that this index or graph holds, and be ready to be fed from nothing,
        under the settings of now. Afterwards it is as if it had just been made.
        """
        ...

    async def ping(self) -> str:
        """The engine's name and version, such as ``weaviate 1.34.0``."""
        ...

    async def close(self) -> None:
        """Let go of connections. Closing twice does nothing; an engine that has connections
        refuses all other calls afterwards.
        """
        ...


class ExternalIndex(VectorIndex, Engine, Protocol):
    """A ``VectorIndex`` in an engine of its own, fed after the commit.

    Contract, besides that of ``VectorIndex``:
        * It is made by ``build(settings, model, dimension)`` without having to reach the engine;
          whatever has to be created there is created by the first call that needs it.
        * ``put`` returns when the engine has taken all documents in for good. If it raises, any
          part of them may be there; putting the same documents again settles it.
        * Documents come in any order: what a key is put with last is what counts, and each
          delivery carries the versions of a fact as they stand in the log by then. They may come
          twice and from two processes at once.
        * ``vectors_for`` may return nothing; vectors are looked up in the log's own database.

    Raises:
        InvalidRequest, ModelError: this delivery can't ever succeed, such as a vector of another
            dimension or a text too long for the engine; the other ones may. It is set aside.
        AdapterUnavailable: nothing is wrong with the delivery; it is tried again later.
    """


class ExternalGraph(KnowledgeGraph, Engine, Protocol):
    """A ``KnowledgeGraph`` in an engine of its own, fed after the commit.

    Contract, besides that of ``KnowledgeGraph``:
        * It sees an append when ``apply`` of it has returned, not when the append has.
        * It is made by ``build(settings)`` without having to reach the engine.
    """

    async def apply(self, chain: Sequence[Recorded]) -> None:
        """Take in events, ordered by position within each ledger, all or none of them.

        It is idempotent: the graph remembers, in the same transaction, the last position that it
        has taken in of each ledger, and skips what is not behind it. So a page that is delivered
        twice, or by two processes at once, changes nothing the second time.

        Raises:
            InvalidRequest, ModelError: an event of the chain can't ever be taken in.
            AdapterUnavailable: nothing is wrong with the events; they are tried again later.
        """
        ...
