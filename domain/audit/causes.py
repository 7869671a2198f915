"""Read one append: which event made which version of a fact, and which candidate led to it."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from remembrancer.domain.events import (
    CandidatesSettled,
    Event,
    EventId,
    FactAdded,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    InferenceRecorded,
    PayloadErased,
    SettledCandidate,
)
from remembrancer.domain.facts.evolve import LedgerState, changes_of, fact_id_of, fact_ids_of
from remembrancer.domain.facts.fact import Fact, FactId, FactKey
from remembrancer.domain.facts.verdicts import Decision
from remembrancer.domain.recorded import Recorded

_MADE_BY: Mapping[Decision, type[Event]] = {
    Decision.ADD: FactAdded,
    Decision.SUPERSEDE: FactAdded,
    Decision.REVISE: FactRevised,
    Decision.REAFFIRM: FactReaffirmed,
    Decision.RETRACT: FactRetracted,
}
_FIRST = frozenset(kind.type_name for kind in _MADE_BY.values())


def makers(
    append: Sequence[Recorded], versions: Mapping[FactId, Sequence[Fact]]
) -> dict[FactKey, Recorded]:
    """The event that made each version of some facts, within one append.

    Args:
        append: all of its events, in order.
        versions: all versions of the facts, and of those that were their rivals.
    """
    at = append[0].recorded_at
    state = LedgerState(
        facts={
            fact_id: tuple(fact for fact in history if fact.updated_at < at)
            for fact_id, history in versions.items()
        }
    )
    made: dict[FactKey, Recorded] = {}
    for item in append:
        if versions.keys().isdisjoint(fact_ids_of(item.event)):
            continue
        changes = changes_of(item.event, at, state.latest, state.at_version)
        state.changed(changes)
        made.update((change.after.key, item) for change in changes)
    return made


@frozen
class Chosen:
    """A candidate of a settlement: the event of the settlement, and the place in it."""

    item: Recorded
    place: int

    @property
    def settlement(self) -> CandidatesSettled:
        """The settlement."""
        assert isinstance(self.item.event, CandidatesSettled), "made from one"
        return self.item.event

    @property
    def candidate(self) -> SettledCandidate:
        """The candidate."""
        return self.settlement.candidates[self.place]


def candidates_of(append: Sequence[Recorded]) -> dict[EventId, Chosen]:
    """The candidate that led to each event of an append.

    A settlement is followed by the events of its candidates in their order, and the first event of
    each is known by its type and fact. Events behind an erased one belong to nobody.
    """
    found: dict[EventId, Chosen] = {}
    settled: Recorded | None = None
    current: Chosen | None = None
    first: dict[tuple[type[Event], FactId | None], deque[int]] = {}
    for item in append:
        if isinstance(item.event, CandidatesSettled):
            settled, current, first = item, None, _first_events(item.event)
        elif settled is not None:
            places = first.get((type(item.event), fact_id_of(item.event)))
            if places and not _is_taken_over(item.event):
                current = Chosen(settled, places.popleft())
            elif isinstance(item.event, PayloadErased) and item.type_name in _FIRST:
                current = None
            if current is not None:
                found[item.event_id] = current
    return found


def _first_events(
    settlement: CandidatesSettled,
) -> dict[tuple[type[Event], FactId | None], deque[int]]:
    """By the type and the fact of an event: the places of the candidates that it may begin."""
    first: dict[tuple[type[Event], FactId | None], deque[int]] = defaultdict(deque)
    for place, candidate in enumerate(settlement.candidates):
        kind = _MADE_BY.get(candidate.decision)
        if kind is not None:
            about = candidate.fact_id if kind is FactAdded else candidate.target
            first[kind, about].append(place)
    return first


def _is_taken_over(event: Event) -> bool:
    """Whether a revision is what a reaffirmation takes over."""
    return isinstance(event, FactRevised) and event.text is None


def items_of(output: str) -> Sequence[Any]:
    """The list in a model's answer; empty if there is none. An answer may have any form."""
    start, end = output.find("{"), output.rfind("}")
    for text in (output, output[start : end + 1]):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            continue
        values = list(parsed.values()) if isinstance(parsed, dict) else [parsed]
        return next((value for value in values if isinstance(value, list)), ())
    return ()


def decisions_about(
    place: int, event: InferenceRecorded, answer: Sequence[object]
) -> Iterator[Mapping[str, Any]]:
    """The items of a comparison's answer that decide about a candidate.

    Args:
        place: the place of the candidate in its settlement.
        event: the comparison.
        answer: ``items_of`` its output.
    """
    numbers = {number for number, shown in event.shown.items() if shown == f"candidate {place}"}
    for each in answer:
        if isinstance(each, Mapping) and str(each.get("new")) in numbers:
            yield each
