"""Validate image parts of messages, in the forms of the OpenAI and Anthropic APIs.

URLs are not fetched. Base64 is decoded; the bytes are not checked to be an image.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.image import Image

MAX_IMAGE_BYTES = 20_000_000
"""More than providers accept: OpenAI's limit is 50 MB per request, Anthropic's 5 MB per image."""

MAX_URL_CHARACTERS = 8_192

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.DOTALL)
_MEDIA_TYPE = re.compile(r"image/[a-z0-9][a-z0-9.+-]{0,62}")
_ADDRESS = re.compile(r"https?://[^\s\x00-\x20\x7f-\x9f\ud800-\udfff]+", re.IGNORECASE)


def parse_image(part: Mapping[str, Any], path: str) -> Image:
    """Parse an image part.

    Args:
        part: ``{"type": "image_url", "image_url": {"url": …}}`` with an address or a ``data:``
            URL, or ``{"type": "image", "source": {"type": "base64", "media_type": …, "data": …}}``,
            or the same with a source of the type ``url``.
        path: its path in errors.

    Raises:
        InvalidRequest: it has another form, or its URL, media type or data is invalid.
    """
    kind = part.get("type")
    if kind == "image_url":
        held = part.get("image_url")
        if isinstance(held, Mapping):
            return _parse_url(held.get("url"), f"{path}.image_url.url")
        return _parse_url(held, f"{path}.image_url")
    if kind == "image":
        return _parse_source(part.get("source"), f"{path}.source")
    raise InvalidRequest(
        path,
        "only text, image_url and image parts can be remembered; leave others out",
    )


def _parse_source(source: object, path: str) -> Image:
    if not isinstance(source, Mapping):
        raise InvalidRequest(path, f"expected a source, got {type(source).__name__}")
    kind = source.get("type")
    if kind == "url":
        return _parse_url(source.get("url"), f"{path}.url")
    if kind == "base64":
        return _parse_data(source.get("media_type"), source.get("data"), path)
    raise InvalidRequest(f"{path}.type", "expected base64 or url; other sources are not supported")


def _parse_url(url: object, path: str) -> Image:
    if not isinstance(url, str):
        raise InvalidRequest(path, f"expected a string, got {type(url).__name__}")
    if url[:5].casefold() == "data:":
        match = _DATA_URL.fullmatch(f"data:{url[5:]}")
        if match is None or match[2].casefold().split(";")[-1] != "base64":
            raise InvalidRequest(path, "a data URL has to be data:image/…;base64,…")
        return _parse_data(match[1], match[3], path)
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidRequest(
            path, f"has {len(url):,} characters; at most {MAX_URL_CHARACTERS:,} are allowed"
        )
    if not _ADDRESS.fullmatch(url):
        raise InvalidRequest(path, "expected an address with http: or https:, or a data URL")
    return Image(reference=str.__str__(url))


def _parse_data(media_type: object, data: object, path: str) -> Image:
    kind = media_type.casefold() if isinstance(media_type, str) else ""
    if not _MEDIA_TYPE.fullmatch(kind):
        raise InvalidRequest(path, "the media type is not that of an image, such as image/png")
    if not isinstance(data, str):
        raise InvalidRequest(path, f"expected base64 in a string, got {type(data).__name__}")
    if len(data) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise InvalidRequest(
            path, f"the image has more than {MAX_IMAGE_BYTES:,} bytes; make it smaller"
        )
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(path, f"is not base64: {error}") from error
    if not content:
        raise InvalidRequest(path, "the image is empty")
    return Image(
        reference=f"sha256:{sha256(content).hexdigest()}",
        media_type=kind,
        size=len(content),
        data=base64.b64encode(content).decode(),
    )
