"""A validated request to remember messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import Attribute, field, frozen

from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactKind, Metadata
from remembrancer.domain.facts.verdicts import Skipped
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.image import Image
from remembrancer.domain.scope import Scope

NO_TEXT = "has no text; infer=False stores only text"


@frozen(kw_only=True)
class Turn:
    """One validated message, without id and scope. ``index`` is its place in the caller's list."""

    role: Role
    text: str
    name: str | None
    occurred_at: datetime | None
    metadata: Metadata
    images: tuple[Image, ...] = ()
    index: int = 0


def _check_flag(_request: object, attribute: Attribute[bool], value: object) -> None:
    # Other truthy values could be stored, but not read back.
    if not isinstance(value, bool):
        raise InvalidRequest(attribute.name, f"expected true or false, got {type(value).__name__}")


@frozen(kw_only=True)
class RememberRequest:
    """A validated request to remember messages. ``skipped`` is what of them can't be."""

    scope: Scope
    turns: Sequence[Turn]
    metadata: Metadata
    skipped: tuple[Skipped, ...] = ()
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    infer: bool = field(default=True, validator=_check_flag)
    kind: FactKind | None = None
    guidance: Guidance | None = None
    idempotency_key: str | None = None
    actor: str = "remembrancer"

    def __attrs_post_init__(self) -> None:
        if not self.infer:
            _check_verbatim(self)
        if self.kind is FactKind.PROCEDURAL and not (self.scope.agent_id or self.scope.run_id):
            raise InvalidRequest(
                "agent_id", "a procedural memory belongs to an agent's run; pass agent_id or run_id"
            )

    @property
    def images(self) -> Mapping[str, str]:
        """The available image bytes (base64), by reference."""
        return {
            image.reference: image.data
            for turn in self.turns
            for image in turn.images
            if image.data is not None
        }

    @property
    def compared(self) -> bool:
        """Whether candidates are compared with facts of similar meaning. Verbatim messages and
        procedural memories are not.
        """
        return self.infer and self.kind is None


def _check_verbatim(request: RememberRequest) -> None:
    """Refuse arguments that need extraction."""
    for turn in request.turns:
        if not turn.text:
            raise InvalidRequest(f"messages[{turn.index}].content", NO_TEXT)
    named = request.guidance.named if request.guidance is not None else ()
    for name in (*(["kind"] if request.kind else []), *named):
        raise InvalidRequest(
            name,
            "infer=False stores messages word for word; omit one of the two",
        )
