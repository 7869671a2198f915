"""Factories that build one part from its ``Choice``; the container calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.embedding import NO_VECTOR, Embedding, check_vectors
from remembrancer.application.projections.polling import Polling
from remembrancer.application.recall.rerank import Reranking
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.embedder import Embedder, Vector
from remembrancer.domain.ports.extractor import Extractor
from remembrancer.domain.ports.never_suspends import never_suspends
from remembrancer.domain.ports.store import Store, StoreNeeds
from remembrancer.runtime.bounded import bounded
from remembrancer.runtime.offloaded_extractor import OffloadedExtractor
from remembrancer.runtime.sync_bridge import Lift
from remembrancer.runtime.workers import Workers
from remembrancer.wiring.settings import Choice, RerankingSettings

if TYPE_CHECKING:
    from remembrancer.adapters.models.bounded_reranker import BoundedReranker
    from remembrancer.domain.ports.codec import Codec
    from remembrancer.domain.ports.key_vault import KeyVault


RELEASE = 5.0
"""Seconds that closing waits for a part to close, before it leaves it behind."""


def open_store(
    choice: Choice,
    mode: str,
    embedder: Embedder,
    codec: Codec,
    pool: Any,
    vectors: Callable[[], Callable[[Sequence[str]], Mapping[str, Vector]]],
    left: list[str],
) -> Iterator[Store]:
    """The configured store, closed with the container.

    ``vectors`` is called at the first append, not here: its cache is the index of this store.
    """
    store = choice.adapter.build(
        choice.settings,
        StoreNeeds(
            model=embedder.model,
            dimension=embedder.dimension,
            embed=lambda texts: vectors()(texts),
            codec=codec,
            blocking=mode == "inline",
            pool=pool,
        ),
    )
    if not isinstance(store, Store):
        raise InvalidRequest(
            "audit_log.provider",
            f"{choice.chosen} built a {type(store).__name__}; an adapter of audit_log must build "
            "a remembrancer.Store",
        )
    yield store
    left += bounded(store.close, "store", RELEASE)


def append_signal(store: Store, lift: Lift, log: AuditLog, clock: Clock) -> Any:
    """The store's own notification of new events, or polling."""
    if store.append_signal is not None:
        return lift(store.append_signal)
    return Polling(log=log, clock=clock)


def inspection(store: Store, lift: Lift, by_ports: Callable[[], Any]) -> Any:
    """The store's own inspection, or one through its ports."""
    return by_ports() if store.inspection is None else lift(store.inspection)


def open_loop(left: list[str]) -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    left += loop.close(RELEASE)


def open_workers(most: int, name: str, left: list[str]) -> Iterator[Workers]:
    workers = Workers(most, name)
    yield workers
    left += workers.close(RELEASE)


def open_vault(choice: Choice, left: list[str]) -> Iterator[KeyVault | None]:
    """The configured vault, or ``None``."""
    vault = choice.adapter.build(choice.settings)
    yield vault
    if vault is not None:
        left += bounded(vault.close, "key_vault", RELEASE)


def codec(vault: KeyVault | None) -> Codec:
    if vault is None:
        from remembrancer.adapters.stores.shared.codec import EventCodec

        return EventCodec()
    from remembrancer.adapters.stores.shared.sealing import SealingCodec

    for method in ("key", "find", "destroy", "held", "ping", "close"):
        found = getattr(vault, method, None)
        if found is None or inspect.iscoroutinefunction(found):
            raise InvalidRequest(
                "key_vault.provider",
                f"{type(vault).__qualname__} lacks a plain {method}(); "
                "see remembrancer.domain.ports.key_vault",
            )
    return SealingCodec(vault)


def build(choice: Choice) -> Any:
    return choice.adapter.build(choice.settings)


def build_engine(choice: Choice, embedded: Callable[[], Any], *arguments: Any) -> Any:
    """The configured external engine, or the store's own part if there is none."""
    engine = choice.adapter.build(choice.settings, *arguments)
    return embedded() if engine is None else engine


def build_asking(choice: Choice, lift: Lift, model: Callable[[], Any]) -> Any:
    if choice.adapter.asks_model:
        return choice.adapter.build(choice.settings, lift(model()))
    return choice.adapter.build(choice.settings)


def offloaded(extractor: Any, workers: Workers) -> Any:
    """An extractor for ``AsyncMemory``; one that only computes uses threads for long messages."""
    if not never_suspends(extractor):
        return extractor
    return OffloadedExtractor(cast("Extractor", extractor), workers)


def open_bounded(reranker: Any, settings: RerankingSettings) -> Iterator[BoundedReranker | None]:
    if reranker is None:
        yield None
        return
    from remembrancer.adapters.models.bounded_reranker import BoundedReranker

    limited = BoundedReranker(reranker, deadline=settings.deadline)
    yield limited
    limited.close()


def reranking(lift: Lift, reranker: Any, settings: RerankingSettings) -> Reranking | None:
    if reranker is None:
        return None
    return Reranking(lift(reranker), candidates=settings.candidates)


def call(make: Callable[[], Any]) -> Any:
    """Call a class or a factory."""
    return make()


def new_id(ids: IdSource) -> str:
    """A new id."""
    return ids.new()


def lifted(lift: Lift, adapter: Any) -> Any:
    """An adapter with awaitable methods."""
    return lift(adapter)


def available_vectors(
    embedder: Embedder, embedding: Embedding
) -> Callable[[Sequence[str]], Mapping[str, Vector]]:
    """A function that returns vectors for the read models: cached ones, and those that a local
    embedder computes at once.
    """
    immediate = embedder.local and not inspect.iscoroutinefunction(embedder.embed)

    def vectors(texts: Sequence[str]) -> Mapping[str, Vector]:
        found = embedding.recent(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing and immediate:
            # Without a vector a text is found by keyword; the backfill embeds it later.
            with suppress(*NO_VECTOR):
                computed: Any = embedder.embed(missing, "document")
                check_vectors(embedder, missing, computed)
                found |= dict(zip(missing, computed, strict=True))
        return found

    return vectors
