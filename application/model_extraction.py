"""The extractor that asks a language model, and believes nothing that it can check.

One call per chunk, hence one for a conversation of ordinary size, and none where nothing but
niceties were exchanged. What the model answers is recorded as it came; ``model.checks`` decides
what becomes of it. System messages and tool results are not shown to the model.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

from memledger.application.extraction import Extraction
from memledger.application.guidance import Guidance
from memledger.application.model.asking import Question
from memledger.application.model.attribution import Voices
from memledger.application.model.checks import Checks, Limits, Refused
from memledger.application.model.chunking import LONGEST_CONTEXT, Chunk, Piece, chunks_of
from memledger.application.model.cleaning import storable
from memledger.application.model.drafts import FactDraft, drafts_in, facts_schema, items_of
from memledger.application.model.fencing import Fence
from memledger.application.prompting import PromptTemplate, prepare
from memledger.application.rules.chitchat import reason_to_skip
from memledger.application.rules.sentences import split
from memledger.domain.context import WEEKDAYS
from memledger.domain.conversation import Message, Role
from memledger.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from memledger.domain.events import InferenceRecorded
from memledger.domain.fact import Evidence, MessageId
from memledger.domain.ports.clock import IdSource
from memledger.domain.ports.language_model import Completion, LanguageModel
from memledger.domain.text import normalised
from memledger.domain.verdicts import Candidate, Skipped

PROMPT = "extraction-1"
CHECKS = "checks-1"
"""The name under which is recorded what was left out, and why."""

LONGEST_SHOWN = 200
"""Characters of what was left out that are repeated in a receipt."""

_LEAST = {
    "chunk_tokens": 200,
    "overlap": 0,
    "max_output_tokens": 1,
    "facts_per_message": 1,
    "fact_characters": 1,
}
_HIDDEN = {Role.SYSTEM: "system message", Role.TOOL: "tool result"}
_NICETIES = ("no words", "small talk")
_NOTHING = "the model found nothing to remember"


@frozen(kw_only=True)
class ExtractionSettings:
    """How a model extracts.

    ``instructions``, ``include``, ``exclude`` and ``categories`` are explained in ``Guidance``.
    A call shows at most ``chunk_tokens`` of conversation, and the last ``overlap`` messages
    before; it may answer with ``max_output_tokens``. ``agents_speak_for_users`` lets an assistant
    state facts about a user without a word of the user.
    """

    instructions: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    chunk_tokens: int = 3_000
    overlap: int = 2
    max_output_tokens: int = 4_096
    facts_per_message: int = 20
    fact_characters: int = 600
    agents_speak_for_users: bool = False

    @property
    def guidance(self) -> Guidance:
        """What is wanted in all calls."""
        return Guidance(
            instructions=self.instructions,
            include=self.include,
            exclude=self.exclude,
            categories=self.categories,
        )


@frozen(kw_only=True)
class _Found:
    """What has come together so far, in the order in which it was said."""

    candidates: dict[tuple[object, ...], Candidate] = field(factory=dict)
    skipped: list[Skipped] = field(factory=list)
    inferences: list[InferenceRecorded] = field(factory=list)
    done: set[MessageId] = field(factory=set)


class ModelExtractor:
    """An ``Extractor`` over a language model.

    Args:
        model: what is asked.
        settings: how.

    Raises:
        InvalidRequest: a number in the settings is too small to work with.
    """

    def __init__(self, model: LanguageModel, settings: ExtractionSettings | None = None) -> None:
        self._model = model
        self._settings = settings or ExtractionSettings()
        for name, least in _LEAST.items():
            value = getattr(self._settings, name)
            if value < least:
                raise InvalidRequest(f"extractor.{name}", f"expected {least} or more, got {value}")

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._model.model

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Find the candidates in messages of one scope.

        Args:
            messages: in the order in which they were said.
            ids: fresh ids.
            guidance: what this call wants, in place of what the settings say.

        Raises:
            InvalidRequest: the model can't be asked at all, as with a wrong key.
        """
        wanted = self._settings.guidance.refined(guidance)
        found = _Found()
        shown = list(_worth_showing(messages, found))
        failure = await self._ask(shown, wanted, ids, found) if shown else None
        return _extraction(messages, found, failure)

    async def _ask(
        self, messages: Sequence[Message], wanted: Guidance, ids: IdSource, found: _Found
    ) -> ModelError | AdapterUnavailable | None:
        """Ask about one chunk after the other, up to the first that fails."""
        settings = self._settings
        template = prepare(PROMPT, _guided(wanted))
        checks = Checks(
            voices=Voices.of(messages),
            limits=Limits(
                facts_per_message=settings.facts_per_message,
                fact_characters=settings.fact_characters,
                categories=wanted.categories,
                agents_speak_for_users=settings.agents_speak_for_users,
            ),
        )
        chunks = deque(chunks_of(messages, budget=settings.chunk_tokens, overlap=settings.overlap))
        while chunks:
            chunk = chunks.popleft()
            question = self._question(template, chunk, wanted)
            try:
                completion = await self._model.complete(question.prompt)
            except AdapterUnavailable as error:
                return error
            except ModelError as error:
                found.inferences.append(question.refused(self._model, error))
                return error
            items = items_of(completion.parsed, "facts")
            if chunk.splittable and _cut_off(completion, question):
                found.inferences.append(question.answered_in_vain(completion))
                chunks.extendleft(reversed(chunk.halves(settings.overlap)))
                continue
            if items is None:
                found.inferences.append(question.answered_in_vain(completion))
                return ModelError(
                    f"{completion.model}: answered with no list of facts; its answer is in the "
                    "ledger, the messages wait for another try"
                )
            _take(items, chunk, checks, ids, found)
            if _cut_off(completion, question):
                reason = f"the answer was cut off at {settings.max_output_tokens} tokens"
                found.skipped.append(_left_out(chunk.pieces[-1].message, "", reason))
            finished = [piece.message.message_id for piece in chunk.pieces if piece.last]
            found.inferences.append(question.answered(completion, finished))
            found.done.update(finished)
        return None

    def _question(self, template: PromptTemplate, chunk: Chunk, wanted: Guidance) -> Question:
        pieces = (*chunk.context, *chunk.pieces)
        fence = Fence.around(
            text for piece in pieces for text in (piece.text, piece.message.speaker)
        )
        return Question.of(
            "extraction",
            template,
            {
                "mark": fence.mark,
                "context": "\n".join(
                    fence.enclose("context", _about(piece), piece.text[-LONGEST_CONTEXT:])
                    for piece in chunk.context
                ),
                "messages": "\n".join(
                    fence.enclose("message", {"n": number, **_about(piece)}, piece.text)
                    for number, piece in enumerate(chunk.pieces, 1)
                ),
            },
            schema=facts_schema(
                wanted.categories, self._settings.facts_per_message * len(chunk.pieces)
            ),
            max_output_tokens=self._settings.max_output_tokens,
        )


def _guided(wanted: Guidance) -> Mapping[str, str]:
    return {
        "instructions": wanted.instructions.strip(),
        "include": "; ".join(wanted.include),
        "exclude": "; ".join(wanted.exclude),
        "categories": "; ".join(wanted.categories),
    }


def _about(piece: Piece) -> Mapping[str, object]:
    message = piece.message
    said = message.occurred_at
    return {
        "role": message.role.value,
        "speaker": message.name,
        "said": f"{said.isoformat(' ', 'minutes')}, {WEEKDAYS[said.weekday()]}",
    }


def _worth_showing(messages: Sequence[Message], found: _Found) -> Iterator[Message]:
    """The messages that a model has to see; the rest is done with."""
    names = frozenset(message.name for message in messages if message.name)
    spoken = [message for message in messages if message.role not in _HIDDEN]
    idle = all(
        reason_to_skip(sentence, names) in _NICETIES
        for message in spoken
        for sentence in split(message.text)
    )
    for message in messages:
        reason = _HIDDEN.get(message.role) or ("small talk" if idle else None)
        if reason is None:
            yield message
        else:
            found.done.add(message.message_id)
            found.skipped.append(_left_out(message, message.text, reason))


def _cut_off(completion: Completion, question: Question) -> bool:
    return completion.output_tokens >= question.prompt.max_output_tokens


def _take(
    items: Sequence[object], chunk: Chunk, checks: Checks, ids: IdSource, found: _Found
) -> None:
    """Check the items of one answer and keep what stands."""
    shown = dict(enumerate(chunk.pieces, 1))
    fruitful: set[MessageId] = set()
    for draft in drafts_in(items):
        if not isinstance(draft, FactDraft):
            message = chunk.pieces[0].message
            found.skipped.append(_left_out(message, draft.text, f"malformed: {draft.problem}"))
            continue
        cited = [shown[item.message] for item in draft.evidence if item.message in shown]
        fruitful.update(piece.message.message_id for piece in cited)
        try:
            _keep(checks.candidate(draft, shown, ids), found)
        except Refused as refusal:
            message = (cited or chunk.pieces)[0].message
            found.skipped.append(_left_out(message, draft.text, str(refusal)))
    for piece in chunk.pieces:
        if piece.message.message_id not in fruitful:
            found.skipped.append(_left_out(piece.message, piece.text, _NOTHING))


def _keep(candidate: Candidate, found: _Found) -> None:
    """Take in a candidate, or add its evidence to the one that says the same."""
    key = (normalised(candidate.text), candidate.speaker, candidate.valid, candidate.scope)
    twin = found.candidates.get(key)
    if twin is None:
        found.candidates[key] = candidate
        return
    evidence: dict[Evidence, None] = dict.fromkeys((*twin.evidence, *candidate.evidence))
    found.candidates[key] = evolve(twin, evidence=tuple(evidence))


def _left_out(message: Message, text: str, reason: str) -> Skipped:
    shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return Skipped(message_id=message.message_id, text=storable(shown), reason=storable(reason))


def _extraction(
    messages: Sequence[Message], found: _Found, failure: ModelError | AdapterUnavailable | None
) -> Extraction:
    """What stands, without what was drawn from messages that are not done with."""
    skipped = [item for item in found.skipped if item.message_id in found.done]
    named = {message_id for inference in found.inferences for message_id in inference.messages}
    ours = [
        message.message_id
        for message in messages
        if message.message_id in found.done and message.message_id not in named
    ]
    records = [_record(skipped, ours)] if skipped or ours else []
    return Extraction(
        candidates=tuple(
            candidate
            for candidate in found.candidates.values()
            if all(item.message_id in found.done for item in candidate.evidence)
        ),
        skipped=tuple(skipped),
        inferences=(*records, *found.inferences),
        failure=failure,
    )


def _record(skipped: Sequence[Skipped], messages: Sequence[MessageId]) -> InferenceRecorded:
    """What was left out, in the terms in which receipts read it."""
    output = [
        {"message_id": item.message_id, "text": item.text, "reason": item.reason}
        for item in skipped
    ]
    return InferenceRecorded(
        purpose="extraction",
        model=CHECKS,
        prompt_digest="",
        output=json.dumps(output, ensure_ascii=False),
        messages=tuple(messages),
    )
