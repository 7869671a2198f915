"""What people and agents said: one message of a conversation."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from remembrancer.domain.facts.fact import MessageId, Metadata
from remembrancer.domain.image import Image
from remembrancer.domain.scope import Scope


class Role(StrEnum):
    """Who is speaking, in the roles that chat models know."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


@frozen(kw_only=True)
class Message:
    """One turn of a conversation. ``name`` is the speaker's own name, where there is one; the text
    may be empty where there are images.
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
        """Whether these words are in the text, or in what a model saw in an image."""
        return quote in self.text or any(
            quote in image.description for image in self.images if image.description is not None
        )

    @property
    def speaker(self) -> str:
        """The name, or the role where no name is known."""
        return self.name or self.role.value
