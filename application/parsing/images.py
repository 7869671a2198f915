"""Validate image parts of messages, in the forms of chat APIs.

URLs are not fetched. Base64 is decoded; the bytes are not checked to be an image.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from remembrancer.application.parsing.sdk_objects import as_mapping
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.image import Image

MAX_IMAGE_BYTES = 20_000_000
"""More than providers accept: OpenAI's limit is 50 MB per request, Anthropic's 5 MB per image."""

MAX_URL_CHARACTERS = 8_192

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.DOTALL)
_MEDIA_TYPE = re.compile(r"image/[a-z0-9][a-z0-9.+-]{0,62}")
_FROM_URL_ALPHABET = str.maketrans("-_", "+/")
_TOO_BIG = f"the image has more than {MAX_IMAGE_BYTES:,} bytes; make it smaller"
_ADDRESS = re.compile(r"https?://[^\s\x00-\x20\x7f-\x9f\ud800-\udfff]+", re.IGNORECASE)


def parse_image(part: Mapping[str, Any], path: str) -> Image:
    """Parse an image part.

    Args:
        part: ``{"type": "image_url", "image_url": {"url": …}}`` or ``{"type": "input_image",
            "image_url": …}`` with an address or a ``data:`` URL; ``{"type": "image", "source":
            {"type": "base64", "media_type": …, "data": …}}``, or with a source of the type
            ``url``; or LangChain's ``{"type": "image", "base64": …, "mime_type": …}``, or with a
            ``url``.
        path: its path in errors.

    Raises:
        InvalidRequest: it has another form, or its URL, media type or data is invalid.
    """
    if part.get("type") != "image":
        held = as_mapping(part.get("image_url"))
        if held is not None:
            return parse_url(held.get("url"), f"{path}.image_url.url")
        return parse_url(part.get("image_url"), f"{path}.image_url")
    if part.get("source") is None:
        if part.get("url") is not None:
            return parse_url(part["url"], f"{path}.url")
        for key in ("base64", "data"):
            if part.get(key) is not None:
                return parse_inline_image(part.get("mime_type"), part[key], f"{path}.{key}")
    return _parse_source(part.get("source"), f"{path}.source")


def _parse_source(value: object, path: str) -> Image:
    source = as_mapping(value)
    if source is None:
        raise InvalidRequest(path, f"expected a source, got {type(value).__name__}")
    kind = source.get("type")
    if kind == "url":
        return parse_url(source.get("url"), f"{path}.url")
    if kind == "base64":
        return parse_inline_image(source.get("media_type"), source.get("data"), path)
    raise InvalidRequest(f"{path}.type", "expected base64 or url; other sources are not supported")


def parse_url(url: object, path: str) -> Image:
    """An image by its address, or in a ``data:`` URL.

    Raises:
        InvalidRequest: it is no such address, or the media type or the data is invalid.
    """
    if not isinstance(url, str):
        raise InvalidRequest(path, f"expected a string, got {type(url).__name__}")
    if url[:5].casefold() == "data:":
        match = _DATA_URL.fullmatch(f"data:{url[5:]}")
        if match is None or match[2].casefold().split(";")[-1] != "base64":
            raise InvalidRequest(path, "a data URL has to be data:image/…;base64,…")
        return parse_inline_image(match[1], match[3], path)
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidRequest(
            path, f"has {len(url):,} characters; at most {MAX_URL_CHARACTERS:,} are allowed"
        )
    if not _ADDRESS.fullmatch(url):
        raise InvalidRequest(path, "expected an address with http: or https:, or a data URL")
    return Image(reference=str.__str__(url))


def parse_inline_image(media_type: object, data: object, path: str) -> Image:
    """An image in the message itself.

    Args:
        media_type: such as ``image/png``.
        data: bytes, or base64 with either alphabet.
        path: its path in errors.

    Raises:
        InvalidRequest: the media type is not that of an image, or the data is none, or too much.
    """
    kind = media_type.casefold() if isinstance(media_type, str) else ""
    if not _MEDIA_TYPE.fullmatch(kind):
        raise InvalidRequest(path, "the media type is not that of an image, such as image/png")
    content = bytes(data) if isinstance(data, bytes | bytearray) else _decoded(data, path)
    if len(content) > MAX_IMAGE_BYTES:
        raise InvalidRequest(path, _TOO_BIG)
    if not content:
        raise InvalidRequest(path, "the image is empty")
    return Image(
        reference=f"sha256:{sha256(content).hexdigest()}",
        media_type=kind,
        size=len(content),
        data=base64.b64encode(content).decode(),
    )


def _decoded(data: object, path: str) -> bytes:
    if not isinstance(data, str):
        raise InvalidRequest(path, f"expected base64 in a string, got {type(data).__name__}")
    if len(data) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise InvalidRequest(path, _TOO_BIG)
    try:
        # Gemini's JSON has the alphabet for URLs.
        return base64.b64decode(data.translate(_FROM_URL_ALPHABET), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(path, f"is not base64: {error}") from error
