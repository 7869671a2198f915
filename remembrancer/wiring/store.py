"""What somebody else's home store is: the log, and everything that commits with it, as one bundle.

A log alone can't be swapped: facts, index and graph are written in the append's own transaction,
by whoever knows how to open one. So an entry point in ``remembrancer.audit_log`` builds all of
them. The built-in stores are put together in the container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from remembrancer.adapters.stores.shared.codec import EventCodec
    from remembrancer.domain.ports.embedder import Vector


@frozen(kw_only=True)
class StoreNeeds:
    """What a home store is given beside its settings.

    Args:
        model: the identity of the embedder; an index filled by another one is to be rebuilt.
        dimension: components per vector.
        embed: vectors for texts, by text: those that are at hand and those that cost no waiting.
            To be called while an append is taken in; a text without a vector waits in
            ``ReadModels.unembedded``.
        codec: events to stored bytes and back; the hash chain covers what it makes.
        blocking: ``True`` under ``Memory``, ``False`` under ``AsyncMemory``.
    """

    model: str
    dimension: int
    embed: Callable[[Sequence[str]], Mapping[str, Vector]]
    codec: EventCodec
    blocking: bool


@frozen(kw_only=True)
class Store:
    """The parts of a home store. Each keeps the contract of the port that it is named after; its
    methods may be plain or ``async def``, which no one type says.

    Contract:
        * An append that returned is in all of them; one that raised is in none.
        * If ``read_models`` has a ``catch_up(log, progress)``, it is called once, before anything
          else, to bring them to where the log ends; ``progress`` is ``None`` or takes what is being
          done (str), how much is done and how much there is. Otherwise they stand there already
          when the bundle is built. ``StoreNeeds.embed`` can't be called any sooner than that.

    Args:
        audit_log: the log.
        fact_store: the facts that it tells.
        vector_index: the index that decisions are made on, and that recall searches unless
            another one is chosen.
        knowledge_graph: likewise.
        usage_store: what models were used for.
        read_models: how far those four have come.
        projection_state: the book kept on external engines.
        ping: the engine's name and version; it blocks for a moment, and raises
            ``AdapterUnavailable`` if there is no answer.
        close: lets go of everything; called once, at the end.
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
