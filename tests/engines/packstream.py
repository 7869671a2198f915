"""PackStream version 1, the encoding of values in Bolt messages: the subset used here.

Written from the specification (neo4j.com/docs/bolt/current/packstream). No graph types: the
adapter's statements return properties, never nodes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from attrs import frozen


@frozen
class Message:
    """A structure with its kind and fields."""

    kind: int
    fields: list[Any]


def pack(value: Any) -> bytes:
    """Encode a value."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _pack_integer(value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xC1, value)
    if isinstance(value, str):
        encoded = value.encode()
        return _sized(len(encoded), 0x80, (0xD0, 0xD1, 0xD2)) + encoded
    if isinstance(value, list):
        return _sized(len(value), 0x90, (0xD4, 0xD5, 0xD6)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        size = _sized(len(value), 0xA0, (0xD8, 0xD9, 0xDA))
        return size + b"".join(pack(key) + pack(item) for key, item in value.items())
    if isinstance(value, Message):
        fields = b"".join(map(pack, value.fields))
        return bytes([0xB0 + len(value.fields), value.kind]) + fields
    raise TypeError(f"cannot encode {type(value).__name__}")


def _pack_integer(value: int) -> bytes:
    if -16 <= value < 128:
        return struct.pack(">b", value)
    for marker, form, bits in ((0xC8, "b", 7), (0xC9, "h", 15), (0xCA, "i", 31), (0xCB, "q", 63)):
        if -(1 << bits) <= value < 1 << bits:
            return struct.pack(f">B{form}", marker, value)
    raise ValueError(f"{value} has more than 64 bits")


def _sized(size: int, tiny: int, markers: tuple[int, int, int]) -> bytes:
    if size < 16:
        return bytes([tiny + size])
    for marker, form, bits in zip(markers, "BHI", (8, 16, 32), strict=True):
        if size < 1 << bits:
            return struct.pack(f">B{form}", marker, size)
    raise ValueError(f"{size} is too long")


def unpack(data: bytes) -> Any:
    """Decode a value; raises ValueError if bytes are left over."""
    reader = _Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes too many")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def value(self) -> Any:
        marker = self._take(1)[0]
        if marker < 0x80 or marker >= 0xF0:
            return marker if marker < 0x80 else marker - 0x100
        tiny: dict[int, Callable[[int], Any]] = {
            0x80: self._text,
            0x90: self._list,
            0xA0: self._dict,
            0xB0: self._structure,
        }
        if marker & 0xF0 in tiny:
            return tiny[marker & 0xF0](marker & 0x0F)
        if marker in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[marker]
        if marker in _NUMBERS:
            return self._number(_NUMBERS[marker])
        many = {0xD0: self._text, 0xD4: self._list, 0xD8: self._dict}[marker & 0xFC]
        return many(self._number("BHI"[marker & 0x03]))

    def _take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise ValueError(f"{count - len(taken)} bytes missing")
        self.at += count
        return taken

    def _number(self, form: str) -> Any:
        return struct.unpack(f">{form}", self._take(struct.calcsize(f">{form}")))[0]

    def _text(self, size: int) -> str:
        return self._take(size).decode()

    def _list(self, size: int) -> list[Any]:
        return [self.value() for _ in range(size)]

    def _dict(self, size: int) -> dict[str, Any]:
        return {self.value(): self.value() for _ in range(size)}

    def _structure(self, size: int) -> Message:
        kind = self._take(1)[0]
        return Message(kind, self._list(size))


_NUMBERS = {0xC1: "d", 0xC8: "b", 0xC9: "h", 0xCA: "i", 0xCB: "q"}
