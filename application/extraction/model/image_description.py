"""Image descriptions by a language model, one call per image.

Extraction gets a description as a separate message in the role ``tool``, which no other message
there has: a description is not a user's statement and can't be quoted as one.
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
"""The speaker of a description."""

_WRONG_REQUEST = "language_model"
"""The path of an ``InvalidRequest`` for a request that the provider rejects: a broken image."""


@frozen(kw_only=True)
class ImageDescriptions:
    """The descriptions so far, and the reasons for missing ones, by image reference."""

    descriptions: dict[str, str] = field(factory=dict)
    problems: dict[str, str] = field(factory=dict)
    inferences: list[InferenceRecorded] = field(factory=list)


async def look_at(
    model: LanguageModel,
    messages: Sequence[Message],
    max_output_tokens: int,
    seen: ImageDescriptions,
) -> AdapterUnavailable | None:
    """Describe every image that has no description, each once; add the results to ``seen``.

    Returns:
        The failure that stopped the calls, to be retried. An image that the model refuses is not
        retried.

    Raises:
        InvalidRequest: the model can't be called, for example because of a wrong API key.
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
    """Messages, each followed by the descriptions of its images as separate messages. Messages
    without text are left out.
    """
    for message in messages:
        if message.text:
            yield message
        for image in message.images:
            if image.description:
                yield evolve(
                    message, role=Role.TOOL, name=SPEAKER, text=image.description, images=(image,)
                )


def is_description(message: Message) -> bool:
    """Whether ``told_apart`` made the message: tool results are never sent to the model."""
    return message.role is Role.TOOL
