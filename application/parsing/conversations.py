"""Validate the arguments of ``add`` and ``add_many``, and make requests of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Required, Unpack, cast

from remembrancer.application.parsing.arguments import (
    parse_actor,
    parse_guidance,
    parse_kind,
    parse_metadata,
    parse_moment,
    parse_name,
    parse_scope,
)
from remembrancer.application.parsing.keywords import check_names
from remembrancer.application.parsing.limits import Limits
from remembrancer.application.parsing.messages import Messages, ParsedMessages, parse_messages
from remembrancer.application.parsing.request import NO_TEXT, RememberRequest
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.verdicts import Skipped
from remembrancer.domain.scope import SCOPE_IDS, ScopeIds


class AddOptions(ScopeIds, total=False):
    """The keyword arguments of ``add`` except ``wait``; see ``AsyncMemory.add``."""

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
    """The arguments of ``add`` as one mapping."""

    messages: Required[Messages]


def request_of(messages: Messages, **options: Unpack[AddOptions]) -> RememberRequest:
    """The request for these arguments of ``add``.

    Raises:
        InvalidRequest: an argument is invalid.
    """
    infer = options.get("infer", True)
    parsed = parse_messages(messages)
    if infer is False:
        parsed = _texts_alone(parsed)
    ids = {name: value for name, value in options.items() if name in SCOPE_IDS}
    return RememberRequest(
        scope=parse_scope(cast("ScopeIds", ids)),
        turns=parsed.turns,
        skipped=parsed.skipped,
        metadata=parse_metadata(options.get("metadata")),
        occurred_at=parse_moment(options.get("occurred_at"), "occurred_at"),
        expires_at=parse_moment(options.get("expires_at"), "expires_at"),
        infer=infer,
        kind=parse_kind(options.get("kind")),
        guidance=parse_guidance(
            options.get("instructions"),
            options.get("include"),
            options.get("exclude"),
            options.get("categories"),
        ),
        idempotency_key=parse_name(options.get("idempotency_key"), "idempotency_key"),
        actor=parse_actor(options.get("actor")),
    )


def _texts_alone(parsed: ParsedMessages) -> ParsedMessages:
    """Without the messages that have no text, unless none has."""
    texts = tuple(turn for turn in parsed.turns if turn.text)
    if not texts:
        return parsed
    without = [turn.index for turn in parsed.turns if not turn.text]
    skipped = [Skipped(text="message", reason=NO_TEXT, index=index) for index in without]
    return ParsedMessages(texts, (*parsed.skipped, *skipped))


def requests_of(conversations: Iterable[Conversation], limits: Limits) -> list[RememberRequest]:
    """The requests of many conversations, each within ``limits``.

    Raises:
        InvalidRequest: one of them is invalid; its path is like ``conversations[3].user_id``.
    """
    if isinstance(conversations, str | bytes | Mapping) or not isinstance(conversations, Iterable):
        raise InvalidRequest(
            "conversations", f"expected a list of mappings, got {type(conversations).__name__}"
        )
    requests = []
    for index, conversation in enumerate(conversations):
        with _placed(f"conversations[{index}]"):
            _check_keys(conversation)
            requests.append(limits.checked(request_of(**conversation)))
    return requests


def _check_keys(conversation: object) -> None:
    if not isinstance(conversation, Mapping):
        raise InvalidRequest("", f"expected a mapping, got {type(conversation).__name__}")
    check_names(conversation, Conversation.__annotations__, "is not part of a conversation")
    if "messages" not in conversation:
        raise InvalidRequest("messages", "is missing; pass at least one message")


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Prefix the path of an error with the path of the conversation."""
    try:
        yield
    except InvalidRequest as error:
        path = f"{where}.{error.path}" if error.path else where
        raise type(error)(path, error.problem) from error
