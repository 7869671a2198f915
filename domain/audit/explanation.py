"""Explain the versions of a fact from what was read of the log. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from attrs import evolve, field, frozen

from remembrancer.domain.audit.causes import (
    Chosen,
    candidates_of,
    decisions_about,
    items_of,
    makers,
)
from remembrancer.domain.audit.provenance import (
    Compared,
    Ended,
    Inference,
    Quote,
    Replaced,
    Settlement,
    Why,
    WhyStep,
)
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import (
    EventId,
    FactAdded,
    FactCorrected,
    FactReaffirmed,
    FactsRivalled,
    FactSuperseded,
    InferenceRecorded,
    MessageObserved,
    PayloadErased,
)
from remembrancer.domain.facts.evolve import fact_ids_of
from remembrancer.domain.facts.fact import Evidence, Fact, FactId, FactKey, FactStatus, MessageId
from remembrancer.domain.places import fact_of
from remembrancer.domain.recorded import CorrelationId, Recorded
from remembrancer.domain.scope import Scope


@frozen(kw_only=True)
class Traced:
    """A version of a fact, the event that made it, and what led to that event.

    ``item`` is ``None`` if the event is not known; ``cause`` is the event that it names as its
    cause, if that was read; ``inferences`` are those of the candidate and of the comparison.
    """

    fact: Fact
    evidence: tuple[Evidence, ...] = ()
    item: Recorded | None = None
    cause: Recorded | None = None
    chosen: Chosen | None = None
    inferences: tuple[Recorded, ...] = ()

    @property
    def lacks_cause(self) -> bool:
        """Whether the event names a cause that was not read."""
        return self.item is not None and self.item.causation_id is not None and self.cause is None


def trace(
    told: Sequence[Fact],
    appends: Mapping[datetime, Sequence[Recorded]],
    histories: Mapping[FactId, Sequence[Fact]],
    requests: Mapping[CorrelationId, Sequence[Recorded]],
) -> list[Traced]:
    """Follow each version to its event and what led to it.

    Args:
        told: versions of one fact, oldest first.
        appends: the appends that made them, by their time.
        histories: all versions of the fact and of its rivals.
        requests: all events of some requests, for causes in an earlier append.
    """
    made: dict[FactKey, Recorded] = {}
    chosen: dict[EventId, Chosen] = {}
    for append in appends.values():
        made |= makers(append, histories) if append else {}
        chosen |= candidates_of(append)
    events = {
        item.event_id: item for read in (*appends.values(), *requests.values()) for item in read
    }
    traces = []
    before: tuple[Evidence, ...] = ()
    for fact in told:
        item = made.get(fact.key)
        candidate = chosen.get(item.event_id) if item else None
        traces.append(
            Traced(
                fact=fact,
                evidence=tuple(each for each in fact.evidence if each not in before),
                item=item,
                cause=events.get(item.causation_id) if item and item.causation_id else None,
                chosen=candidate,
                inferences=tuple(events[each] for each in _inferences(candidate) if each in events),
            )
        )
        before = fact.evidence
    return traces


def _inferences(chosen: Chosen | None) -> list[EventId]:
    """The inferences that a candidate came from, and the one that compared it."""
    if chosen is None:
        return []
    settlement = chosen.settlement
    named = [
        settlement.inferences[source.inference]
        for source in chosen.candidate.sources
        if source.inference < len(settlement.inferences)
    ]
    if settlement.reconciled_by is not None:
        named.append(settlement.reconciled_by)
    return list(dict.fromkeys(named))


@frozen(kw_only=True)
class Sources:
    """What an explanation refers to.

    ``scope`` is that of the caller (``None``: it may see all). ``messages`` are the messages that
    were found, ``facts`` the versions. ``erased`` are the requests with an erased message.
    """

    scope: Scope | None = None
    messages: Mapping[MessageId, Message] = field(factory=dict)
    facts: Mapping[FactKey, Fact] = field(factory=dict)
    erased: frozenset[CorrelationId] = frozenset()

    def shows(self, scope: Scope) -> bool:
        """Whether the caller may see what belongs to ``scope``."""
        return self.scope is None or self.scope.covers(scope)

    def text_of(self, key: FactKey) -> str | None:
        """The text of a version that the caller may see."""
        fact = self.facts.get(key)
        return fact.text if fact is not None and self.shows(fact.scope) else None


def replaced_by(
    traces: Sequence[Traced], appends: Mapping[datetime, Sequence[Recorded]]
) -> dict[FactId, Recorded]:
    """The facts that the explained one took the place of, with the event that says so."""
    if not traces:
        return {}
    fact_id = traces[0].fact.fact_id
    found: dict[FactId, Recorded] = {}
    for item in (each for append in appends.values() for each in append):
        event = item.event
        by = getattr(event, "by", None) if isinstance(event, FactSuperseded) else None
        if isinstance(event, FactCorrected) and event.status is FactStatus.SUPERSEDED:
            by = event.superseded_by
        if by == fact_id and isinstance(event, FactSuperseded | FactCorrected):
            found.setdefault(event.fact_id, item)
    return found


def neighbours_of(chosen: Chosen) -> Iterator[tuple[FactKey, float]]:
    """The facts that a candidate was compared with, each with its similarity, nearest first."""
    settlement, candidate = chosen.settlement, chosen.candidate
    near = dict.fromkeys(range(settlement.shared), 0.0)
    near |= {each.known: each.similarity for each in candidate.neighbours}
    for known, similarity in sorted(near.items(), key=lambda pair: -pair[1]):
        if known < len(settlement.known):
            yield fact_of(settlement.known[known]), similarity


def explain(
    traces: Sequence[Traced],
    sources: Sources,
    *,
    replaced: Sequence[tuple[Recorded, Sequence[Fact]]],
    ended_by: Fact | None,
) -> Why:
    """Put the explanation together.

    Args:
        traces: of every version up to the explained one.
        sources: what they refer to.
        replaced: the versions, up to then, of each fact that the explained one took the place
            of, with the event that says so.
        ended_by: the fact that took its place.
    """
    inferences = {item.event_id: item for each in traces for item in each.inferences}
    fact = traces[-1].fact
    return Why(
        fact=evolve(fact, evidence=tuple(_masked(each, sources) for each in fact.evidence)),
        versions=tuple(_step(each, sources) for each in traces if each.item is not None),
        inferences=tuple(_inference(item, traces, sources) for item in inferences.values()),
        replaced=tuple(_replaced(item, earlier, sources) for item, earlier in replaced),
        ended=_ended(traces, ended_by, sources),
        gaps=tuple(dict.fromkeys(gap for each in traces for gap in _gaps(each, sources))),
    )


def _masked(item: Evidence, sources: Sources) -> Evidence:
    """Evidence without the words of a message that the caller may not see."""
    message = sources.messages.get(item.message_id)
    hidden = message is not None and not sources.shows(message.scope)
    return evolve(item, quote=None) if hidden else item


def _step(traced: Traced, sources: Sources) -> WhyStep:
    fact, item = traced.fact, traced.item
    assert item is not None
    return WhyStep(
        version=fact.version,
        text=fact.text,
        status=fact.status,
        event_id=item.event_id,
        position=item.position,
        recorded_at=item.recorded_at,
        actor=item.actor,
        correlation_id=item.correlation_id,
        type=item.type_name,
        reason=fact.reason,
        statement=fact.statement,
        evidence=tuple(
            _quote(each, sources, erased=item.correlation_id in sources.erased)
            for each in traced.evidence
        ),
        inferences=tuple(each.event_id for each in traced.inferences),
        decision=None if traced.chosen is None else _settlement(traced.chosen, sources),
    )


def _quote(item: Evidence, sources: Sources, *, erased: bool = False) -> Quote:
    message = sources.messages.get(item.message_id)
    if message is None:
        return Quote(message_id=item.message_id, erased=erased)
    if not sources.shows(message.scope):
        return Quote(message_id=item.message_id)
    return Quote(
        message_id=item.message_id,
        speaker=message.speaker,
        occurred_at=message.occurred_at,
        text=message.text,
        quote=item.quote,
    )


def _settlement(chosen: Chosen, sources: Sources) -> Settlement:
    settlement, candidate = chosen.settlement, chosen.candidate
    return Settlement(
        event_id=chosen.item.event_id,
        decision=candidate.decision,
        decided_at=settlement.decided_at,
        embedded=settlement.embedded,
        target=candidate.target,
        also_ended=candidate.also_ended,
        refused=candidate.refused,
        dropped=candidate.dropped,
        neighbours=tuple(
            Compared(
                fact_id=key[0], version=key[1], similarity=similarity, text=sources.text_of(key)
            )
            for key, similarity in neighbours_of(chosen)
        ),
    )


def _inference(item: Recorded, traces: Sequence[Traced], sources: Sources) -> Inference:
    event = item.event
    if not isinstance(event, InferenceRecorded):
        return Inference(event_id=item.event_id, erased=True)
    seen = _may_see(event, sources)
    return Inference(
        event_id=item.event_id,
        purpose=event.purpose,
        model=event.model,
        prompt=str(event.parameters.get("prompt", "")),
        prompt_digest=event.prompt_digest,
        request_digest=event.request_digest,
        pipeline=event.pipeline,
        outcome=event.outcome,
        shown=event.shown,
        output=event.output if seen else None,
        items=tuple(_items(item, event, traces)) if seen and event.asked else (),
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        latency=event.latency,
        cost=event.cost,
    )


def _may_see(event: InferenceRecorded, sources: Sources) -> bool:
    """Whether all that the answer may speak of is the caller's."""
    if sources.scope is None:
        return True
    messages = [sources.messages.get(each) for each in (*event.seen, *event.messages)]
    facts = [sources.facts.get(fact_of(place)) for place in event.shown.values() if "@" in place]
    return all(each is not None and sources.shows(each.scope) for each in (*messages, *facts))


def _items(item: Recorded, event: InferenceRecorded, traces: Sequence[Traced]) -> Iterator[object]:
    """The items of an answer that are about the explained fact."""
    answer = items_of(event.output)
    # A candidate may have made several versions.
    chosen = {
        (each.chosen.item.event_id, each.chosen.place): each.chosen
        for each in traces
        if each.chosen
    }
    for each in chosen.values():
        if each.settlement.reconciled_by == item.event_id:
            yield from decisions_about(each.place, event, answer)
        for source in each.candidate.sources:
            named = each.settlement.inferences[source.inference : source.inference + 1]
            if named == (item.event_id,) and source.item < len(answer):
                yield answer[source.item]


def _replaced(item: Recorded, history: Sequence[Fact], sources: Sources) -> Replaced:
    last = history[-1]
    shown = sources.shows(last.scope)
    quotes = [_quote(each, sources) for each in wording(history)] if shown else []
    return Replaced(
        fact_id=last.fact_id,
        version=last.version,
        text=last.text if shown else None,
        said=next((each for each in quotes if each.text is not None), None),
        why=getattr(item.event, "reason", ""),
    )


def wording(history: Sequence[Fact]) -> list[Evidence]:
    """The evidence that came with the text of the last of some versions."""
    before: tuple[Evidence, ...] = ()
    found, text = [], None
    for fact in history:
        if fact.text != text:
            found = [each for each in fact.evidence if each not in before]
        before, text = fact.evidence, fact.text
    return found


def _ended(traces: Sequence[Traced], by: Fact | None, sources: Sources) -> Ended | None:
    last = traces[-1].fact
    if last.status is FactStatus.ACTIVE:
        return None
    since = traces[-1]
    for earlier in reversed(traces):
        if (earlier.fact.status, earlier.fact.superseded_by) != (last.status, last.superseded_by):
            break
        since = earlier
    return Ended(
        status=last.status,
        recorded_at=since.fact.updated_at,
        actor=since.item.actor if since.item else "",
        why=since.fact.reason,
        by=last.superseded_by,
        text=by.text if by is not None and sources.shows(by.scope) else None,
    )


_CAUSED = (FactAdded, FactReaffirmed, FactsRivalled)


def _gaps(traced: Traced, sources: Sources) -> Iterator[str]:
    version = f"version {traced.fact.version}"
    item = traced.item
    if item is None:
        yield f"the event that made {version} is not in the log, or was erased"
        return
    if traced.lacks_cause:
        yield f"the event that led to {version} is not in the log"
    caused = isinstance(item.event, _CAUSED) or getattr(item.event, "by", None) is not None
    if item.causation_id is None and caused:
        yield f"the record does not say what led to {version}"
    if traced.cause is not None and traced.chosen is None and not fact_ids_of(traced.cause.event):
        yield f"the decision that led to {version} is not recorded"
    for each in traced.inferences:
        if isinstance(each.event, PayloadErased):
            yield f"the answer of the model that led to {version} was erased"
        elif isinstance(each.event, InferenceRecorded) and not _may_see(each.event, sources):
            yield f"the answer of the model that led to {version} also speaks of another scope"
    for evidence in traced.evidence:
        yield from _gap(evidence, version, item, sources)


def _gap(evidence: Evidence, version: str, item: Recorded, sources: Sources) -> Iterator[str]:
    message = sources.messages.get(evidence.message_id)
    if message is None:
        erased = item.correlation_id in sources.erased
        what = "was erased" if erased else "is not in this ledger"
        yield f"message {evidence.message_id}, which {version} cites, {what}"
    elif not sources.shows(message.scope):
        yield f"message {evidence.message_id}, which {version} cites, belongs to another scope"


def erased_messages(request: Iterable[Recorded]) -> bool:
    """Whether a message of a request was erased."""
    return any(
        isinstance(item.event, PayloadErased) and item.type_name == MessageObserved.type_name
        for item in request
    )
