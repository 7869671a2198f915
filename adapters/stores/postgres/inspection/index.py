"""Check the index of one ledger on PostgreSQL. The rows that must be there are sent to the server,
which compares them with the functions that it would store them with.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from remembrancer.adapters.stores.postgres.sessions import Connection, Reader
from remembrancer.adapters.stores.postgres.vector_index.terms import written_terms
from remembrancer.adapters.stores.postgres.vector_index.writing import (
    BATCH,
    Storage,
    differing_documents,
    differing_wordings,
    row_of,
    vector_of,
)
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import Findings
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.recall.documents import context_for, document_of

OpenStorage: TypeAlias = Callable[[Reader], Awaitable[Storage]]


@frozen(kw_only=True)
class IndexInspection:
    """Checks the index rows of one ledger, in one snapshot.

    Args:
        connection: in a reading transaction.
        storage: the tables and the model.
        embedder: computes vectors again; ``None`` if it is not to.
        findings: gets the faults.
    """

    connection: Connection
    storage: Storage
    embedder: Any
    findings: Findings

    async def check(self, fold: LedgerFold) -> None:
        """Check the index of a ledger against its fold."""
        t = self.storage.tables
        comparison = Comparison(self.findings, fold.ledger)
        facts = {fact.key: fact for fact in fold.indexed()}
        found = await self._select(
            f"SELECT id, documents, text_length, context_length FROM {t.ledger} WHERE name = %s",
            fold.ledger,
        )
        if not found:
            if facts:
                comparison.missing(Table(name=t.ledger, projection="index"), fold.ledger)
            return
        number = found[0][0]
        await self._documents(fold, facts, number, comparison)
        await self._sums(found[0], comparison)
        self.findings.checked["documents"] += len(facts)

    async def _select(self, sql: str, *parameters: object) -> Sequence[Any]:
        return await (await self.connection.execute(sql, parameters)).fetchall()

    async def _documents(
        self, fold: LedgerFold, facts: dict[Any, Fact], number: int, comparison: Comparison
    ) -> None:
        t = self.storage.tables
        table = Table(name=t.document, projection="index")
        models = await self._select(
            f"SELECT id FROM {t.model} WHERE name = %s AND dimension = %s",
            self.storage.model,
            self.storage.dimension,
        )
        model = models[0][0] if models else None
        stored = await self._select(
            f"SELECT fact_id, version, vector IS NOT NULL FROM {t.document} WHERE ledger = %s",
            number,
        )
        embedded = {(fact_id, version): held for fact_id, version, held in stored}
        comparison.listed(table, facts, embedded)
        keys = [key for key in facts if key in embedded]
        for start in range(0, len(keys), BATCH):
            terms = written_terms()
            some = [facts[key] for key in keys[start : start + BATCH]]
            vectors = await self._vectors([fact for fact in some if embedded[fact.key]])
            rows = []
            for fact in some:
                document = document_of(fact, context=context_for(fact, fold), vector=None)
                row = row_of(document, number, terms) | {"held": embedded[fact.key], "model": None}
                row["model"] = model if embedded[fact.key] else None
                if fact.key in vectors:
                    row |= vector_of(self.storage, vectors[fact.key], model or 0)
                rows.append(row)
            sent = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
            for name, sql in (
                (t.document, differing_documents(self.storage)),
                (t.wording, differing_wordings(t)),
            ):
                for fact_id, version, *columns in await self._select(sql, sent):
                    differs = Table(name=name, projection="index")
                    wrong = next((column for column in columns if column), None)
                    comparison.value(
                        differs, (fact_id, version), wrong or "id", "that of the log", "another"
                    )

    async def _vectors(self, facts: Sequence[Fact]) -> dict[Any, Any]:
        if self.embedder is None or not facts:
            return {}
        vectors = self.embedder.embed([fact.text for fact in facts], "document")
        self.findings.checked["vectors"] += len(facts)
        return {
            fact.key: np.asarray(vector, np.float32)
            for fact, vector in zip(facts, vectors, strict=True)
        }

    async def _sums(self, row: Sequence[Any], comparison: Comparison) -> None:
        t, number = self.storage.tables, row[0]
        columns = ("documents", "text_length", "context_length")
        ((documents, text_length, context_length),) = await self._select(
            f"SELECT count(*), coalesce(sum(text_length), 0)::bigint, "
            f"coalesce(sum(context_length), 0)::bigint FROM {t.wording} WHERE ledger = %s",
            number,
        )
        comparison.row(
            Table(name=t.ledger, projection="index", columns=columns),
            f"id {number}",
            (documents, text_length, context_length),
            tuple(row[1:4]),
        )
        names = Table(name=t.name, projection="index")
        wanted = await self._select(
            f"SELECT DISTINCT name, id FROM {t.wording}, unnest(names) AS named (name) "
            "WHERE ledger = %s",
            number,
        )
        held = await self._select(f"SELECT name, document FROM {t.name} WHERE ledger = %s", number)
        comparison.listed(names, list(map(tuple, wanted)), list(map(tuple, held)))
