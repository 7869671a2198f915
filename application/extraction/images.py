"""Images, as far as a model has described them: what was recorded, and what is at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from remembrancer.application.prompting.cleaning import cleaned
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.image import Image
from remembrancer.domain.recorded import Recorded

VISION = "vision"
"""The purpose under which a description is recorded."""

IMAGE = "image"
"""The parameter of such a record that names the image, by its reference."""

LONGEST_DESCRIPTION = 2_000
"""Characters."""


def description_of(output: str) -> str:
    """What is made of a model's answer."""
    return cleaned(output)[:LONGEST_DESCRIPTION]


def described(recorded: Iterable[Recorded]) -> Mapping[str, str]:
    """The descriptions among the events of a request, by the reference of the image."""
    return {
        str(event.parameters.get(IMAGE)): description_of(event.output)
        for event in (item.event for item in recorded)
        if isinstance(event, InferenceRecorded) and event.purpose == VISION
    }


def with_images(
    messages: Sequence[Message], data: Mapping[str, str], descriptions: Mapping[str, str]
) -> list[Message]:
    """Messages whose images have the bytes and the descriptions that there are for them."""
    return [
        evolve(
            message,
            images=tuple(
                evolve(
                    image,
                    data=image.data or data.get(image.reference),
                    description=image.description or descriptions.get(image.reference),
                )
                for image in message.images
            ),
        )
        for message in messages
    ]


def for_the_ledger(message: Message, most_bytes: int) -> Message:
    """A message as it is recorded: with the bytes of its images only up to so many each, and none
    where nobody looks at them.
    """
    most_bytes = most_bytes if message.role in (Role.USER, Role.ASSISTANT) else 0
    return evolve(message, images=tuple(_kept(image, most_bytes) for image in message.images))


def _kept(image: Image, most_bytes: int) -> Image:
    small = image.size is not None and image.size <= most_bytes
    return evolve(image, data=image.data if small else None, description=None)
