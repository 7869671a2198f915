"""What callers may say about what is to be remembered, checked and turned into requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Required, TypedDict

from remembrancer.application.parsing.arguments import (
    Messages,
    parse_guidance,
    parse_kind,
    parse_metadata,
    parse_moment,
    parse_name,
    parse_turns,
)
from remembrancer.application.remember.remember import RememberRequest
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.scope import Scope

DEFAULT_ACTOR = "api"


class AddOptions(TypedDict, total=False):
    """The keyword arguments of ``add`` but for ``wait``; what they mean is said there."""

    user_id: str | None
    agent_id: str | None
    run_id: str | None
    app_id: str | None
    metadata: Mapping[str, Any] | None
    occurred_at: datetime | str | None
    expires_at: datetime | str | None
    infer: bool
    kind: str | None
    instructions: str | None
    include: Sequence[str] | None
    exclude: Sequence[str] | None
    categories: Sequence[str] | None
    idempotency_key: str | None
    actor: str


class Conversation(AddOptions, total=False):
    """What ``add`` takes, as one mapping."""

    messages: Required[Messages]


def request_of(
    messages: Messages,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    app_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    occurred_at: datetime | str | None = None,
    expires_at: datetime | str | None = None,
    infer: bool = True,
    kind: str | None = None,
    instructions: str | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    idempotency_key: str | None = None,
    actor: str = DEFAULT_ACTOR,
) -> RememberRequest:
    """The request that ``add`` with these arguments makes.

    Raises:
        InvalidRequest: an argument is wrong.
    """
    return RememberRequest(
        scope=Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id),
        turns=parse_turns(messages),
        metadata=parse_metadata(metadata),
        occurred_at=parse_moment(occurred_at, "occurred_at"),
        expires_at=parse_moment(expires_at, "expires_at"),
        infer=infer,
        kind=parse_kind(kind),
        guidance=parse_guidance(instructions, include, exclude, categories),
        idempotency_key=parse_name(idempotency_key, "idempotency_key"),
        actor=parse_name(actor, "actor") or DEFAULT_ACTOR,
    )


def requests_of(conversations: Iterable[Conversation]) -> list[RememberRequest]:
    """The requests of many conversations.

    Raises:
        InvalidRequest: one of them is wrong; the path says which (``conversations[3].user_id``).
    """
    if isinstance(conversations, str | bytes | Mapping) or not isinstance(conversations, Iterable):
        raise InvalidRequest(
            "conversations", f"expected a list of mappings, got {type(conversations).__name__}"
        )
    requests = []
    for index, conversation in enumerate(conversations):
        with _placed(f"conversations[{index}]"):
            _check_keys(conversation)
            requests.append(request_of(**conversation))
    return requests


def _check_keys(conversation: object) -> None:
    if not isinstance(conversation, Mapping):
        raise InvalidRequest("", f"expected a mapping, got {type(conversation).__name__}")
    allowed = Conversation.__annotations__
    for key in conversation:
        if key not in allowed:
            raise InvalidRequest(
                str(key)[:80], f"is not part of a conversation; allowed are {', '.join(allowed)}"
            )
    if "messages" not in conversation:
        raise InvalidRequest("messages", "is missing; pass what was said")


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Put the place of a conversation before the place of what is wrong in it."""
    try:
        yield
    except InvalidRequest as error:
        path = f"{where}.{error.path}" if error.path else where
        raise InvalidRequest(path, error.problem) from error
