"""Verification of the store in memory: its read models against others that are built anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.usage_store import InMemoryUsageStore
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.audit.chain import ChainCheck
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import Findings
from remembrancer.domain.audit.jobs import refuse_processes
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.audit.recorded_chain import event_row, ledger_row
from remembrancer.domain.ports.inspection import Progress
from remembrancer.domain.recall.documents import context_for, document_of
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId

FACTS = Table(name="facts", projection="facts", columns=("versions",))
PENDING = Table(name="pending", projection="facts")
PIPELINES = Table(name="pipelines", projection="facts")
LINKS = Table(name="links", projection="graph", columns=("versions",))
USAGE = Table(name="usage", projection="usage", columns=("total",))
DOCUMENTS = Table(name="documents", projection="index", columns=("document",))
VECTORS = Table(name="documents", projection="index", columns=("vector",))


@frozen(kw_only=True)
class InMemoryInspection:
    """``Inspection`` of the store in memory."""

    log: InMemoryAuditLog
    facts: InMemoryFactStore
    index: InMemoryVectorIndex
    graph: InMemoryKnowledgeGraph
    usage: InMemoryUsageStore

    def check(
        self, *, chain: bool, jobs: int, embedder: Any, progress: Progress | None
    ) -> Findings:
        """See ``Inspection.check``."""
        refuse_processes(jobs)
        findings = Findings()
        total = self.log.last_position()
        # Writers wait: nothing here is large.
        with self.log.lock:
            for name in self.log.ledgers(limit=total + 1):
                self._ledger(name, findings, chain=chain, embedder=embedder)
                if progress is not None:
                    progress(findings.checked["events"], total)
        if embedder is None and not chain:
            findings.skip("vectors", "the embedder does not compute in this process")
        return findings

    def _ledger(self, name: LedgerId, findings: Findings, *, chain: bool, embedder: Any) -> None:
        items = self.log.read_ledger(name, limit=self.log.head(name).version)
        check = ChainCheck(ledger_row(name, self.log.head(name)), findings)
        fold = LedgerFold(name, findings)
        check.feed(map(event_row, items))
        fold.apply(items)
        check.finish(fold.erasures)
        findings.checked["events"] += len(items)
        findings.checked["ledgers"] += 1
        if not chain:
            self._models(fold, items, Comparison(findings, name))
            self._documents(fold, Comparison(findings, name), embedder)

    def _models(self, fold: LedgerFold, items: Sequence[Recorded], comparison: Comparison) -> None:
        state, usage = self.facts.state(fold.ledger), InMemoryUsageStore()
        usage.apply(items)
        _compare(comparison, FACTS, fold.state.facts, state.facts)
        _compare(comparison, LINKS, fold.links.history, self.graph.history(fold.ledger))
        _compare(
            comparison,
            USAGE,
            {(total.purpose, total.model): total for total in usage.totals(fold.ledger)},
            {(total.purpose, total.model): total for total in self.usage.totals(fold.ledger)},
        )
        pending = {key for key, each in fold.messages.items() if each.pending}
        comparison.listed(PENDING, pending, state.pending)
        comparison.listed(PIPELINES, fold.pipelines, state.pipelines)
        checked = comparison.findings.checked
        checked["facts"] += len(state.facts)
        checked["links"] += sum(map(len, fold.links.history.values()))

    def _documents(self, fold: LedgerFold, comparison: Comparison, embedder: Any) -> None:
        held = self.index.documents(fold.ledger)
        wanted = {
            fact.key: document_of(
                fact,
                context=context_for(fact, fold),
                vector=held[fact.key].vector if fact.key in held else None,
            )
            for fact in fold.indexed()
        }
        _compare(comparison, DOCUMENTS, wanted, held)
        embedded = [document for document in held.values() if document.vector is not None]
        if embedder is not None and embedded:
            vectors = embedder.embed([document.text for document in embedded], "document")
            for document, vector in zip(embedded, vectors, strict=True):
                comparison.row(VECTORS, document.key, (vector,), (document.vector,))
            comparison.findings.checked["vectors"] += len(embedded)
        comparison.findings.checked["documents"] += len(held)


def _compare(
    comparison: Comparison,
    table: Table,
    expected: Mapping[Any, object],
    found: Mapping[Any, object],
) -> None:
    comparison.keyed(
        table,
        {key: (value,) for key, value in expected.items()},
        ((key, (value,)) for key, value in found.items()),
    )
