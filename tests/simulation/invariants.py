"""What must hold at the end of every simulation, once nothing fails and nothing is under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from remembrancer import Store
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.read_models import InMemoryReadModels
from remembrancer.adapters.stores.memory.usage_store import InMemoryUsageStore
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.events import (
    CandidatesSettled,
    InferenceRecorded,
    MessageObserved,
    Outcome,
)
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recorded import Recorded
from tests.simulation.chronicle import Chronicle, Edit, Foul, Told
from tests.simulation.faults import FlakyGraph, FlakyIndex


class Tables:
    """The read models that a log must have: made anew from its events alone."""

    def __init__(self, chronicle: Chronicle, embedder: HashingEmbedder) -> None:
        self.facts, self.index = InMemoryFactStore(), InMemoryVectorIndex()
        self.graph, self.usage = InMemoryKnowledgeGraph(), InMemoryUsageStore()
        models = InMemoryReadModels(
            self.facts,
            self.index,
            lambda texts: dict(zip(texts, embedder.embed(texts, "document"), strict=True)),
            [self.graph, self.usage],
        )
        for item in chronicle.recorded:
            models.apply([item])


def documents(index: InMemoryVectorIndex) -> dict[FactKey, Document]:
    """All documents of an index in memory."""
    return {
        key: entry.document for ledger in index._ledgers.values() for key, entry in ledger.items()
    }


def links(graph: InMemoryKnowledgeGraph) -> dict[str, Any]:
    """All links of a graph in memory, with their versions."""
    return {ledger: held.history for ledger, held in graph._ledgers.items() if held.history}


def check_tables(chronicle: Chronicle, store: Store, tables: Tables) -> None:
    """The tables equal the fold of the log.

    Raises:
        Foul: they do not.
    """
    log: list[Recorded] = []
    while page := store.audit_log.read(len(log), 1000):
        log += page
    if log != chronicle.recorded:
        raise Foul("order", "the log is not what was appended to it")
    for ledger, states in chronicle.states.items():
        for fact_id, versions in states[-1].facts.items():
            if tuple(store.fact_store.versions(fact_id)) != versions:
                raise Foul("fold", f"{ledger}: {fact_id} is not what the log says")
        if store.fact_store.tally(ledger) != tables.facts.tally(ledger):
            raise Foul("fold", f"{ledger}: the counts of facts are not what the log says")
        if store.usage_store.totals(ledger) != tables.usage.totals(ledger):
            raise Foul("fold", f"{ledger}: the usage is not what the log says")
        if store.vector_index.count(ledger) != tables.index.count(ledger):
            raise Foul("fold", f"{ledger}: the index is not what the log says")
    if isinstance(store.vector_index, InMemoryVectorIndex):
        _same("fold", documents(store.vector_index), documents(tables.index))
        _same("fold", links(store.knowledge_graph), links(tables.graph))


def _same(kind: str, found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
    if found != expected:
        keys = [key for key in {**expected, **found} if found.get(key) != expected.get(key)]
        first = keys[0]
        raise Foul(
            kind,
            f"{len(keys)} differ, first {first}:\n  has {found.get(first)}\n"
            f"  not {expected.get(first)}",
        )


def check_index(index: FlakyIndex, tables: Tables) -> None:
    """An external index holds the newest version of every document.

    Raises:
        Foul: it holds another one.
    """
    expected, found = documents(tables.index), documents(index.held)
    _same("newest delivery", found, expected)


def check_graph(graph: FlakyGraph, tables: Tables) -> None:
    """An external graph holds every link.

    Raises:
        Foul: it does not.
    """
    _same("newest delivery", links(graph.held), links(tables.graph))


def check_requests(chronicle: Chronicle) -> None:
    """Every request was carried out once, if it was acknowledged, and else at most once.

    Raises:
        Foul: one was not, or was twice.
    """
    by_told: dict[object, list[Recorded]] = {}
    reasons: dict[str, set[str]] = {}
    for item in chronicle.recorded:
        event = item.event
        if isinstance(event, MessageObserved):
            by_told.setdefault(event.metadata.get("told"), []).append(item)
        reason = getattr(event, "reason", "")
        reasons.setdefault(reason, set()).add(item.correlation_id)
    by_request: dict[str, list[Recorded]] = {}
    for item in chronicle.recorded:
        by_request.setdefault(item.correlation_id, []).append(item)
    for told in chronicle.told:
        _check_told(told, by_told.get(told.number, []), by_request)
    for edit in chronicle.edits:
        _check_edit(edit, reasons.get(edit.reason, set()))


def _check_told(
    told: Told, observed: list[Recorded], requests: Mapping[str, list[Recorded]]
) -> None:
    # Messages that are stored word for word have their metadata on their fact alone.
    correlation = None if told.receipt is None else told.receipt.correlation_id
    if len(observed) != 1:
        raise Foul("exactly once", f"{told.text!r} was observed {len(observed)} times")
    if observed[0].correlation_id != correlation:
        raise Foul("exactly once", f"{told.text!r} was acknowledged as {correlation}")
    events = [item.event for item in requests[observed[0].correlation_id]]
    settled = sum(isinstance(event, CandidatesSettled) for event in events)
    message_id = observed[0].event.message.message_id  # type: ignore[attr-defined]
    drawn = sum(
        isinstance(event, InferenceRecorded)
        and event.outcome is Outcome.USED
        and message_id in event.messages
        for event in events
    )
    if settled != 1 or drawn != told.infer:
        raise Foul(
            "exactly once", f"{told.text!r} was extracted {drawn} times and settled {settled} times"
        )


def _check_edit(edit: Edit, requests: set[str]) -> None:
    allowed = {"done": (1,), "nothing": (0,), "refused": (0,)}.get(edit.outcome, (0, 1))
    if len(requests) not in allowed:
        raise Foul("exactly once", f"{edit} is in the log {len(requests)} times")


def check_used_keys(recorded: list[Recorded]) -> None:
    """No event is in the log twice.

    Raises:
        Foul: one is.
    """
    twice = [key for key, times in Counter(item.event_id for item in recorded).items() if times > 1]
    if twice:
        raise Foul("exactly once", f"events {twice} are in the log twice")
