"""The extractor over a language model; every draft in its answer is checked.

One call per chunk: one for a conversation of ordinary size, none for small talk alone. The raw
answer is recorded; ``checks`` accepts or refuses its drafts. System messages and tool results are
not sent to the model. Images are described by separate calls, if enabled.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict, frozen

from remembrancer.application.extraction.images import with_images
from remembrancer.application.extraction.model.accept_drafts import (
    NOTHING,
    Accepted,
    accept_facts,
    accept_steps,
    left_out,
)
from remembrancer.application.extraction.model.attribution import Voices
from remembrancer.application.extraction.model.checks import Checks, Limits
from remembrancer.application.extraction.model.chunking import (
    LONGEST_CONTEXT,
    Chunk,
    Piece,
    chunks_of,
)
from remembrancer.application.extraction.model.drafts import (
    facts_schema,
    items_of,
    steps_schema,
)
from remembrancer.application.extraction.model.image_description import PROMPT as VISION_PROMPT
from remembrancer.application.extraction.model.image_description import (
    SPEAKER,
    ImageDescriptions,
    is_description,
    look_at,
    told_apart,
)
from remembrancer.application.extraction.procedure import MOST_STEPS
from remembrancer.application.extraction.rules.chitchat import reason_to_skip
from remembrancer.application.extraction.rules.sentences import split
from remembrancer.application.prompting.model_call import ModelCall
from remembrancer.application.prompting.prompt_fence import PromptFence
from remembrancer.application.prompting.prompt_template import PromptTemplate, prepare
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.facts.verdicts import Skipped
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.places import place_in_message
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.ports.extractor import EXTRACTION, PROCEDURE, Extraction
from remembrancer.domain.ports.language_model import LanguageModel
from remembrancer.domain.recall.index_context import WEEKDAYS

PROMPT = "extraction-3"
RUN_PROMPT = "procedure-1"
CHECKS = "checks-2"
"""The ``model`` of the ``InferenceRecorded`` that lists what the checks skipped."""

DESCRIPTION_TOKENS = 1_000
"""Maximum of output tokens for an image description; a few sentences take a tenth of it."""

_LEAST = {
    "chunk_tokens": 200,
    "overlap": 0,
    "max_output_tokens": 1,
    "facts_per_message": 1,
    "fact_characters": 1,
    "kept_image_bytes": 0,
}
_NOT_DESCRIBED = "an image; extractor.describe_images is off"
_HIDDEN = {Role.SYSTEM: "system message", Role.TOOL: "tool message"}
_NICETIES = ("no words", "small talk")


@frozen(kw_only=True)
class ExtractionSettings:
    """How a model extracts.

    ``instructions``, ``include``, ``exclude`` and ``categories`` are explained in ``Guidance``.
    A call sends at most ``chunk_tokens`` tokens of conversation, and the last ``overlap`` messages
    of the previous chunk as context; its answer has at most ``max_output_tokens``. At most
    ``facts_per_message`` facts of ``fact_characters`` characters are accepted from a message.
    ``agents_speak_for_users`` accepts facts about a user from an assistant alone.

    ``describe_images`` describes images in messages, one call per image; it needs a vision model.
    Images of up to ``kept_image_bytes`` bytes are kept in the ledger for a retry; of larger ones
    the ledger has only the digest, and a retry needs the request again.
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
    describe_images: bool = False
    kept_image_bytes: int = 65_536

    @property
    def guidance(self) -> Guidance:
        """The guidance for all calls."""
        return Guidance(
            instructions=self.instructions,
            include=self.include,
            exclude=self.exclude,
            categories=self.categories,
        )


@frozen(kw_only=True)
class _Way:
    """One kind of extraction: prompt, schema of the answer, and how its items are accepted."""

    purpose: str
    items: str
    template: PromptTemplate
    schema: Callable[[Chunk], Mapping[str, Any]]
    take: Callable[[object, Sequence[object], Chunk], None]


class ModelExtractor:
    """An ``Extractor`` over a language model.

    Args:
        model: the language model.
        settings: ``None`` means the defaults.

    Raises:
        InvalidRequest: a number in the settings is too small.
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

    @property
    def description(self) -> Mapping[str, Any]:
        """The model and the settings."""
        return {"name": "model", "model": self._model.model, "settings": asdict(self._settings)}

    @property
    def prompts(self) -> Mapping[str, str]:
        """The digests of the prompts, without the guidance of single calls."""
        wanted = _guided(self._settings.guidance)
        found = {name: prepare(name, wanted).digest for name in (PROMPT, RUN_PROMPT)}
        if self._settings.describe_images:
            found[VISION_PROMPT] = prepare(VISION_PROMPT, {}).digest
        return found

    @property
    def kept_image_bytes(self) -> int:
        """Bytes of an image up to which it is kept for a retry; 0 if images are not described."""
        return self._settings.kept_image_bytes if self._settings.describe_images else 0

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Extract the candidates from messages of one scope.

        Args:
            messages: in the order in which they were said.
            ids: source of new ids.
            guidance: overrides the settings for this call.

        Raises:
            InvalidRequest: the model can't be called, for example because of a wrong API key.
        """
        wanted = self._settings.guidance.refined(guidance)
        checks, found = self._checks(messages, wanted), Accepted()
        most = self._settings.facts_per_message
        way = _Way(
            purpose=EXTRACTION,
            items="facts",
            template=prepare(PROMPT, _guided(wanted)),
            schema=lambda chunk: facts_schema(wanted.categories, most * len(chunk.pieces)),
            take=lambda _, items, chunk: accept_facts(items, chunk, checks, ids, found),
        )
        return await self._read(messages, way, found)

    async def recount(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Extract the procedure of an agent's run, one fact per chunk.

        Arguments and errors: same as ``extract``.
        """
        wanted = self._settings.guidance.refined(guidance)
        checks, found = self._checks(messages, wanted), Accepted()

        def take(answer: object, items: Sequence[object], chunk: Chunk) -> None:
            named = answer.get("categories") if isinstance(answer, Mapping) else None
            categories = checks.categories(named if isinstance(named, list) else ())
            accept_steps(items, chunk, checks, ids, found, categories)

        way = _Way(
            purpose=PROCEDURE,
            items="steps",
            template=prepare(RUN_PROMPT, _guided(wanted)),
            schema=lambda _: steps_schema(wanted.categories, MOST_STEPS + 2),
            take=take,
        )
        return await self._read(messages, way, found)

    def _checks(self, messages: Sequence[Message], wanted: Guidance) -> Checks:
        settings = self._settings
        return Checks(
            voices=Voices.of(messages),
            limits=Limits(
                facts_per_message=settings.facts_per_message,
                fact_characters=settings.fact_characters,
                categories=wanted.categories,
                agents_speak_for_users=settings.agents_speak_for_users,
            ),
        )

    async def _read(self, messages: Sequence[Message], way: _Way, found: Accepted) -> Extraction:
        seen = ImageDescriptions()
        failure: ModelError | AdapterUnavailable | None = None
        spoken = [message for message in messages if message.role not in _HIDDEN]
        if self._settings.describe_images:
            limit = min(DESCRIPTION_TOKENS, self._settings.max_output_tokens)
            failure = await look_at(self._model, spoken, limit, seen)
            found.inferences.extend(seen.inferences)
        messages = with_images(messages, {}, seen.descriptions)
        if failure is None:
            for message in messages:
                found.skipped.extend(_unseen(message, seen))
            shown = list(told_apart(list(_worth_showing(messages, found))))
            failure = await self._ask(shown, way, found) if shown else None
        return _extraction(messages, found, failure)

    async def _ask(
        self, messages: Sequence[Message], way: _Way, found: Accepted
    ) -> ModelError | AdapterUnavailable | None:
        """Call the model chunk by chunk, until a call fails; returns the failure, or that of an
        answer that was cut off, which keeps no other chunk waiting.
        """
        settings = self._settings
        # A message is done when all of its pieces are.
        left = Counter(message.message_id for message in messages)
        chunks = deque(chunks_of(messages, budget=settings.chunk_tokens, overlap=settings.overlap))
        cut: ModelError | None = None
        while chunks:
            chunk = chunks.popleft()
            question = self._question(way, chunk)
            try:
                completion = await self._model.complete(question.prompt)
            except AdapterUnavailable as error:
                return error
            except ModelError as error:
                found.inferences.append(question.refused(self._model, error))
                return error
            items = items_of(completion.parsed, way.items)
            cut_off = question.was_cut_off(completion)
            if chunk.splittable and cut_off:
                found.inferences.append(question.answered_in_vain(completion))
                chunks.extendleft(reversed(chunk.halves(settings.overlap)))
                continue
            if items is None:
                found.inferences.append(question.answered_in_vain(completion))
                return ModelError(
                    f"{completion.model}: the answer has no list of {way.items}; it is kept in the "
                    "ledger, and the messages stay pending; call retry"
                )
            way.take(completion.parsed, items, chunk)
            if cut_off:
                found.inferences.append(question.answered(completion))
                found.begun.add(chunk.pieces[0].message.message_id)
                cut = ModelError(
                    f"{completion.model}: the answer was cut off; its {way.items} that are "
                    "complete are kept, and the message stays pending; call retry, with a higher "
                    "extractor.max_output_tokens"
                )
                continue
            ended = Counter(piece.message.message_id for piece in chunk.pieces if piece.last)
            left.subtract(ended)
            finished = [message_id for message_id in ended if left[message_id] == 0]
            found.inferences.append(question.answered(completion, finished))
            found.done.update(finished)
        return cut

    def _question(self, way: _Way, chunk: Chunk) -> ModelCall:
        pieces = (*chunk.context, *chunk.pieces)
        numbered = dict(enumerate(chunk.pieces, 1))
        fence = PromptFence.around(
            text for piece in pieces for text in (piece.text, piece.message.speaker)
        )
        return ModelCall.of(
            way.purpose,
            way.template,
            {
                "mark": fence.mark,
                "images": ", ".join(
                    str(number)
                    for number, piece in numbered.items()
                    if is_description(piece.message)
                ),
                "context": "\n".join(
                    fence.enclose("context", _about(piece), piece.text[-LONGEST_CONTEXT:])
                    for piece in chunk.context
                ),
                "messages": "\n".join(
                    fence.enclose("message", {"n": number, **_about(piece)}, piece.text)
                    for number, piece in numbered.items()
                ),
            },
            schema=way.schema(chunk),
            max_output_tokens=self._settings.max_output_tokens,
            shown={str(number): _place(piece) for number, piece in numbered.items()},
            seen=(piece.message.message_id for piece in pieces),
        )


def _guided(wanted: Guidance) -> Mapping[str, str]:
    return {
        "instructions": wanted.instructions.strip(),
        "include": "; ".join(wanted.include),
        "exclude": "; ".join(wanted.exclude),
        "categories": "; ".join(wanted.categories),
    }


def _place(piece: Piece) -> str:
    """Where the text of a piece is: in a message, or in the description of an image of it."""
    message = piece.message
    image = message.images[0].reference if is_description(message) else None
    return place_in_message(message.message_id, piece.start, piece.text, image=image)


def _about(piece: Piece) -> Mapping[str, object]:
    message = piece.message
    said = message.occurred_at
    return {
        "role": SPEAKER if is_description(message) else message.role.value,
        "speaker": message.name,
        "said": f"{said.isoformat(' ', 'minutes')}, {WEEKDAYS[said.weekday()]}",
    }


def _worth_showing(messages: Sequence[Message], found: Accepted) -> Iterator[Message]:
    """The messages to send to the model; the others are done."""
    names = frozenset(message.name for message in messages if message.name)
    spoken = [message for message in messages if message.role not in _HIDDEN]
    idle = not any(image.description for message in spoken for image in message.images) and all(
        reason_to_skip(sentence, names) in _NICETIES
        for message in spoken
        for sentence in split(message.text)
    )
    for message in messages:
        reason = _HIDDEN.get(message.role) or ("small talk" if idle else None)
        empty = not message.text and not any(image.description for image in message.images)
        if reason is None and not empty:
            yield message
            continue
        found.done.add(message.message_id)
        if message.text:
            found.skipped.append(left_out(message, message.text, reason or NOTHING))


def _unseen(message: Message, seen: ImageDescriptions) -> Iterator[Skipped]:
    """The images of a message without a description, as skipped items with a reason."""
    for image in message.images:
        if image.description is None:
            hidden = _HIDDEN.get(message.role)
            reason = f"an image in a {hidden}" if hidden else seen.problems.get(image.reference)
            yield left_out(message, image.label, reason or _NOT_DESCRIBED)


def _extraction(
    messages: Sequence[Message], found: Accepted, failure: ModelError | AdapterUnavailable | None
) -> Extraction:
    """The extraction, without candidates and skipped items of messages that are not done."""
    skipped = [item for item in found.skipped if item.message_id in found.done]
    named = {message_id for inference in found.inferences for message_id in inference.messages}
    ours = [
        message.message_id
        for message in messages
        if message.message_id in found.done and message.message_id not in named
    ]
    records = [_record(skipped, ours)] if skipped or ours else []
    candidates, refused = found.settled(records=len(records))
    return Extraction(
        messages=tuple(messages),
        candidates=candidates,
        refused=refused,
        skipped=tuple(skipped),
        inferences=(*records, *found.inferences),
        failure=failure,
    )


def _record(skipped: Sequence[Skipped], messages: Sequence[MessageId]) -> InferenceRecorded:
    """The event that records the skipped items, in the format that receipts read."""
    output = [
        {"message_id": item.message_id, "text": item.text, "reason": item.reason}
        for item in skipped
    ]
    return InferenceRecorded(
        purpose=EXTRACTION,
        model=CHECKS,
        prompt_digest="",
        output=json.dumps(output, ensure_ascii=False),
        messages=tuple(messages),
    )
