"""Verify a store that offers no inspection, through the ports that reads use."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from remembrancer.domain.audit.chain import ChainCheck
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import LOG, RESTORE, Fault, FaultKind, Findings
from remembrancer.domain.audit.jobs import refuse_processes
from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.audit.recorded_chain import event_row, ledger_row
from remembrancer.domain.errors import Erased, IntegrityError
from remembrancer.domain.graph.graph import Link, LinkKey
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.inspection import Progress
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.ports.vector_index import VectorIndex
from remembrancer.domain.recorded import Head
from remembrancer.domain.scope import LedgerId

PAGE = 1000

FACTS = Table(name="facts", projection="facts")
LINKS = Table(name="links", projection="graph")
DOCUMENTS = Table(name="documents", projection="index", columns=("count",))


@frozen(kw_only=True)
class PortInspection:
    """``Inspection`` of any store: the log, all versions of facts and links, and the number of
    documents.

    Args:
        log: the log.
        facts: the facts.
        links: the graph.
        index: the index.
    """

    log: AuditLog
    facts: FactStore
    links: LinkHistory
    index: VectorIndex

    async def check(
        self, *, chain: bool, jobs: int, embedder: Any, progress: Progress | None
    ) -> Findings:
        """See ``Inspection.check``; ``jobs`` and ``embedder`` are not used."""
        refuse_processes(jobs)
        findings = Findings()
        total, after = await self.log.last_position(), None
        while names := await self.log.ledgers(after, PAGE):
            for name in names:
                await self._ledger(name, findings, chain=chain)
                if progress is not None:
                    progress(findings.checked["events"], total)
            after = names[-1]
        events, last = findings.checked["events"], await self.log.last_position()
        # An append meanwhile may or may not be counted.
        if not total <= events <= last and not findings.faults:
            findings.fault(
                Fault(
                    kind=FaultKind.SEQUENCE_DIFFERS,
                    projection=LOG,
                    expected=f"{events} events",
                    found=f"a last position of {last}",
                    help=RESTORE,
                )
            )
        if not chain:
            findings.skip(
                "rows of the store",
                "it offers no inspection; only what its ports return is compared",
            )
        return findings

    async def _ledger(self, name: LedgerId, findings: Findings, *, chain: bool) -> None:
        head = await self.log.head(name)
        check, fold = ChainCheck(ledger_row(name, head), findings), LedgerFold(name, findings)
        version = 0
        findings.checked["ledgers"] += 1
        while version < head.version:
            try:
                page = await self.log.read_ledger(name, version, min(PAGE, head.version - version))
            except Erased as error:
                findings.skip(f"the contents of {name}", str(error))
                return
            except IntegrityError as error:
                findings.fault(
                    Fault(
                        kind=FaultKind.UNREADABLE,
                        projection=LOG,
                        ledger=name,
                        found=str(error)[:300],
                        help=RESTORE,
                    )
                )
                return
            check.feed(map(event_row, page))
            fold.apply(page)
            findings.checked["events"] += len(page)
            if not page:
                break
            version = page[-1].version
        check.finish(fold.erasures)
        if not chain:
            await self._models(fold, head, findings)

    async def _models(self, fold: LedgerFold, head: Head, findings: Findings) -> None:
        own = Findings()
        comparison = Comparison(own, fold.ledger)
        for fact_id, versions in fold.state.facts.items():
            if tuple(await self.facts.versions(fact_id)) != versions:
                comparison.value(FACTS, fact_id, "versions", "those of the log", "others")
        tally = await self.facts.tally(fold.ledger)
        if sum(tally.facts.values()) != len(fold.state.facts):
            comparison.value(
                FACTS, "all", "count", len(fold.state.facts), sum(tally.facts.values())
            )
        held: dict[LinkKey, list[Link]] = {}
        for link in await self.links.versions(fold.ledger):
            held.setdefault(link.key, []).append(link)
        for key in {**fold.links.history, **held}:
            if held.get(key) != fold.links.history.get(key):
                comparison.value(LINKS, key, "versions", "those of the log", "others")
        documents = sum(1 for _ in fold.indexed())
        comparison.row(DOCUMENTS, "all", (documents,), (await self.index.count(fold.ledger),))
        own.checked["facts"] += len(fold.state.facts)
        own.checked["links"] += sum(map(len, fold.links.history.values()))
        # Differences are no faults if a write came between the reads.
        if own.faults and (await self.log.head(fold.ledger)).version != head.version:
            return
        findings.add(own)
