"""Wiring of external engines: feeds, projectors, and the choice of what to read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from remembrancer.application.projections.circuit_breaker import CircuitBreaker
from remembrancer.application.projections.engine_claim import EngineClaim
from remembrancer.application.projections.index_maintenance import IndexMaintenance
from remembrancer.application.projections.projector import ProjectionSettings, Projector
from remembrancer.application.projections.readiness import Readiness
from remembrancer.application.recall.hybrid_index import HybridIndex
from remembrancer.application.recall.read_fallback import ExternalReader, ReadFallback
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.external_engine import has_fingerprint
from remembrancer.domain.ports.projection_state import Feed
from remembrancer.domain.ports.vector_index import declares_signals, is_compactable
from remembrancer.wiring.settings import Choice

_FEEDING_METHODS = {"vector_index": ("put", "clear"), "knowledge_graph": ("apply", "clear")}


def _feed(
    name: str, choice: Choice, engine: Any, settings: ProjectionSettings, *rows_depend_on: object
) -> Feed:
    """The feed of an external engine."""
    overridden = choice.chosen == "embedded"
    for method in _FEEDING_METHODS[name]:
        if not hasattr(engine, method):
            where = f"overrides.{name}" if overridden else f"{name}.provider"
            raise InvalidRequest(
                where, f"lacks {method}(); see remembrancer.domain.ports.external_engine"
            )
    provider = type(engine).__qualname__ if overridden else choice.chosen
    own = engine.fingerprint if has_fingerprint(engine) else None
    return Feed(
        projection=name,
        fingerprint="/".join(
            str(part) for part in (provider, *rows_depend_on, own) if part is not None
        ),
        partitions=settings.partitions,
    )


def index_feed(choice: Choice, settings: ProjectionSettings, embedder: Any, engine: Any) -> Feed:
    return _feed("vector_index", choice, engine, settings, embedder.model, embedder.dimension)


def graph_feed(choice: Choice, settings: ProjectionSettings, engine: Any) -> Feed:
    return _feed("knowledge_graph", choice, engine, settings)


def projector(
    engine: Any, embedded: Any, lifted: Any, feed: Callable[[Any], Feed], log: Any, **parts: Any
) -> Any:
    """The projector that delivers events to an engine; ``None`` for the store's own part."""
    if engine is embedded:
        return None
    delivery, made = parts.pop("delivery")(), feed(engine)
    return Projector(
        feed=made,
        delivery=delivery,
        claim=EngineClaim(made.projection, lifted, log),
        log=log,
        circuit_breaker=CircuitBreaker(),
        **parts,
    )


def read_fallback(
    embedded: Any, engine: Any, projector: Projector | None, log: Any, clock: Any
) -> ReadFallback[Any]:
    if projector is None:
        return ReadFallback(embedded)
    return ReadFallback(
        embedded, ExternalReader(engine=engine, projector=projector, log=log, clock=clock)
    )


def searched_index(engine: Any, lifted: Any, embedded: Any) -> Any:
    """The index for recall: the engine, combined with the store's own index if the engine has no
    keyword search.
    """
    if declares_signals(engine) and "keyword" not in engine.signals:
        return HybridIndex(lifted, embedded)
    return lifted


def external_projections(*projections: Projector | None) -> list[Projector]:
    return [projector for projector in projections if projector is not None]


def names_of(projections: list[Projector]) -> list[str]:
    """The names of the external engines."""
    return [projector.feed.projection for projector in projections]


def index_maintenance(
    embedded: Any, lifted_embedded: Any, index: Any, lifted: Any, readiness: Readiness
) -> IndexMaintenance:
    """Maintenance of the indexes that have it."""
    indexes = [lifted_embedded] if index is embedded else [lifted_embedded, lifted]
    return IndexMaintenance([each for each in indexes if is_compactable(each)], readiness)
