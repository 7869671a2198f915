"""Limits in bytes: of one message, of the metadata of a call or a message, and of a whole call.

Metadata is copied to every fact, and kept with every version of it, so its limit is the smallest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from attrs.validators import ge

from remembrancer.application.parsing.arguments import parse_metadata
from remembrancer.application.parsing.request import RememberRequest
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import Metadata


@frozen(kw_only=True)
class Limits:
    """Settings of the section ``limits``. Texts are counted in UTF-8, metadata as compact JSON.

    Args:
        metadata: bytes of the metadata of a call, an update or a message, 2 or more.
        message: bytes of the text of a message, 1 or more.
        request: bytes of all texts and all metadata of an ``add``, 1 or more.

    Raises:
        ValueError: a number out of range.
    """

    metadata: int = field(default=16_384, validator=ge(2))
    message: int = field(default=1_000_000, validator=ge(1))
    request: int = field(default=10_000_000, validator=ge(1))

    def checked(self, request: RememberRequest) -> RememberRequest:
        """The request, if it is within the limits; images have limits of their own.

        Raises:
            InvalidRequest: names what is too long, its size, the limit and its setting.
        """
        total = self._check_metadata(request.metadata, "metadata")
        for turn in request.turns:
            place = f"messages[{turn.index}]"
            total += self._check(len(turn.text.encode()), "message", f"{place}.content")
            total += self._check_metadata(turn.metadata, f"{place}.metadata")
        self._check(total, "request", "messages")
        return request

    def metadata_of(self, value: Mapping[str, Any] | None) -> Metadata | None:
        """The metadata of an update, if it is within the limit; ``None`` stays.

        Raises:
            InvalidRequest: it is no JSON object, or too long.
        """
        if value is None:
            return None
        metadata = parse_metadata(value)
        self._check_metadata(metadata, "metadata")
        return metadata

    def _check_metadata(self, metadata: Metadata, path: str) -> int:
        if not metadata:
            return 0
        encoded = json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()
        return self._check(len(encoded), "metadata", path)

    def _check(self, size: int, name: str, path: str) -> int:
        limit: int = getattr(self, name)
        if size > limit:
            raise InvalidRequest(
                path,
                f"has {size:,} bytes; at most {limit:,} are allowed (limits.{name}); make it "
                "shorter, or raise the limit",
            )
        return size
