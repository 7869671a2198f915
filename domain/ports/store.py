"""A store: the log and everything that commits in its transactions, built and replaced as a whole.

A log can't be replaced alone: facts, index and graph are written in the append's transaction. So
every adapter in the group ``remembrancer.audit_log``, built-in or not, builds a ``Store``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.embedder import Vector


@frozen(kw_only=True)
class StoreNeeds:
    """Arguments of a store besides its settings.

    Args:
        model: the embedder's identity. An index filled by another embedder must be rebuilt.
        dimension: components per vector.
        embed: returns vectors by text: cached ones, and those that a local embedder computes at
            once. Call it inside an append; ``ReadModels.unembedded`` lists texts without a vector.
        codec: encodes and decodes events; the hash chain covers the bytes that it returns.
        blocking: ``True`` under ``Memory``, ``False`` under ``AsyncMemory``.
        pool: the host's connection pool (the override ``postgres_pool``), or ``None``.
    """

    model: str
    dimension: int
    embed: Callable[[Sequence[str]], Mapping[str, Vector]]
    codec: Codec
    blocking: bool
    pool: Any = None


@frozen(kw_only=True)
class Store:
    """The parts of an open store. Each implements the port of the same name. Methods may be plain
    or ``async def``, which no static type expresses, hence ``Any``.

    Contract:
        * An append that returned is in all parts; an append that raised is in none.
        * ``read_models`` that do not catch up (``CatchesUp``) must be up to date when ``build``
          returns. Don't call ``StoreNeeds.embed`` before ``build`` returns.

    Args:
        audit_log: the log.
        fact_store: the facts, folded from the log.
        vector_index: the index that reconciliation searches; recall, too, unless an external
            index is configured.
        knowledge_graph: the graph that reconciliation reads; recall, too, unless an external graph
            is configured.
        usage_store: totals of model usage.
        read_models: positions of those four, and documents without a vector.
        projection_state: checkpoints, leases and dead letters of external engines.
        ping: returns the engine's name and version. It blocks, and raises ``AdapterUnavailable``
            if the engine does not answer.
        close: closes everything; called once, at the end.
        append_signal: notifies of new events; ``None`` if the log must be polled.
        inspection: compares every stored row with the log; without one, ``verify`` compares what
            the other parts return, and names what it can't.
    """

    audit_log: Any
    fact_store: Any
    vector_index: Any
    knowledge_graph: Any
    usage_store: Any
    read_models: Any
    projection_state: Any
    ping: Callable[[], str]
    close: Callable[[], None]
    append_signal: Any = None
    inspection: Any = None


@frozen(kw_only=True)
class Survey:
    """The state of a store, found without opening it, for ``remembrancer doctor``.

    Args:
        engine: its name and version.
        details: JSON values by name.
        readable: settings that open it without changing it; ``None`` if there is nothing to read
            yet.
    """

    engine: str
    details: Mapping[str, Any]
    readable: Any = None
