"""Read the parts of a message, in the formats of chat APIs; docs/how-to/add-any-chat.md lists them.

Words of the speaker and images stay with the message. A tool's input and output and documents are
*material*: they become messages of the role ``tool``, because they are not what the speaker says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from remembrancer.application.parsing.arguments import parse_name, parse_text, shown
from remembrancer.application.parsing.images import parse_image, parse_inline_image, parse_url
from remembrancer.application.parsing.sdk_objects import as_mapping
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.image import Image

MAX_NAME = 256

_ARGUMENTS = ("arguments", "input", "args")

Part: TypeAlias = Mapping[str, Any]


@frozen(kw_only=True)
class Piece:
    """Words, images or both, from the ``part`` of this index. ``material``: of a tool or a
    document; ``name``: of the tool; ``call_id``: of the tool call.
    """

    text: str = ""
    images: tuple[Image, ...] = ()
    material: bool = False
    name: str | None = None
    call_id: str | None = None
    part: int | None = None


@frozen
class Unread:
    """Something that can't be remembered: the error that says where and why, what it is, and the
    index of its part.
    """

    error: InvalidRequest
    label: str
    part: int | None = None


Found: TypeAlias = Iterator[Piece | Unread]


def read_part(part: object, path: str) -> Found:
    """Read one part.

    Args:
        part: a string, a mapping or an object of an SDK.
        path: its path in errors.

    Returns:
        What it holds, in order; nothing for an empty text.
    """
    if isinstance(part, str):
        yield from _caught(_words(part, path), "text")
        return
    fields = as_mapping(part)
    if fields is None:
        yield Unread(InvalidRequest(path, f"expected a part, got {type(part).__name__}"), "part")
        return
    kind = kind_of(fields) or "part"
    readers = _TYPED if isinstance(fields.get("type"), str) else _GEMINI
    yield from _caught(readers.get(kind, _unknown)(fields, path), label_of(kind))


def label_of(value: object) -> str:
    """A type of a part or a key, to show in a receipt."""
    return shown(value).strip("'\"")


def _caught(found: Found, label: str) -> Found:
    """What a reader finds; its error, which ends it, is the last item."""
    try:
        yield from found
    except InvalidRequest as error:
        yield Unread(error, label)


def kind_of(fields: Part) -> str | None:
    """The ``type`` of a part; for Gemini's parts, which have none, the name of the field that is
    set.
    """
    kind = fields.get("type")
    if isinstance(kind, str):
        return kind[:MAX_NAME]
    return next((name for name in _GEMINI if fields.get(name) not in (None, False)), None)


def is_part(fields: Part) -> bool:
    """Whether the fields are those of a part that is known."""
    kind = fields.get("type")
    return kind in _TYPED if isinstance(kind, str) else kind_of(fields) is not None


def read_call(call: object, path: str) -> Found:
    """Read a tool call that stands beside the content of its message."""
    yield from read_part({**(as_mapping(call) or {}), "type": "tool_call"}, path)


def _words(value: object, path: str) -> Found:
    held = as_mapping(value) if not isinstance(value, str) else None
    text = held.get("value") if held else value
    if not isinstance(text, str) or text.strip():
        yield Piece(text=parse_text(text, path))


def _text(part: Part, path: str) -> Found:
    yield from _words(part.get("text"), f"{path}.text")


def _refusal(part: Part, path: str) -> Found:
    yield from _words(part.get("refusal"), f"{path}.refusal")


def _image(part: Part, path: str) -> Found:
    yield Piece(images=(parse_image(part, path),))


def _call(part: Part, path: str) -> Found:
    """A tool call, in the forms of OpenAI (``function`` or ``custom``), Anthropic and LangChain."""
    held = as_mapping(part.get("function")) or as_mapping(part.get("custom")) or part
    asked = next((held[key] for key in _ARGUMENTS if held.get(key) is not None), "")
    call_id = part.get("call_id") or part.get("id")
    name = parse_text(held.get("name"), f"{path}.name", MAX_NAME)
    yield Piece(
        text=parse_text(f"{name}({_as_text(asked, path)})", path),
        material=True,
        call_id=call_id if isinstance(call_id, str) else None,
    )
    if part.get("output"):  # of a tool that the provider ran itself
        yield from _material(part["output"], f"{path}.output", part.get("name"))


def _result(part: Part, path: str) -> Found:
    key = "content" if part.get("content") is not None else "output"
    yield from _material(part.get(key), f"{path}.{key}", part.get("name"))


def _document(part: Part, path: str) -> Found:
    source = as_mapping(part.get("source")) or {}
    if source.get("type") in ("text", "content"):
        key = "data" if source["type"] == "text" else "content"
        yield from _material(source.get(key), f"{path}.source.{key}", part.get("title"))
    elif isinstance(part.get("text"), str):
        yield from _material(part["text"], f"{path}.text", part.get("title"))
    else:
        raise InvalidRequest(path, "is a document that is not plain text; pass its text")


def _search_result(part: Part, path: str) -> Found:
    yield from _material(part.get("content"), f"{path}.content", part.get("title"))


def _gemini_call(part: Part, path: str) -> Found:
    yield from _call(_held(part, "function_call", "functionCall", path), path)


def _gemini_response(part: Part, path: str) -> Found:
    held = _held(part, "function_response", "functionResponse", path)
    yield from _material(held.get("response"), path, held.get("name"))


def _gemini_code(part: Part, path: str) -> Found:
    held = _held(part, "executable_code", "executableCode", path)
    yield from _material(held.get("code"), path, None)


def _gemini_output(part: Part, path: str) -> Found:
    held = _held(part, "code_execution_result", "codeExecutionResult", path)
    yield from _material(held.get("output"), path, None)


def _gemini_data(part: Part, path: str) -> Found:
    held = _held(part, "inline_data", "inlineData", path)
    media_type = held.get("mime_type") or held.get("mimeType")
    if not _is_image(media_type):
        raise InvalidRequest(path, f"is {shown(media_type)}; only text and images are remembered")
    yield Piece(images=(parse_inline_image(media_type, held.get("data"), f"{path}.inline_data"),))


def _gemini_file(part: Part, path: str) -> Found:
    held = _held(part, "file_data", "fileData", path)
    media_type = held.get("mime_type") or held.get("mimeType")
    if not _is_image(media_type):
        raise InvalidRequest(path, f"is {shown(media_type)}; only text and images are remembered")
    address = held.get("file_uri") or held.get("fileUri")
    yield Piece(images=(parse_url(address, f"{path}.file_data.file_uri"),))


def _material(value: object, path: str, name: object) -> Found:
    """What a tool or a document says; parts that are neither text nor images are unread."""
    whose = _name(name)
    if not isinstance(value, list) or not all(_is_text_or_part(item) for item in value):
        text = _as_text(value, path)
        if text.strip():
            yield Piece(text=parse_text(text, path), material=True, name=whose)
        return
    texts: list[str] = []
    images: list[Image] = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        fields = {"type": "text", "text": item} if isinstance(item, str) else as_mapping(item)
        kind = kind_of(fields or {}) or "part"
        if fields is None or kind not in _IN_MATERIAL:
            yield Unread(InvalidRequest(where, _NOT_IN_MATERIAL), label_of(kind))
            continue
        for found in read_part(fields, where):
            if isinstance(found, Unread):
                yield found
            else:
                texts += [found.text] if found.text else []
                images += found.images
    if texts or images:
        text = parse_text("\n".join(texts), path) if texts else ""
        yield Piece(text=text, images=tuple(images), material=True, name=whose)


def _is_text_or_part(item: object) -> bool:
    return isinstance(item, str) or kind_of(as_mapping(item) or {}) is not None


def _name(value: object) -> str | None:
    """A name to show, or none: a tool's output is not lost because its name is odd."""
    try:
        return parse_name(value, "name")
    except InvalidRequest:
        return None


def _held(part: Part, name: str, camel: str, path: str) -> dict[str, Any]:
    value = part.get(name) if part.get(name) is not None else part.get(camel)
    held = as_mapping(value)
    if held is None:
        raise InvalidRequest(f"{path}.{name}", f"expected an object, got {type(value).__name__}")
    return held


def _is_image(media_type: object) -> bool:
    return isinstance(media_type, str) and media_type.casefold().startswith("image/")


def _as_text(value: object, path: str) -> str:
    """A string as it is, another value as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except Exception as error:
        # Cycles, depth, bytes, NaN, and whatever the methods of a foreign object raise.
        raise InvalidRequest(path, "is neither a text nor a JSON value") from error


def _unknown(part: Part, path: str) -> Found:
    kind = part.get("type")
    about = shown(kind) if isinstance(kind, str) else "without a type"
    raise InvalidRequest(path, f"is a part {about}; no text or image is known in it")
    yield


def _unread(problem: str) -> Callable[[Part, str], Found]:
    def read(_part: Part, path: str) -> Found:
        raise InvalidRequest(path, problem)
        yield

    return read


_NOT_IN_MATERIAL = "only text and images of a tool's output are remembered"
_SOUND = _unread("is sound; pass its transcript as text")
_FILM = _unread("is a video; only text and images are remembered")
_FILE = _unread("is a file; pass its text")
_REASONING = _unread("is the model's reasoning, which it told nobody")

_GEMINI: Mapping[str, Callable[[Part, str], Found]] = {
    "thought": _REASONING,
    "function_call": _gemini_call,
    "functionCall": _gemini_call,
    "function_response": _gemini_response,
    "functionResponse": _gemini_response,
    "inline_data": _gemini_data,
    "inlineData": _gemini_data,
    "file_data": _gemini_file,
    "fileData": _gemini_file,
    "executable_code": _gemini_code,
    "executableCode": _gemini_code,
    "code_execution_result": _gemini_output,
    "codeExecutionResult": _gemini_output,
    "text": _text,
}
"""Parts without a type, by the first of these fields that is set."""

_TYPED: Mapping[str, Callable[[Part, str], Found]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text"), _text),
    "refusal": _refusal,
    **dict.fromkeys(("image", "image_url", "input_image"), _image),
    **dict.fromkeys(
        (
            "custom_tool_call",
            "function_call",
            "mcp_call",
            "mcp_tool_use",
            "server_tool_call",
            "server_tool_use",
            "tool_call",
            "tool_use",
        ),
        _call,
    ),
    **dict.fromkeys(
        (
            "bash_code_execution_tool_result",
            "code_execution_tool_result",
            "custom_tool_call_output",
            "function_call_output",
            "mcp_tool_result",
            "server_tool_result",
            "text_editor_code_execution_tool_result",
            "tool_result",
            "web_fetch_tool_result",
        ),
        _result,
    ),
    **dict.fromkeys(("document", "text-plain"), _document),
    "search_result": _search_result,
    **dict.fromkeys(
        ("reasoning", "reasoning_content", "redacted_thinking", "thinking"), _REASONING
    ),
    **dict.fromkeys(("audio", "input_audio", "media"), _SOUND),
    **dict.fromkeys(("video", "video_url"), _FILM),
    **dict.fromkeys(("file", "input_file", "container_upload"), _FILE),
}
"""Parts and items by ``type``: OpenAI's, Anthropic's and LangChain's."""

_IN_MATERIAL = {"image", "image_url", "input_image", "input_text", "output_text", "text"}
"""Parts that a tool's output may have. Others could hold further outputs, without end."""
