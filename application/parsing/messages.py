"""Validate messages in the forms of chat APIs, and convert them to ``Turn``s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from remembrancer.application.parsing.arguments import (
    parse_metadata,
    parse_moment,
    parse_name,
    parse_text,
    shown,
)
from remembrancer.application.parsing.images import parse_image
from remembrancer.application.parsing.request import Turn
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.image import Image

MessageInput: TypeAlias = Mapping[str, Any]
Messages: TypeAlias = str | MessageInput | Sequence[str | MessageInput]

MAX_MESSAGES = 10_000
MAX_IMAGES = 100

_MESSAGE_KEYS = ("role", "content", "name", "timestamp", "metadata")
_QUOTES = "'\""


def parse_turns(value: object, path: str = "messages") -> list[Turn]:
    """Parse one string (by the user), one message, or a sequence of messages.

    A message is a mapping with ``content`` and, optionally, ``role`` (user, assistant, system,
    tool), ``name``, ``timestamp`` and ``metadata``.
    """
    if isinstance(value, str):
        return [_parse_turn({"content": value}, path, text_path=path)]
    if isinstance(value, Mapping):
        return [_parse_turn(value, path)]
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        raise InvalidRequest(
            path, f"expected a string or a list of messages, got {type(value).__name__}"
        )
    if not value:
        raise InvalidRequest(path, "is empty; pass at least one message")
    if len(value) > MAX_MESSAGES:
        raise InvalidRequest(
            path, f"has {len(value):,} messages; pass at most {MAX_MESSAGES:,} at a time"
        )
    return [
        _parse_turn({"content": item} if isinstance(item, str) else item, f"{path}[{index}]")
        for index, item in enumerate(value)
    ]


def _parse_turn(value: object, path: str, text_path: str | None = None) -> Turn:
    if not isinstance(value, Mapping):
        raise InvalidRequest(path, f"expected a message, got {type(value).__name__}")
    unknown = [key for key in value if key not in _MESSAGE_KEYS]
    if unknown:
        raise InvalidRequest(
            f"{path}.{shown(unknown[0]).strip(_QUOTES)}",
            f"is not part of a message; allowed are {', '.join(_MESSAGE_KEYS)}",
        )
    role = value.get("role", Role.USER)
    if role not in tuple(Role):
        raise InvalidRequest(
            f"{path}.role", f"{shown(role)} is not a role; use one of {', '.join(Role)}"
        )
    text, images = _parse_content(value.get("content"), text_path or f"{path}.content")
    return Turn(
        role=Role(role),
        text=text,
        images=images,
        name=parse_name(value.get("name"), f"{path}.name"),
        occurred_at=parse_moment(value.get("timestamp"), f"{path}.timestamp"),
        metadata=parse_metadata(value.get("metadata"), f"{path}.metadata"),
    )


def _parse_content(value: object, path: str) -> tuple[str, tuple[Image, ...]]:
    """Parse text, or a list of text and image parts as in chat APIs."""
    if not isinstance(value, list):
        return parse_text(value, path), ()
    texts: list[str] = []
    images: list[Image] = []
    for index, part in enumerate(value):
        where = f"{path}[{index}]"
        if not isinstance(part, Mapping):
            raise InvalidRequest(where, f"expected a part, got {type(part).__name__}")
        if part.get("type") == "text":
            texts.append(parse_text(part.get("text"), f"{where}.text"))
        else:
            images.append(parse_image(part, where))
    if len(images) > MAX_IMAGES:
        raise InvalidRequest(
            path, f"has {len(images):,} images; at most {MAX_IMAGES} are allowed in a message"
        )
    return ("" if images and not texts else parse_text("\n".join(texts), path)), tuple(images)
