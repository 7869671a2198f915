"""Having a language model describe images, one call an image.

What it says of an image is shown to extraction as a message of its own, in the role in which
nothing else is shown there: no user said it, and none is quoted by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve, field, frozen

from remembrancer.application.extraction.images import IMAGE, VISION, description_of
from remembrancer.application.prompting.model_call import ModelCall
from remembrancer.application.prompting.prompt_template import prepare
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.image import Image
from remembrancer.domain.ports.language_model import LanguageModel

PROMPT = "vision-1"
SPEAKER = "image"
"""Who tells what is seen in one."""

_WRONG_REQUEST = "language_model"
"""What adapters blame for a request that the provider finds wrong, as with a broken image."""


@frozen(kw_only=True)
class ImageDescriptions:
    """What has been described so far, and why some of it has not."""

    descriptions: dict[str, str] = field(factory=dict)
    problems: dict[str, str] = field(factory=dict)
    inferences: list[InferenceRecorded] = field(factory=list)


async def look_at(
    model: LanguageModel,
    messages: Sequence[Message],
    max_output_tokens: int,
    seen: ImageDescriptions,
) -> AdapterUnavailable | None:
    """Describe every image that has no description yet, each once, into ``seen``.

    Returns:
        Why the rest has to wait for another try. What the model refuses or can't see is no such
        reason: it never will.

    Raises:
        InvalidRequest: the model can't be asked at all, as with a wrong key.
    """
    for image in (image for message in messages for image in message.images):
        known = seen.descriptions.keys() | seen.problems.keys()
        if image.description is not None or image.reference in known:
            continue
        if image.url is None:
            seen.problems[image.reference] = "an image whose bytes were not kept"
            continue
        try:
            await _describe(model, image, max_output_tokens, seen)
        except AdapterUnavailable as error:
            return error
    return None


async def _describe(
    model: LanguageModel, image: Image, max_output_tokens: int, seen: ImageDescriptions
) -> None:
    question = ModelCall.of(
        VISION,
        prepare(PROMPT, {}),
        {},
        schema=None,
        max_output_tokens=max_output_tokens,
        images=(image.url or "",),
        parameters={IMAGE: image.reference},
    )
    try:
        completion = await model.complete(question.prompt)
    except (ModelError, InvalidRequest) as error:
        if isinstance(error, InvalidRequest) and error.path != _WRONG_REQUEST:
            raise
        seen.inferences.append(question.refused(model, error))
        seen.problems[image.reference] = f"an image that the model did not describe: {error}"
        return
    seen.inferences.append(question.answered(completion))
    seen.descriptions[image.reference] = description_of(completion.text)


def told_apart(messages: Sequence[Message]) -> Iterator[Message]:
    """Messages with what was seen in their images as messages of their own, each after the one
    that it came with; those without a word are left out.
    """
    for message in messages:
        if message.text:
            yield message
        for image in message.images:
            if image.description:
                yield evolve(
                    message, role=Role.TOOL, name=SPEAKER, text=image.description, images=()
                )


def is_description(message: Message) -> bool:
    """Whether it is one of those that ``told_apart`` made: tool results are never shown."""
    return message.role is Role.TOOL
