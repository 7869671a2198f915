"""Search: parse the query, collect candidates, rank them, apply threshold and limit.

Candidates come from the index (keywords and vectors) and from the graph (relations of the entities
in the query).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from remembrancer.application.embedding import NO_VECTOR, Embedding
from remembrancer.application.projections.readiness import Readiness
from remembrancer.application.recall.checked_hits import CheckedHits, checked_hits
from remembrancer.application.recall.past_facts import READ, score_facts
from remembrancer.application.recall.read_fallback import ReadFallback
from remembrancer.application.recall.rerank import Reranking
from remembrancer.application.recall.results import Results
from remembrancer.application.recall.rival_order import newest_rival_first
from remembrancer.application.recall.scope_hint import scope_hint
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, ListedStatus, Metadata
from remembrancer.domain.filters.ast import Filter
from remembrancer.domain.graph.graph import View
from remembrancer.domain.graph.relevance import Lead, leads
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.fact_store import FactQuery, FactStore
from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph
from remembrancer.domain.ports.vector_index import (
    Hit,
    IndexQuery,
    SearchedIndex,
    tells_missing_vectors,
)
from remembrancer.domain.recall.abstaining import is_answered
from remembrancer.domain.recall.permission import permits
from remembrancer.domain.recall.query import Query, understand
from remembrancer.domain.recall.ranking import Ranked, Weights, in_turn, rank, reordered
from remembrancer.domain.recorded import Head
from remembrancer.domain.scope import Scope

CANDIDATES = 50
"""Candidates per signal before fusion. On LoCoMo, 20 cost 0.1 points of recall@10 and 10 cost more
than 1 point; 100 or more gain nothing."""

IN_TURN = 30
"""Facts that are loaded to see who answered whom, the best ones. On LoCoMo 30 to 100 do equally
well."""

ROUNDS = 3
"""Searches of the index, if hits had to be dropped and too few are left."""

HEADS = 10
"""Searches, if appends to the ledger keep replacing hits."""

WIDER = 4
"""Factor between the candidates of one round and of the next."""

STEPS = 2
"""Depth of the graph walk from an entity in the query: "Ann's sister", and where she works."""

WALKED = 250
"""Maximum of relations in the graph walk, nearest first."""


@frozen(kw_only=True)
class RecallRequest:
    """A search, already checked.

    ``now`` equals ``as_of`` if a caller gave it. (A search of the present is pinned to the last
    event of the ledger, which another clock may have recorded later than ``now``.) ``threshold``:
    minimum score in [0, 1]. ``abstain``: return nothing if the best fact is no answer.
    ``status``: see ``Fact.listed``. ``rerank``: ``None`` reranks if there
    is a reranker.
    """

    scope: Scope
    query: str
    now: datetime
    where: Filter | None = None
    limit: int = 10
    threshold: float | None = None
    as_of: datetime | None = None
    valid_at: datetime | None = None
    status: ListedStatus | None = None
    explain: bool = False
    rerank: bool | None = None
    abstain: bool = False


@frozen(kw_only=True)
class ScoredFact:
    """A fact with its score in [0, 1].

    With ``explain``: ``signals`` are the parts of the score, ``path`` is the path in the graph that
    led to the fact, such as ``Ann -[sister]-> Eve -[works at]-> Acme``; ``None``: no path.
    """

    fact: Fact
    score: float
    signals: Mapping[str, float] | None = None
    path: str | None = None

    @property
    def id(self) -> FactId:
        """The id of the fact."""
        return self.fact.fact_id

    @property
    def text(self) -> str:
        """The text of the fact."""
        return self.fact.text

    @property
    def metadata(self) -> Metadata:
        """The metadata of the fact."""
        return self.fact.metadata

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        explained: dict[str, Any] = {}
        if self.signals is not None:
            explained = {"signals": to_jsonable(self.signals), "path": self.path}
        return {"score": self.score, **explained, "fact": self.fact.to_dict()}


@frozen(kw_only=True)
class SearchResult(Results[ScoredFact]):
    """Facts, best first. ``reranked_by`` names the model that computed the scores, if any.

    ``abstained``: the search was told to abstain, and the answer is not known: there are no facts.
    ``hint``: what may be wrong with the ids of a search that found nothing.

    ``degraded`` names the missing signals (``similarity``, ``graph``, ``reranker``), and the
    external engines that were replaced by the log's own database because they lag or do not answer
    (``vector_index``, ``knowledge_graph``). ``similarity`` is also named if a document of the
    ledger has no vector. ``vector_index`` is also named if the index returned facts that this
    search may not return (they were left out), or is damaged: it must be rebuilt.
    """

    results: tuple[ScoredFact, ...]
    degraded: tuple[str, ...] = ()
    reranked_by: str | None = None
    abstained: bool = False
    hint: str | None = None

    @property
    def _items(self) -> tuple[ScoredFact, ...]:
        return self.results

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {
            "results": [result.to_dict() for result in self.results],
            "degraded": list(self.degraded),
            "reranked_by": self.reranked_by,
            "abstained": self.abstained,
            "hint": self.hint,
        }


@frozen(kw_only=True)
class _Candidates:
    """The parsed query and the hits of one index.

    ``compared``: by similarity, with all documents.
    """

    query: Query
    hits: list[Hit]
    compared: bool


@frozen(kw_only=True)
class _Round:
    """The candidates of one search of index and graph, ranked.

    ``names``: the speakers that the question names. ``complete``: the index has no other
    candidates.
    """

    ranked: list[Ranked]
    names: tuple[str, ...]
    leads: Mapping[FactId, Lead]
    degraded: tuple[str, ...]
    complete: bool


class Recall:
    """The read path.

    Args:
        log: the log, for the head of a ledger.
        facts: the facts read model.
        index: candidates by keywords and vectors.
        graph: candidates by relations.
        embedding: vectors of queries.
        readiness: refuses searches of the index of another embedder.
        weights: weight of each signal in the score.
        reranking: reranks the best candidates, if given.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        facts: FactStore,
        index: ReadFallback[SearchedIndex],
        graph: ReadFallback[KnowledgeGraph],
        embedding: Embedding,
        readiness: Readiness,
        weights: Weights = Weights(),
        reranking: Reranking | None = None,
    ) -> None:
        self._log = log
        self._facts = facts
        self._index = index
        self._graph = graph
        self._embedding = embedding
        self._readiness = readiness
        self._weights = weights
        self._reranking = reranking

    async def __call__(self, request: RecallRequest) -> SearchResult:
        """Search.

        Raises:
            AdapterUnavailable: the index or the facts did not answer.
            InvalidRequest: ``rerank`` is true, and there is no reranker; or another embedder or
                release made the index.
        """
        self._readiness.require_same_settings()
        reranking = self._reranking_for(request)
        depth = request.limit if reranking is None else reranking.depth(request.limit)
        request, last, checked, moved = await self._at_the_head(request, depth)
        found = in_turn(checked.ranked, checked.facts, weights=self._weights)[:depth]
        degraded = last.degraded
        # A head in the lead of another clock is another reason for a hit that does not fit: then
        # the index was asked about all times.
        timely = request.as_of is None or request.as_of <= request.now
        if (checked.wrong and timely and not moved) or self._readiness.damaged:
            degraded = tuple(dict.fromkeys((*degraded, "vector_index")))
        if request.abstain and not is_answered(found, last.names):
            return SearchResult(
                results=(),
                degraded=degraded,
                abstained=True,
                hint=None if found else await self._hint(request),
            )
        reranked_by = None
        if reranking is not None and found:
            texts = [checked.facts[item.hit.key] for item in found]
            relevances = await reranking(request.query, texts)
            if relevances is None:
                degraded += ("reranker",)
            else:
                found = reordered(found, relevances)
                reranked_by = reranking.model
        found, facts = await newest_rival_first(
            found, checked.facts, read=request, query=request.query, store=self._facts
        )
        results = _results(found, facts, last.leads, request)
        return SearchResult(
            results=results,
            degraded=degraded,
            reranked_by=reranked_by,
            hint=None if found else await self._hint(request),
        )

    async def _hint(self, request: RecallRequest) -> str | None:
        return await scope_hint(request.scope, now=request.now, log=self._log, facts=self._facts)

    async def _at_the_head(
        self, asked: RecallRequest, depth: int
    ) -> tuple[RecallRequest, _Round, CheckedHits, bool]:
        """Search as of the head of the ledger, again if an append came in between: its new versions
        replace hits of this search.

        Returns:
            The request with its time, the last round, the hits, and whether the head moved.
        """
        for _ in range(HEADS):
            head = await self._log.head(asked.scope.ledger)
            request = _pinned(asked, head)
            last, checked = await self._found(request, depth)
            moved = checked.wrong and await self._log.head(asked.scope.ledger) != head
            if not moved:
                break
        return request, last, checked, moved

    def _reranking_for(self, request: RecallRequest) -> Reranking | None:
        if request.rerank and self._reranking is None:
            raise InvalidRequest("rerank", "there is no reranker; choose one in reranker.provider")
        return None if request.rerank is False else self._reranking

    async def _found(self, request: RecallRequest, depth: int) -> tuple[_Round, CheckedHits]:
        """At least the best ``depth`` hits that the request may return. If hits are dropped, more
        candidates take their place.
        """
        limit = max(CANDIDATES, request.limit)
        for rounds_left in reversed(range(ROUNDS)):
            found = await self._round(request, limit)
            checked = await checked_hits(
                found.ranked, request, most=max(depth, IN_TURN), facts=self._facts
            )
            full = len(checked.ranked) >= depth
            if full or found.complete or not checked.dropped or not rounds_left:
                break
            limit *= WIDER
        return found, checked

    async def _round(self, request: RecallRequest, limit: int) -> _Round:
        if request.status not in (None, ListedStatus.ACTIVE):
            return await self._past_round(request)
        candidates, skipped = await self._index.ask(
            request.scope.ledger, lambda index: self._candidates(index, request, limit)
        )
        query, hits = candidates.query, candidates.hits
        found_leads, others = await self._graph_leads(request, query)
        lost = {"similarity": not candidates.compared, "graph": found_leads is None}
        found_leads = found_leads or {}
        return _Round(
            ranked=rank(
                [*hits, *await self._graph_hits(request, found_leads, hits)],
                query,
                weights=self._weights,
                graph={fact_id: lead.bearing for fact_id, lead in found_leads.items()},
            ),
            names=query.names,
            leads=found_leads,
            degraded=(*skipped, *others, *(name for name, gone in lost.items() if gone)),
            complete=len(hits) < limit,
        )

    async def _past_round(self, request: RecallRequest) -> _Round:
        """The facts of another status than the default: an index does not know all of them."""
        ledger = request.scope.ledger
        speakers, skipped = await self._index.ask(ledger, lambda index: index.speakers(ledger))
        query = understand(request.query, speakers=speakers)
        vector = await self._vector(query.text_for_embedding)
        facts = await self._facts.find(
            FactQuery(
                scope=request.scope,
                now=request.now,
                where=request.where,
                as_of=request.as_of,
                valid_at=request.valid_at,
                status=request.status,
                limit=READ,
            )
        )
        hits = await score_facts(facts, query, vector, self._embedding)
        return _Round(
            ranked=rank(hits, query, weights=self._weights, graph={}),
            names=query.names,
            leads={},
            degraded=(*skipped, *(() if vector is not None else ("similarity",))),
            complete=True,
        )

    async def _candidates(
        self, index: SearchedIndex, request: RecallRequest, limit: int
    ) -> _Candidates:
        speakers = await index.speakers(request.scope.ledger)
        query = understand(request.query, speakers=speakers)
        vector = await self._vector(query.text_for_embedding)
        # Before the search: a vector that arrives in between is only reported too early.
        lacking = tells_missing_vectors(index) and await index.lacks_vectors(request.scope.ledger)
        hits = await index.search(
            IndexQuery(
                scope=request.scope,
                text=query.text_for_keywords,
                vector=vector,
                where=request.where,
                now=request.now,
                as_of=_index_time(request),
                valid_at=request.valid_at,
                limit=limit,
            )
        )
        return _Candidates(query=query, hits=hits, compared=vector is not None and not lacking)

    async def _graph_leads(
        self, request: RecallRequest, query: Query
    ) -> tuple[dict[FactId, Lead] | None, tuple[str, ...]]:
        """The facts on graph paths from the entities in the query, and the skipped engine.

        ``None`` if no graph answers: the search continues with the index alone.
        """
        view = View(
            scope=request.scope,
            now=request.now,
            as_of=request.as_of,
            valid_at=request.valid_at,
            # The index finds facts that mention the same entities.
            mentions=False,
        )
        try:
            reached, skipped = await self._graph.ask(
                request.scope.ledger,
                lambda graph: graph.neighbours(view, query.entities, STEPS, WALKED),
            )
        except AdapterUnavailable:
            return None, ()
        seen = [item for item in reached if all(map(view.sees, item.path.links))]
        return {lead.fact_id: lead for lead in leads(seen, query.text)}, skipped

    async def _graph_hits(
        self, request: RecallRequest, found_leads: Mapping[FactId, Lead], hits: Sequence[Hit]
    ) -> list[Hit]:
        """Hits from the graph that the index did not return, within the request's scope, times and
        filter. Their keyword and vector signals are empty.
        """
        returned = {hit.key[0] for hit in hits}
        missing = [fact_id for fact_id in found_leads if fact_id not in returned][:CANDIDATES]
        return [
            Hit(
                key=fact.key,
                speaker=fact.speaker,
                occurred_at=fact.occurred_at,
                valid=fact.valid,
            )
            for fact_id in missing
            for fact in await self._facts.versions(fact_id)
            if permits(request, fact)
        ]

    async def _vector(self, text: str) -> Vector | None:
        """The vector of the query; ``None`` if the embedder fails: keywords are enough."""
        try:
            return await self._embedding.query(text)
        except NO_VECTOR:
            return None


def _pinned(request: RecallRequest, head: Head) -> RecallRequest:
    """Fix the transaction time of a search of the present: each fact has one version then."""
    if request.as_of is not None:
        return request
    return evolve(request, as_of=head.latest(request.now))


def _results(
    found: Sequence[Ranked],
    facts: Mapping[FactKey, Fact],
    found_leads: Mapping[FactId, Lead],
    request: RecallRequest,
) -> tuple[ScoredFact, ...]:
    least = request.threshold
    above = [item for item in found if least is None or item.score >= least]
    return tuple(
        ScoredFact(
            fact=facts[item.hit.key],
            score=item.score,
            signals=item.signals if request.explain else None,
            path=_path(found_leads.get(item.hit.key[0])) if request.explain else None,
        )
        for item in above[: request.limit]
    )


def _path(lead: Lead | None) -> str | None:
    return None if lead is None else str(lead.path)


def _index_time(request: RecallRequest) -> datetime | None:
    # A document ends when its fact expires, so an index asked about a time after ``now`` would
    # leave out facts that have not expired. Without ``as_of`` it finds more; loading leaves it out.
    return None if request.as_of is None or request.as_of > request.now else request.as_of
