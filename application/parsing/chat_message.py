"""Read one message, in the formats of chat APIs, and convert it to ``Turn``s.

A message becomes one turn, and one more for each tool call, output of a tool, or document in it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from attrs import evolve

from remembrancer.application.parsing.arguments import (
    parse_metadata,
    parse_moment,
    parse_name,
    parse_text,
    shown,
)
from remembrancer.application.parsing.content_parts import (
    Found,
    Piece,
    Unread,
    is_part,
    label_of,
    read_call,
    read_part,
)
from remembrancer.application.parsing.request import Turn
from remembrancer.application.parsing.sdk_objects import as_mapping
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.image import Image
from remembrancer.domain.scope import SCOPE_IDS

MAX_PARTS = 10_000
MAX_IMAGES = 100

OWN_KEYS = ("role", "content", "name", "timestamp", "metadata")

_ROLES = {
    "user": Role.USER,
    "human": Role.USER,
    "assistant": Role.ASSISTANT,
    "ai": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}
"""The roles of OpenAI, Anthropic and Gemini, and LangChain's types of messages."""

_NOT_KEPT = {
    "annotations": "citations are not remembered",
    "artifact": "what a tool returned beside its output is not remembered",
    "invalid_tool_calls": "tool calls that could not be parsed are not remembered",
    "reasoning": "is the model's reasoning, which it told nobody",
    "reasoning_content": "is the model's reasoning, which it told nobody",
    "thinking_blocks": "is the model's reasoning, which it told nobody",
}

_READ = {*OWN_KEYS, "type", "parts", "refusal", "tool_calls", "function_call", "audio"}
_BOOKKEEPING = {
    "additional_kwargs",
    "cache_control",
    "chunk_position",
    "container",
    "created",
    "created_at",
    "example",
    "finish_reason",
    "id",
    "index",
    "is_error",
    "logprobs",
    "model",
    "object",
    "phase",
    "prefix",
    "provider_specific_fields",
    "response_metadata",
    "status",
    "stop_details",
    "stop_reason",
    "stop_sequence",
    "tool_call_id",
    "usage",
    "usage_metadata",
}
"""Keys of these formats that tell nothing of what was said."""


def read_message(value: object, path: str, index: int) -> list[Turn | Unread]:
    """Read one message.

    Args:
        value: a string (by the user), a pair of role and content, a mapping, or an SDK's object: a
            message, or a part of one.
        path: its path in errors.
        index: its place in the caller's list.

    Returns:
        Its turns and what can't be remembered of it; if it can't be read at all, the latter alone.
    """
    try:
        fields = _fields_of(value, path)
        if _is_item(fields):
            found = list(read_part(fields, path))
            turn = Turn(role=Role.USER, text="", name=None, occurred_at=None, metadata={})
            unknown: Iterator[Unread] = iter(())
        else:
            _check_scope(fields, path)
            turn = Turn(
                role=_role(fields, path),
                text="",
                name=parse_name(fields.get("name"), f"{path}.name"),
                occurred_at=parse_moment(fields.get("timestamp"), f"{path}.timestamp"),
                metadata=parse_metadata(fields.get("metadata"), f"{path}.metadata"),
            )
            found = list(_pieces(fields, path))
            unknown = _unknown_keys(fields, path)
        turns = _turns(found, evolve(turn, index=index), f"{path}.content")
        unread = [item for item in found if isinstance(item, Unread)]
        if not turns and not unread:
            _refuse_empty(fields, f"{path}.content")
    except InvalidRequest as error:
        return [Unread(error, "message")]
    return [*turns, *unread, *unknown]


def _fields_of(value: object, path: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"content": value}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return {"role": value[0], "content": value[1]}
    fields = as_mapping(value)
    if fields is None:
        raise InvalidRequest(path, f"expected a message, got {type(value).__name__}")
    return _unwrapped(fields)


def _unwrapped(fields: dict[str, Any]) -> dict[str, Any]:
    """The message in LangChain's forms for storage: ``messages_to_dict`` and ``dumpd``."""
    kind, data = fields.get("type"), as_mapping(fields.get("data"))
    if isinstance(kind, str) and data is not None and "content" not in fields:
        return {**data, "type": kind}
    held, path = as_mapping(fields.get("kwargs")), fields.get("id")
    if kind == "constructor" and held is not None and isinstance(path, list) and path:
        return {**held, "type": path[-1]}
    return fields


def _is_item(fields: Mapping[str, Any]) -> bool:
    """Whether a part stands in the place of a message, as in OpenAI's Responses."""
    if fields.get("role") is not None or "parts" in fields:
        return False
    return is_part(fields) or (
        isinstance(fields.get("type"), str) and not {"content", *_READ - {"type"}} & fields.keys()
    )


def _check_scope(fields: Mapping[str, Any], path: str) -> None:
    for name in SCOPE_IDS:
        if fields.get(name) is not None:
            raise InvalidRequest(
                f"{path}.{name}",
                "is an argument of the call, for all of its messages; add this one in a call of "
                "its own",
            )


def _role(fields: Mapping[str, Any], path: str) -> Role:
    given = fields.get("role")
    if given is None:
        return _ROLES.get(_type_of(fields), Role.USER)
    known = _ROLES.get(given.lower()) if isinstance(given, str) else None
    if known is None:
        raise InvalidRequest(
            f"{path}.role", f"{shown(given)} is not a role; use one of {', '.join(Role)}"
        )
    return known


def _type_of(fields: Mapping[str, Any]) -> str:
    """LangChain's type of a message: ``ai`` of ``ai``, ``AIMessage`` and ``AIMessageChunk``."""
    kind = fields.get("type")
    name = kind if isinstance(kind, str) else ""
    return name.removesuffix("Chunk").removesuffix("Message").lower()


def _pieces(fields: Mapping[str, Any], path: str) -> Found:
    """Everything in the content of a message, and beside it."""
    content = fields.get("content")
    key = "parts" if content is None and fields.get("parts") is not None else "content"
    calls: set[str] = set()
    for found in _content(fields.get(key), f"{path}.{key}"):
        if isinstance(found, Piece) and found.call_id is not None:
            calls.add(found.call_id)
        yield found
    extra = as_mapping(fields.get("additional_kwargs")) or {}
    refusal = fields.get("refusal") or extra.get("refusal")
    if refusal:
        yield from read_part({"type": "refusal", "refusal": refusal}, path)
    if fields.get("audio") is not None:
        yield from _audio(fields["audio"], bool(content), f"{path}.audio")
    yield from _calls(fields, calls, path)


def _content(value: object, path: str) -> Found:
    if isinstance(value, str):
        yield from read_part(value, path)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        if len(value) > MAX_PARTS:
            raise InvalidRequest(path, f"has {len(value):,} parts; at most {MAX_PARTS:,} are read")
        for index, part in enumerate(value):
            for found in read_part(part, f"{path}[{index}]"):
                yield evolve(found, part=index)
    elif value is not None:
        if as_mapping(value) is None:
            raise InvalidRequest(path, f"expected a string, got {type(value).__name__}")
        yield from read_part(value, path)


def _audio(value: object, has_content: bool, path: str) -> Found:
    """What a model said aloud, if it was not written as well."""
    transcript = (as_mapping(value) or {}).get("transcript")
    if transcript and not has_content:
        yield from read_part({"type": "text", "text": transcript}, path)
    elif not has_content:
        yield from read_part({"type": "audio"}, path)


def _calls(fields: Mapping[str, Any], known: set[str], path: str) -> Found:
    """The tool calls beside the content; LangChain repeats those in it."""
    calls = fields.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        for found in read_call(call, f"{path}.tool_calls[{index}]"):
            if isinstance(found, Unread) or found.call_id not in known:
                yield found
    if fields.get("function_call") is not None:
        yield from read_call(fields["function_call"], f"{path}.function_call")


def _turns(found: Sequence[Piece | Unread], like: Turn, path: str) -> list[Turn]:
    """The turns of the pieces in order; words and images that follow one another are one turn."""
    pieces = [piece for piece in found if isinstance(piece, Piece)]
    turns = []
    for material, group in groupby(pieces, key=lambda piece: piece.material):
        if material:
            turns += [
                _turn(evolve(like, role=Role.TOOL, name=piece.name), [piece], path)
                for piece in group
            ]
        else:
            turns.append(_turn(like, list(group), path))
    return turns


def _turn(like: Turn, pieces: Sequence[Piece], path: str) -> Turn:
    texts = [piece.text for piece in pieces if piece.text]
    images: tuple[Image, ...] = tuple(image for piece in pieces for image in piece.images)
    if len(images) > MAX_IMAGES:
        raise InvalidRequest(
            path, f"has {len(images):,} images; at most {MAX_IMAGES} are allowed in a message"
        )
    return evolve(like, text=parse_text("\n".join(texts), path) if texts else "", images=images)


def _refuse_empty(fields: Mapping[str, Any], path: str) -> None:
    content = fields.get("content", fields.get("parts"))
    if content is None:
        raise InvalidRequest(path, "expected a string, got NoneType")
    raise InvalidRequest(path, "is empty; pass some text")


def _unknown_keys(fields: Mapping[str, Any], path: str) -> Iterator[Unread]:
    for key, value in fields.items():
        empty = value is None or (isinstance(value, str | list | tuple | dict) and not value)
        if empty or key in _READ or key in _BOOKKEEPING:
            continue
        name = label_of(key)
        near = difflib.get_close_matches(name, OWN_KEYS, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        problem = _NOT_KEPT.get(name, f"is not part of a message{guess}")
        yield Unread(InvalidRequest(f"{path}.{name}", problem), name)
