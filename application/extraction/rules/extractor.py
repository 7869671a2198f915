"""The extractor without a model: every sentence with content becomes a candidate.

It splits messages into sentences, skips questions, small talk, system messages and tool results
(all listed in ``skipped`` with a reason), and keeps the other sentences word for word: none is
rephrased, merged or summarised, so "she" stays "she". A short answer is kept with its question.
Text that is not the speaker's own stays whole (``passages``). It adds the speaker, names, kind,
date and slot of a sentence. The other modules of this package state their limits. Most rules are
for English; words of change exist for the languages of ``languages``; text in another language is
still split into sentences and kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, time
from typing import Any, NamedTuple

from attrs import evolve

from remembrancer.application.extraction.procedure import MOST_STEPS, Procedure, candidate_of
from remembrancer.application.extraction.rules import answers, dates, entities, slots
from remembrancer.application.extraction.rules.chitchat import reason_to_skip
from remembrancer.application.extraction.rules.clauses import clauses_of
from remembrancer.application.extraction.rules.kinds import kind_of
from remembrancer.application.extraction.rules.passages import is_own, sentences_in
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.fact import Evidence, FactId, FactKind, Interval
from remembrancer.domain.facts.verdicts import Candidate, Skipped, Source
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.ports.extractor import (
    EXTRACTION,
    IGNORED,
    PROCEDURE,
    Extraction,
    skipped_as_json,
)

_NOT_SAID = {Role.SYSTEM: "system message", Role.TOOL: "tool message"}


class RulesExtractor:
    """An ``Extractor`` made of rules. It keeps no state."""

    never_suspends = True
    local = True

    @property
    def name(self) -> str:
        """Name and version; the number changes with the results of the rules."""
        return "rules-2"

    @property
    def description(self) -> Mapping[str, Any]:
        """The name; there are no settings."""
        return {"name": self.name}

    @property
    def prompts(self) -> Mapping[str, str]:
        """No prompts."""
        return {}

    @property
    def kept_image_bytes(self) -> int:
        """0: images are not described."""
        return 0

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Split the messages into candidates and skipped sentences. Guidance is ignored."""
        names = _names(messages)
        candidates: list[Candidate] = []
        skipped = _images(messages)
        asking: _Question | None = None
        for message in messages:
            for place, (sentence, reason) in enumerate(_judged(message, names)):
                if (
                    place == 0
                    and asking is not None
                    and _answered(asking, message, sentence, names)
                ):
                    candidates.append(
                        _candidate(message, sentence, names, ids, len(candidates), asking)
                    )
                elif reason is None:
                    candidates += _candidates(message, sentence, names, ids, len(candidates))
                else:
                    skipped.append(
                        Skipped(message_id=message.message_id, text=sentence, reason=reason)
                    )
            question = answers.question_in(message)
            asking = None if question is None else _Question(message, question)
        return Extraction(
            candidates=tuple(candidates),
            skipped=tuple(skipped),
            inferences=(self._record(EXTRACTION, messages, skipped, guidance),),
        )

    async def recount(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Extract a procedure word for word: the user's first sentence is the task, every statement
        of the agent is a step. Guidance is ignored.
        """
        names = _names(messages)
        skipped = _images(messages)
        task: list[Evidence] = []
        steps: list[Evidence] = []
        for message in messages:
            for sentence, reason in _judged(message, names):
                said = Evidence(message_id=message.message_id, quote=sentence)
                asked = message.role is Role.USER and not task
                # A task may be a question.
                if asked and reason in (None, "question"):
                    task.append(said)
                    continue
                if reason is None and message.role is Role.USER:
                    reason = "not a step of the agent"
                if reason is None and len(steps) == MOST_STEPS:
                    reason = f"beyond {MOST_STEPS} steps"
                if reason is None:
                    steps.append(said)
                else:
                    skipped.append(
                        Skipped(message_id=message.message_id, text=sentence, reason=reason)
                    )
        candidates = [_procedure(messages, task, steps, names, ids)] if steps else []
        candidates = [evolve(each, sources=(Source(0, 0),)) for each in candidates]
        return Extraction(
            candidates=tuple(candidates),
            skipped=tuple(skipped),
            inferences=(self._record(PROCEDURE, messages, skipped, guidance),),
        )

    def _record(
        self,
        purpose: str,
        messages: Sequence[Message],
        skipped: Sequence[Skipped],
        guidance: Guidance | None,
    ) -> InferenceRecorded:
        return InferenceRecorded(
            purpose=purpose,
            model=self.name,
            prompt_digest="",
            parameters={IGNORED: list(guidance.named)} if guidance is not None else {},
            output=skipped_as_json(skipped),
            messages=tuple(message.message_id for message in messages),
        )


def _names(messages: Sequence[Message]) -> frozenset[str]:
    return frozenset(message.name for message in messages if message.name)


def _images(messages: Sequence[Message]) -> list[Skipped]:
    return [
        Skipped(
            message_id=message.message_id,
            text=image.label,
            reason="an image; describing it takes a language model",
        )
        for message in messages
        for image in message.images
    ]


def _procedure(
    messages: Sequence[Message],
    task: Sequence[Evidence],
    steps: Sequence[Evidence],
    names: Collection[str],
    ids: IdSource,
) -> Candidate:
    lines = [item.quote or "" for item in (*task, *steps)]
    return candidate_of(
        Procedure(task=lines[0] if task else None, steps=tuple(lines[len(task) :])),
        messages,
        fact_id=ids.new(),
        evidence=(*task, *steps),
        names=names,
        metadata={},
    )


def _judged(message: Message, names: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """The sentences of a message, each with the reason to skip it or ``None``."""
    reason = _NOT_SAID.get(message.role)
    for sentence in sentences_in(message.text):
        yield sentence, reason or reason_to_skip(sentence, names)


class _Question(NamedTuple):
    """The question at the end of a message."""

    message: Message
    text: str


def _answered(asking: _Question, message: Message, sentence: str, names: Collection[str]) -> bool:
    return (
        message.role not in _NOT_SAID
        and message.speaker != asking.message.speaker
        and answers.answers(asking.text, sentence, names)
    )


def _candidates(
    message: Message, sentence: str, names: Collection[str], ids: IdSource, first: int
) -> Iterator[Candidate]:
    for place, text in enumerate(clauses_of(sentence, message.speaker), first):
        yield _candidate(message, text, names, ids, place, None)


def _candidate(
    message: Message,
    said: str,
    names: Collection[str],
    ids: IdSource,
    place: int,
    asking: _Question | None,
) -> Candidate:
    evidence = [Evidence(message_id=message.message_id, quote=said)]
    text = said
    if asking is not None:
        text = answers.joined(asking.text, said)
        evidence.append(Evidence(message_id=asking.message.message_id, quote=asking.text))
    own = is_own(said)
    reading = slots.read(text, message.speaker)
    dated = dates.resolve(said, message.occurred_at) if own else None
    return Candidate(
        fact_id=FactId(ids.new()),
        scope=message.scope,
        text=text,
        occurred_at=message.occurred_at,
        kind=kind_of(
            said,
            role=message.role,
            said_at=message.occurred_at,
            dated=dated,
            answers=reading is not None,
        )
        if own
        else FactKind.SEMANTIC,
        metadata=message.metadata,
        evidence=tuple(evidence),
        speaker=message.speaker,
        entities=_entities(message, text, names),
        slot=None if reading is None else reading.slot,
        valid=Interval(start=_start(message.occurred_at, dated)),
        sources=(Source(inference=0, item=place),),
        agent_only=message.role is Role.ASSISTANT,
    )


def _entities(message: Message, text: str, names: Collection[str]) -> tuple[str, ...]:
    speaker = (message.name,) if message.name else ()
    return tuple(dict.fromkeys((*speaker, *entities.names_in(text, names))))


def _start(said_at: datetime, dated: dates.Dated | None) -> datetime:
    """The start of the valid interval: the date in the text, else the time of the message."""
    if dated is None:
        return said_at
    return datetime.combine(dated.start, time(), tzinfo=said_at.tzinfo)
