"""One message of a conversation, and the role of its speaker."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from remembrancer.domain.facts.fact import MessageId, Metadata
from remembrancer.domain.image import Image
from remembrancer.domain.scope import Scope


class Role(StrEnum):
    """The role of a speaker, as chat models name it."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


@frozen(kw_only=True)
class Message:
    """One message of a conversation. ``name`` is the speaker's name, if known; ``text`` may be
    empty if there are images.
    """

    message_id: MessageId
    scope: Scope
    role: Role
    text: str
    name: str | None = None
    occurred_at: datetime
    metadata: Metadata = field(factory=dict)
    images: tuple[Image, ...] = ()

    def holds(self, quote: str) -> bool:
        """Whether ``quote`` is in the text, or in the description of an image."""
        return quote in self.text or any(
            quote in image.description for image in self.images if image.description is not None
        )

    @property
    def speaker(self) -> str:
        """The name, or the role if the name is unknown."""
        return self.name or self.role.value
