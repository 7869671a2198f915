"""Verify a PostgreSQL schema: the log, the read models, and the positions.

Each ledger is checked in one snapshot, so that writers may go on. What only the server can compare
(``tsvector``, ``jsonb``, vectors) is compared there; see ``index``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from attrs import frozen

from remembrancer.adapters.damage import DAMAGE, damaged
from remembrancer.adapters.stores.postgres.fact_store import PostgresFactScripts
from remembrancer.adapters.stores.postgres.inspection.index import IndexInspection, OpenStorage
from remembrancer.adapters.stores.postgres.inspection.schema import SchemaInspection
from remembrancer.adapters.stores.postgres.knowledge_graph import PostgresGraphScripts
from remembrancer.adapters.stores.postgres.position_assignment import number_all
from remembrancer.adapters.stores.postgres.sessions import Connection, Sessions
from remembrancer.adapters.stores.shared import usage_scripts
from remembrancer.adapters.stores.shared.event_rows import decoded
from remembrancer.adapters.stores.shared.fact_scripts import MESSAGE
from remembrancer.adapters.stores.shared.ledger_rows import Appends, LedgerRows, check_requests
from remembrancer.domain.audit.chain import ChainCheck, EventRow, StoredLedger
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import (
    LOG,
    RESTORE,
    Fault,
    FaultKind,
    Findings,
    made_otherwise,
)
from remembrancer.domain.audit.jobs import refuse_processes
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.errors import Erased, IntegrityError, InvalidRequest
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.inspection import Progress
from remembrancer.domain.scope import LedgerId

PAGE = 1_000
"""Events, or ledgers, that one statement reads."""

_LEDGERS = (
    "SELECT id, name, version, hash, recorded_at, uuid_send(handle), requests FROM ledger "
    "WHERE id > %s AND version > 0 ORDER BY id LIMIT %s"
)
_EVENTS = (
    "SELECT version, version, uuid_send(event_id), recorded_at, uuid_send(correlation_id), "
    "uuid_send(causation_id), actor, type, schema_version, payload, salt, payload_digest, "
    "previous_hash, hash FROM event WHERE ledger_id = %s AND version > %s "
    "ORDER BY version LIMIT %s"
)

_GRAPH = PostgresGraphScripts()
_FACT_COLUMNS = ", ".join(
    {"body": "body::text", "metadata": "metadata::text"}.get(name, name)
    for name in PostgresFactScripts.columns
)

_SAMES: Mapping[str, str] = {
    # Every event has its key, and every place its events.
    "event_key": "SELECT coalesce(event.event_id, key.event_id)::text FROM event "
    "FULL JOIN event_key AS key ON (key.event_id, key.ledger_id, key.version) = "
    "(event.event_id, event.ledger_id, event.version) "
    "WHERE event.event_id IS NULL OR key.event_id IS NULL",
    "place": "SELECT last_position::text FROM (SELECT *, "
    "lag(last_position, 1, 0::bigint) OVER (ORDER BY last_position) AS before, "
    "lag(last_version, 1, 0::bigint) OVER (PARTITION BY ledger_id ORDER BY last_version) "
    "AS earlier FROM place) AS numbered WHERE first_position <> before + 1 "
    "OR first_version <> earlier + 1 "
    "OR last_position - first_position <> last_version - first_version",
    "ledger": "SELECT name FROM ledger WHERE version <> coalesce((SELECT max(last_version) "
    "FROM place WHERE ledger_id = ledger.id), 0) AND NOT waiting()",
}
_ORPHANS: Mapping[str, str] = {
    "evidence": "SELECT message_id || ' ' || fact_id FROM evidence AS cited WHERE NOT EXISTS ("
    "SELECT FROM fact WHERE fact_id = cited.fact_id "
    "AND position(cited.message_id IN body::text) > 0)",
    "graph_mention": "SELECT fact::text FROM graph_mention WHERE name NOT IN "
    "(SELECT id FROM graph_name)",
    **{
        table: f"SELECT DISTINCT ledger_id::text FROM {table} "
        "WHERE ledger_id NOT IN (SELECT id FROM ledger)"
        for table in (
            *("event", "request", "fact", "message", "pipeline", "usage"),
            *("graph_name", "graph_relation", "graph_fact"),
        )
    },
}


class PostgresInspection:
    """``Inspection`` of a PostgreSQL schema.

    Args:
        sessions: the database.
        codec: decodes the events.
        storage: opens the index's storage on a connection.
        fingerprints: returns the fingerprint of each read model, by name.
    """

    def __init__(
        self,
        sessions: Sessions,
        codec: Codec,
        storage: OpenStorage,
        fingerprints: Callable[[], dict[str, str]],
    ) -> None:
        self._sessions = sessions
        self._codec = codec
        self._storage = storage
        self._fingerprints = fingerprints
        self.never_suspends = sessions.never_suspends

    async def check(
        self, *, chain: bool, jobs: int, embedder: Any, progress: Progress | None
    ) -> Findings:
        """See ``Inspection.check``."""
        refuse_processes(jobs)
        findings = Findings()
        await number_all(self._sessions)
        stored = await self._rows("SELECT name, fingerprint FROM projection")
        fingerprints = self._fingerprints()
        made_with = dict(stored).get("index")
        indexed = chain or made_with in (fingerprints["index"], None)
        ((total,),) = await self._rows("SELECT coalesce(sum(version), 0)::bigint FROM ledger")
        after = 0
        while ledgers := await self._rows(_LEDGERS, (after, PAGE)):
            for row in ledgers:
                await self._ledger(row, findings, chain, embedder, indexed=indexed)
                if progress is not None:
                    progress(findings.checked["events"], total)
            after = ledgers[-1][0]
        await self._whole(findings, chain=chain)
        if not indexed:
            findings.skip("the index", made_otherwise(made_with, fingerprints["index"]))
            fingerprints = {**fingerprints, "index": str(made_with)}
        elif embedder is None and not chain:
            findings.skip("vectors", "the embedder does not compute in this process")
        if not chain:
            table = Table(name="projection", projection="checkpoints", columns=("fingerprint",))
            Comparison(findings).keyed(
                table,
                {name: (value,) for name, value in fingerprints.items()},
                ((name, (value,)) for name, value in stored),
            )
        return findings

    async def _rows(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[Any]:
        async with self._sessions.reader() as connection:
            return await (await connection.execute(sql, parameters)).fetchall()

    async def _ledger(
        self, row: Sequence[Any], findings: Findings, chain: bool, embedder: Any, *, indexed: bool
    ) -> None:
        async with self._sessions.reader() as connection:
            # Read again: writers may have gone on.
            found = await (await connection.execute(_LEDGERS, (row[0] - 1, 1))).fetchall()
            ledger = _stored(found[0])
            check = _Check(connection, self._codec, findings, ledger)
            fold = await check.log(chain=chain)
            if chain or fold is None:
                return
            await check.models(fold)
            if indexed:
                storage = await self._storage(connection)
                await IndexInspection(
                    connection=connection, storage=storage, embedder=embedder, findings=findings
                ).check(fold)

    async def _whole(self, findings: Findings, *, chain: bool) -> None:
        for table, sql in _SAMES.items():
            for (key,) in await self._rows(sql):
                findings.fault(
                    Fault(
                        kind=FaultKind.POSITION_GAP,
                        projection=LOG,
                        table=table,
                        key=key,
                        help=RESTORE,
                    )
                )
        if chain:
            return
        for table, sql in _ORPHANS.items():
            for (key,) in await self._rows(sql):
                Comparison(findings).surplus(Table(name=table, projection="facts"), key)
        async with self._sessions.reader() as connection:
            whole = SchemaInspection(connection, self._sessions.schema, Comparison(findings))
            await whole.functions()
            await whole.deliveries()


_DAMAGED: tuple[type[Exception], ...] = (IntegrityError, *DAMAGE)


def _parsed(document: str) -> Any:
    """A ``jsonb`` value; equal ones may be written otherwise."""
    return json.loads(document, parse_float=Decimal, parse_int=Decimal)


class _FactScripts(PostgresFactScripts):
    def row(self, ledger_id: int, fact: Fact) -> tuple[object, ...]:
        *columns, metadata = super().row(ledger_id, fact)
        assert isinstance(metadata, str)
        return (*columns, _parsed(metadata))


def _stored(row: Sequence[Any]) -> StoredLedger:
    number, name, version, hashed, recorded_at, handle, requests = row
    return StoredLedger(
        id=number,
        name=LedgerId(name),
        version=version,
        hash=hashed,
        recorded_at=recorded_at,
        handle=handle,
        requests=requests,
    )


@frozen
class _Check:
    """The check of one ledger in one snapshot."""

    connection: Connection
    codec: Codec
    findings: Findings
    ledger: StoredLedger

    async def log(self, *, chain: bool) -> LedgerFold | None:
        """Check the log. Returns its fold; ``None`` if it can't be made."""
        ledger = self.ledger
        check, fold = ChainCheck(ledger, self.findings), LedgerFold(ledger.name, self.findings)
        requests = await self._select(
            "SELECT key, first_version, last_version FROM request WHERE ledger_id = %s "
            "ORDER BY first_version, key"
        )
        appends = Appends({first for _, first, _ in requests})
        readable, version = True, 0
        while page := await self._page(version):
            check.feed(page)
            appends.feed(page)
            if readable and (not chain or any("erased" in row[7] for row in page)):
                readable = self._apply(fold, page)
            self.findings.checked["events"] += len(page)
            version = page[-1][1]
        appends.close()
        check.finish(fold.erasures)
        check_requests(ledger, requests, appends, self.findings)
        self.findings.checked["ledgers"] += 1
        if not (readable or chain):
            self.findings.skip(f"the read models of {ledger.name}", "an event can't be read")
        return fold if readable else None

    async def _page(self, after: int) -> Sequence[EventRow]:
        cursor = await self.connection.execute(_EVENTS, (self.ledger.id, after, PAGE))
        return await cursor.fetchall()

    async def _select(self, sql: str) -> Sequence[Any]:
        return await (await self.connection.execute(sql, (self.ledger.id,))).fetchall()

    def _apply(self, fold: LedgerFold, page: Sequence[EventRow]) -> bool:
        named = [
            (row[0], self.ledger.name, self.ledger.handle, *row[1:])
            for row in page
            if row[9] is not None
        ]
        try:
            fold.apply(decoded(named, self.codec, bytes.hex))
        except (Erased, InvalidRequest) as error:
            self.findings.skip(f"the contents of {self.ledger.name}", str(error))
            return False
        except _DAMAGED as error:
            typed = error if isinstance(error, IntegrityError) else damaged("table event", error)
            self.findings.fault(
                Fault(
                    kind=FaultKind.UNREADABLE,
                    projection=LOG,
                    table="event",
                    column="payload",
                    ledger=self.ledger.name,
                    found=str(typed)[:300],
                    help=RESTORE,
                )
            )
            return False
        return True

    async def models(self, fold: LedgerFold) -> None:
        """Check every read model except the index."""
        rows = LedgerRows(
            ledger=self.ledger.id,
            fold=fold,
            comparison=Comparison(self.findings, self.ledger.name),
            facts=_FactScripts(self.codec),
            graph=_GRAPH,
        )
        of_ledger = "WHERE ledger_id = %s"
        facts = await self._select(f"SELECT {_FACT_COLUMNS} FROM fact {of_ledger}")
        missing, surplus = rows.fact((*row[:-1], _parsed(row[-1])) for row in facts)
        owners: dict[Any, int] = {}
        for key in missing:
            cursor = await self.connection.execute(
                "SELECT ledger_id FROM fact WHERE fact_id = %s AND version = %s", list(key)
            )
            for (owner,) in await cursor.fetchall():
                owners[key] = owner
        rows.lost(missing, surplus, owners)
        rows.message(
            "version",
            await self._select(f"SELECT version, {', '.join(MESSAGE)} FROM message {of_ledger}"),
        )
        digests = await self._select(f"SELECT digest FROM pipeline {of_ledger}")
        rows.pipeline(digest for (digest,) in digests)
        cursor = await self.connection.execute(
            "SELECT message_id, fact_id FROM evidence WHERE message_id = ANY(%s)",
            (sorted({message_id for message_id, _ in fold.evidence}),),
        )
        rows.evidence(await cursor.fetchall())
        columns = ", ".join(usage_scripts.COLUMNS)
        rows.usage(await self._select(f"SELECT {columns} FROM usage {of_ledger}"))
        node = rows.node(
            rows.name(await self._select(f"SELECT folded, name, id FROM graph_name {of_ledger}"))
        )
        rows.relation(
            await self._select(
                f"SELECT {_GRAPH.relation_columns} FROM graph_relation {of_ledger} ORDER BY id"
            ),
            node,
        )
        needed = rows.mention(
            await self._select(
                f"SELECT {_GRAPH.mention_columns} FROM graph_fact {of_ledger} ORDER BY id"
            ),
            node,
        )
        rows.mentioned(
            needed,
            await self._select(
                "SELECT mention.name, mention.made_by, mention.fact FROM graph_name AS name "
                "JOIN graph_mention AS mention ON mention.name = name.id "
                "WHERE name.ledger_id = %s"
            ),
        )
