"""What was recorded is enough to decide again: the same answers, clock and neighbours give the same
events, ids aside.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

import msgspec
from attrs import define
from hypothesis import given

from remembrancer.application.inline import run_inline
from remembrancer.application.parsing.request import RememberRequest, Turn
from remembrancer.application.prompting.model_call import request_digest
from remembrancer.application.remember.neighbours import FoundNeighbours
from remembrancer.domain.errors import AdapterUnavailable, ModelError
from remembrancer.domain.events import (
    CandidatesSettled,
    Event,
    InferenceRecorded,
    MessageObserved,
    Outcome,
    PipelineDescribed,
)
from remembrancer.domain.facts.fact import FactId, FactKey
from remembrancer.domain.ports.language_model import Completion, Prompt
from remembrancer.domain.recorded import CorrelationId, Recorded
from tests.helpers.histories import DOWN, Call, completion, histories, lived, world

_ID = re.compile(r"[0-9a-f]{32}")


@define
class RecordedModel:
    """Answers a question as it was answered."""

    answers: Mapping[str, deque[InferenceRecorded]]
    model: str = "whim"

    async def complete(self, prompt: Prompt) -> Completion:
        waiting = self.answers.get(request_digest(prompt))
        if not waiting:
            # If it was answered when it was recorded, the events differ
            raise DOWN
        event = waiting.popleft()
        if "error" in event.parameters:
            raise ModelError("refused")
        return completion(
            event.output if event.output == "nonsense" else msgspec.json.decode(event.output)
        )


@define
class RecordedNeighbours:
    """Finds the facts that were found."""

    facts: Any
    names: dict[str, str]
    settled: CandidatesSettled | None = None

    async def __call__(self, candidates: Sequence[Any], **_named: Any) -> FoundNeighbours:
        assert self.settled is not None
        assert len(candidates) == len(self.settled.candidates)
        facts = await self.facts.load(list(map(self._key, self.settled.known)))
        return FoundNeighbours(
            same={fact.fact_id: (fact, 0.0) for fact in facts[: self.settled.shared]},
            near=[
                {facts[at].fact_id: (facts[at], similarity) for at, similarity in each.neighbours}
                for each in self.settled.candidates
            ],
        )

    def _key(self, place: str) -> FactKey:
        fact_id, version = place.split("@")
        return FactId(self.names[fact_id]), int(version)


def replayed(history: Sequence[Recorded]) -> tuple[list[Recorded], list[Recorded]]:
    """The events that were decided, and those of their replay."""
    groups = [
        list(group) for _, group in groupby(history, lambda i: (i.correlation_id, i.recorded_at))
    ]
    answers: dict[str, deque[InferenceRecorded]] = defaultdict(deque)
    for group in groups:
        if not any(isinstance(item.event, CandidatesSettled) for item in group):
            continue
        for item in group:
            if isinstance(item.event, InferenceRecorded) and item.event.outcome is not Outcome.LOST:
                answers[item.event.request_digest].append(item.event)
    names: dict[str, str] = {}
    finders: list[RecordedNeighbours] = []

    def finder(facts: Any) -> RecordedNeighbours:
        finders.append(RecordedNeighbours(facts=facts, names=names))
        return finders[0]

    there = world(RecordedModel(answers=answers), first_id=10**9, neighbours=finder)
    expected: list[Recorded] = []
    again: list[Recorded] = []
    for group in groups:
        settled = [i.event for i in group if isinstance(i.event, CandidatesSettled)]
        observed = [i.event for i in group if isinstance(i.event, MessageObserved)]
        if not settled and not observed:
            continue
        kept = [item for item in group if _part_of_a_decision(item.event)]
        before = run_inline(there.log.last_position())
        there.clock.time = settled[0].decided_at if settled else group[0].recorded_at
        there.embedder.down = bool(settled) and not settled[0].embedded
        finders[0].settled = settled[0] if settled else None
        if observed:
            run_inline(there.remember.observe(_as_asked(observed, group[0].actor)))
        else:
            correlation = CorrelationId(names[group[0].correlation_id])
            with suppress(AdapterUnavailable, ModelError):
                run_inline(there.remember.finish(correlation, actor=group[0].actor))
        expected += kept
        made = [item for item in there.events(before) if _part_of_a_decision(item.event)]
        for mine, theirs in zip(kept, made, strict=True):
            names[mine.correlation_id] = theirs.correlation_id
            names.update(zip(_ids(mine), _ids(theirs), strict=True))
        again += made
    return expected, again


def _part_of_a_decision(event: Event) -> bool:
    """Not so calls that another writer made useless, and the pipeline, which comes once."""
    lost = isinstance(event, InferenceRecorded) and event.outcome is Outcome.LOST
    return not lost and not isinstance(event, PipelineDescribed)


def _ids(item: Recorded) -> list[str]:
    return [item.event_id, *_ID.findall(item.payload.decode())]


def _as_asked(observed: Sequence[MessageObserved], actor: str) -> RememberRequest:
    first = observed[0]
    return RememberRequest(
        scope=first.message.scope,
        turns=[
            Turn(
                role=each.message.role,
                text=each.message.text,
                name=each.message.name,
                occurred_at=each.message.occurred_at,
                metadata=each.message.metadata,
            )
            for each in observed
        ],
        metadata=first.metadata,
        expires_at=first.expires_at,
        infer=first.extract,
        actor=actor,
    )


def renamed(history: Sequence[Recorded]) -> list[tuple[str, str, str | None, str]]:
    """Type, actor, cause and content of events, each id replaced by its first appearance."""
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"id{len(names)}")

    return [
        (
            item.type_name,
            item.actor,
            _ID.sub(name, item.causation_id or ""),
            _ID.sub(name, f"{item.event_id} {item.payload.decode()}"),
        )
        for item in history
    ]


@given(histories)
def test_recorded_decisions_replay_to_the_same_events(history: list[Call]) -> None:
    expected, again = replayed(lived(history).events())
    assert renamed(again) == renamed(expected)
