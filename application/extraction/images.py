"""Image descriptions: read them from events and join them with the images of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from remembrancer.application.prompting.cleaning import cleaned
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.image import Image
from remembrancer.domain.recorded import Recorded

VISION = "vision"
"""The ``purpose`` of an ``InferenceRecorded`` with an image description."""

IMAGE = "image"
"""The parameter of that event with the reference of the image."""

LONGEST_DESCRIPTION = 2_000
"""Characters."""


def description_of(output: str) -> str:
    """The description in a model's answer: cleaned and truncated."""
    return cleaned(output)[:LONGEST_DESCRIPTION]


def described(recorded: Iterable[Recorded]) -> Mapping[str, str]:
    """The image descriptions in the events of a request, by image reference."""
    return {
        str(event.parameters.get(IMAGE)): description_of(event.output)
        for event in (item.event for item in recorded)
        if isinstance(event, InferenceRecorded) and event.purpose == VISION
    }


def with_images(
    messages: Sequence[Message], data: Mapping[str, str], descriptions: Mapping[str, str]
) -> list[Message]:
    """Copies of messages whose images have their bytes and descriptions, where available.

    Args:
        messages: the messages.
        data: bytes of images, by image reference.
        descriptions: descriptions, by image reference.
    """
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
    """A copy of a message for the ledger.

    An image keeps its bytes if it has ``most_bytes`` or fewer and its message comes from a user or
    an assistant; images in other roles are never described.
    """
    most_bytes = most_bytes if message.role in (Role.USER, Role.ASSISTANT) else 0
    return evolve(message, images=tuple(_kept(image, most_bytes) for image in message.images))


def _kept(image: Image, most_bytes: int) -> Image:
    small = image.size is not None and image.size <= most_bytes
    return evolve(image, data=image.data if small else None, description=None)
