"""Knowledge graph on Neo4j: fed from the log, read by walks that query many names at once.

The effect of events on links is in ``domain.graph.graph.changes_of``, the walk in
``domain.graph.walk``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, LiteralString

from remembrancer.adapters.knowledge_graph.neo4j import statements
from remembrancer.adapters.knowledge_graph.neo4j.apply_events import (
    EventApplication,
    Owned,
    TouchedLinks,
)
from remembrancer.adapters.knowledge_graph.neo4j.connection import ADAPTER, Connection
from remembrancer.adapters.knowledge_graph.neo4j.settings import Neo4jSettings
from remembrancer.adapters.knowledge_graph.neo4j.versions import (
    Version,
    key_of,
    properties_of,
    version_of,
)
from remembrancer.adapters.knowledge_graph.neo4j.visible_links import AT_ONCE, VisibleLinks
from remembrancer.adapters.stores.shared.async_walk import answered
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.graph.delivered_page import not_applied
from remembrancer.domain.graph.graph import Entity, Mention, Relation, View, entities_of, touches
from remembrancer.domain.graph.walk import Reached, Tie, known_as, walk
from remembrancer.domain.ports.external_engine import LogId
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import EQUALITY_VERSION, normalised

if TYPE_CHECKING:
    from neo4j import AsyncManagedTransaction

CLEARED_AT_ONCE = 10_000
"""Nodes deleted in one transaction; the server holds a transaction in memory."""


class Neo4jKnowledgeGraph:
    """``ExternalGraph`` on a Neo4j server, 5.26 or newer.

    Args:
        settings: the settings. It connects at the first call.

    Attributes:
        fingerprint: identifies the database and the layout of its rows; a graph with another
            fingerprint must be rebuilt.

    Raises:
        InvalidRequest: the driver is not installed.
        AdapterUnavailable: from any method: the server did not answer, or refused access.
    """

    name = "graph"

    def __init__(self, settings: Neo4jSettings) -> None:
        database = f"{settings.database}/" if settings.database else ""
        self.fingerprint = f"{database}3.{EQUALITY_VERSION}"
        self._connection = Connection(settings)
        self._defined = False
        self._log: LogId | None = None

    async def apply(self, chain: Sequence[Recorded]) -> None:
        """Apply events in order, each exactly once; see ``ExternalGraph.apply``."""
        if not chain:
            return
        await self._define()
        last = {item.ledger: item for item in chain}

        async def take(tx: AsyncManagedTransaction) -> None:
            applied = await _locked(tx, sorted(last), self._log)
            page = not_applied(chain, applied, adapter=ADAPTER)
            touching = [item for item in page if touches(item.event)]
            application = EventApplication(await _stored(tx, TouchedLinks.by(touching)))
            for item in touching:
                application.take(item)
            await _write(tx, application)
            aliased = {version.ledger for version in application.made if _is_synonym(version)}
            ahead = [
                {
                    "name": ledger,
                    "position": item.position,
                    "version": item.version,
                    "aliases": ledger in aliased,
                }
                for ledger, item in last.items()
                if item.version > applied[ledger]
            ]
            await _each(tx, statements.ADVANCE, ledgers=ahead)

        await self._connection.write(take)

    async def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """See ``KnowledgeGraph.neighbours``."""

        async def look(tx: AsyncManagedTransaction) -> list[Reached]:
            seen = await VisibleLinks.begin(tx, view, entities)
            return await answered(seen, walk(entities, depth=depth, limit=limit, at_once=AT_ONCE))

        return await self._connection.read(look)

    async def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """See ``KnowledgeGraph.relations``."""

        async def look(tx: AsyncManagedTransaction) -> list[Relation]:
            seen = await VisibleLinks.begin(tx, view, [entity])
            nodes = await answered(seen, known_as([entity]))
            ties = [tie for of_one in await seen.relations(nodes, limit) for tie in of_one]
            found = {link.key: link for link in _relations(ties)}
            return sorted(found.values(), key=lambda link: link.position, reverse=True)[:limit]

        return await self._connection.read(look)

    async def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """See ``KnowledgeGraph.entities``."""

        async def look(tx: AsyncManagedTransaction) -> list[Entity]:
            seen = await VisibleLinks.begin(tx, view, names or ())
            if names is None:
                synonyms = await seen.all_synonyms()
                aliased = {node for tie in synonyms for node, _ in tie.ends}
                counted = await seen.counted(without=aliased, most=limit)
                counted += await seen.counted(among=aliased)
            else:
                nodes = await answered(seen, known_as(names))
                synonyms = await seen.synonyms(nodes)
                counted = await seen.counted(among=nodes)
            return _entities(counted, _relations(synonyms))[:limit]

        return await self._connection.read(look)

    async def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        """See ``Claimable``. Afterwards ``apply`` fails while the graph does not hold ``log``."""
        self._log = log

        async def ask(tx: AsyncManagedTransaction) -> LogId | None:
            answer = await tx.run(statements.BIND if bind else statements.HELD, log=log)
            rows = [row async for row in answer]
            return LogId(rows[0]["log"]) if rows else None

        if not bind:
            return await self._connection.read(ask)
        await self._define()
        return await self._connection.write(ask)

    async def clear(self) -> None:
        """Delete all nodes of remembrancer, in batches; see ``Engine.clear``.

        If it is interrupted, ``apply`` fails until ``clear`` has completed.
        """
        await self._define()
        await self._connection.write(lambda tx: _each(tx, statements.BEGIN_CLEARING))
        for statement in statements.CLEAR:
            while await self._connection.write(_deleting(statement)):
                pass

    async def ping(self) -> str:
        """Return name and version of the server, such as ``neo4j 5.26.30``."""

        async def look(tx: AsyncManagedTransaction) -> str:
            summary = await (await tx.run(statements.AGENT)).consume()
            return summary.server.agent

        name, _, version = (await self._connection.read(look)).partition("/")
        return f"{name.lower()} {version}"

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        await self._connection.close()

    async def _define(self) -> None:
        if not self._defined:
            await self._connection.define(statements.SCHEMA)
            self._defined = True


async def _locked(
    tx: AsyncManagedTransaction, ledgers: Sequence[LedgerId], log: LogId | None
) -> dict[LedgerId, int]:
    """Lock ledgers for this transaction and return the last applied version of each.

    Raises:
        AdapterUnavailable: the graph is being cleared, or does not hold ``log``, if given.
    """
    rows = [row async for row in await tx.run(statements.LOCK, ledgers=list(ledgers))]
    if any(row["clearing"] for row in rows):
        raise AdapterUnavailable(
            ADAPTER, "the graph is being cleared, or clearing was interrupted; rebuild the graph"
        )
    if log is not None and any(row["log"] != log for row in rows):
        raise AdapterUnavailable(ADAPTER, "another log has taken the graph over")
    return {LedgerId(row["name"]): row["version"] for row in rows}


async def _stored(tx: AsyncManagedTransaction, touched: TouchedLinks) -> list[Version]:
    found: list[Version] = []
    for statement, ids in (
        (statements.FACTS, touched.facts),
        (statements.RELATIONS, touched.relations),
        (statements.RELATIONS_OF_FACTS, touched.facts),
    ):
        if ids:
            answer = await tx.run(statement, wanted=_owned(ids))
            found += [version_of(row["link"]) async for row in answer]
    return found


async def _write(tx: AsyncManagedTransaction, application: EventApplication) -> None:
    # Reversed, so that the first spelling of a name is kept.
    names = {(ledger, key_of(name)): name for ledger, name in reversed(application.names())}
    await _each(
        tx,
        statements.NAMES,
        names=[
            {"ledger": ledger, "key": key, "name": name} for (ledger, key), name in names.items()
        ],
    )
    for test, close, create in (
        (_is_fact, statements.CLOSE_FACTS, statements.CREATE_FACTS),
        (_is_relation, statements.CLOSE_RELATIONS, statements.CREATE_RELATIONS),
        (_is_synonym, statements.CLOSE_SYNONYMS, statements.CREATE_SYNONYMS),
    ):
        await _each(tx, close, closed=[_closed(one) for one in application.closed if test(one)])
        await _each(tx, create, made=[_made(one) for one in application.made if test(one)])


async def _each(
    tx: AsyncManagedTransaction, statement: LiteralString, **rows: list[dict[str, Any]]
) -> None:
    """Run a statement over rows; does nothing without rows."""
    if all(rows.values()):
        await (await tx.run(statement, {**rows})).consume()


def _deleting(statement: LiteralString) -> Callable[[AsyncManagedTransaction], Any]:
    async def delete(tx: AsyncManagedTransaction) -> int:
        row = await (await tx.run(statement, most=CLEARED_AT_ONCE)).single(strict=True)
        deleted: int = row["deleted"]
        return deleted

    return delete


def _closed(version: Version) -> dict[str, Any]:
    kept = properties_of(version)
    _, key = version.link.key
    return {
        "id": key,
        **{name: kept[name] for name in ("ledger", "since", "until", "recorded_to")},
    }


def _made(version: Version) -> dict[str, Any]:
    return {
        "link": properties_of(version),
        "keys": [key_of(name) for name in version.link.ends],
    }


def _owned(ids: Iterable[Owned]) -> list[dict[str, str]]:
    return [{"ledger": ledger, "id": one} for ledger, one in sorted(ids)]


def _is_fact(version: Version) -> bool:
    return isinstance(version.link, Mention)


def _is_relation(version: Version) -> bool:
    return isinstance(version.link, Relation) and not version.link.synonym


def _is_synonym(version: Version) -> bool:
    return isinstance(version.link, Relation) and version.link.synonym


def _relations(ties: Iterable[Tie]) -> list[Relation]:
    return [tie.link for tie in ties if isinstance(tie.link, Relation)]


def _entities(
    counted: Sequence[tuple[str, int, int]], synonyms: Sequence[Relation]
) -> list[Entity]:
    aliased = {normalised(end) for relation in synonyms for end in relation.ends}
    spelled: dict[str, str] = {}
    counts: dict[str, tuple[int, int]] = {}
    for name, relations, facts in counted:
        folded = normalised(name)
        spelled[folded] = name
        if relations or facts or folded in aliased:
            counts[folded] = (relations, facts)
    return entities_of(counts, synonyms, spelled)
