"""A disk that loses power: what may be left of a recorded sequence of system calls.

The model is weaker than real file systems, so whatever they may leave is among what it leaves:

* What was written before the last successful sync of a file is there.
* Of every write and truncation since then, each is there, is missing, or is there for some of its
  sectors of 512 bytes, independently of all others. A missing write may have left the file longer,
  with zeros or with any bytes.
* What a failed sync did not write may never be written, although later syncs succeed.
* A name is created or deleted for good when its folder is synced; until then, either.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from attrs import define, field

from tests.crash.syscalls import Call

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""

JOURNAL = "journal"
"""How the names of files begin that are not on the disk: they hold what somebody else saw."""


@define
class Change:
    """A write, or with ``data`` of ``None`` a truncation to ``offset`` bytes.

    ``number`` says which came first, over all files.
    """

    number: int
    offset: int
    data: bytes | None
    survives: bool = False
    abandoned: bool = False
    """Whether a sync failed that had to write it."""

    def apply(self, image: bytearray) -> None:
        """Do it completely."""
        if self.data is None:
            _resize(image, self.offset)
        else:
            _write(image, self.offset, self.data)


Fate: TypeAlias = Callable[[bytearray, Change], None]
"""Does to the image of a file what is left of a change."""


@define
class File:
    """What is on the disk for certain, and the changes after that, in order."""

    durable: bytearray = field(factory=bytearray)
    changes: list[Change] = field(factory=list)

    def synced(self, *, failed: bool) -> None:
        """Make the changes durable, or, if the sync failed, leave each of them to chance."""
        for change in self.changes:
            if failed:
                change.abandoned = not change.survives
            else:
                change.survives = not change.abandoned
        while self.changes and self.changes[0].survives:
            self.changes.pop(0).apply(self.durable)

    def image(self, fate: Fate) -> bytes:
        """The content, if what is not durable meets a fate."""
        image = bytearray(self.durable)
        for change in self.changes:
            if change.survives:
                change.apply(image)
            else:
                fate(image, change)
        return bytes(image)


class Disk:
    """A folder whose calls are played to it."""

    def __init__(self) -> None:
        self._files: dict[int, File] = {}
        # For each name what it named since the last sync of the folder, first to last.
        self._names: dict[str, list[File | None]] = {}
        self.journals: dict[str, bytes] = {}
        self._journals: dict[int, str] = {}
        self._played = 0

    def play(self, call: Call) -> None:
        """Do one call."""
        self._played += 1
        if call.kind == "o":
            self._create(call)
        elif call.kind == "l":
            self._names.setdefault(call.name, [None]).append(self._files[call.inode])
        elif call.kind == "u":
            self._names[call.name].append(None)
        elif call.kind == "d":
            self._sync_folder(failed=call.failed)
        elif call.inode in self._journals:
            self.journals[self._journals[call.inode]] += call.data
        elif call.kind == "s":
            self._files[call.inode].synced(failed=call.failed)
        else:
            data = call.data if call.kind == "w" else None
            self._files[call.inode].changes.append(Change(self._played, call.offset, data))

    def _create(self, call: Call) -> None:
        # An inode number is used again once its file is deleted and closed.
        self._journals.pop(call.inode, None)
        if call.name.startswith(JOURNAL):
            self._journals[call.inode] = call.name
            self.journals[call.name] = b""
            return
        self._files[call.inode] = File()
        self._names.setdefault(call.name, [None]).append(self._files[call.inode])

    def _sync_folder(self, *, failed: bool) -> None:
        if not failed:
            now = {name: history[-1:] for name, history in self._names.items()}
            self._names = {name: history for name, history in now.items() if history != [None]}

    def content(self) -> dict[str, bytes]:
        """All files, as processes see them."""
        return self._content(lambda history: history[-1], lambda image, change: change.apply(image))

    def after_power_cut(self, chance: random.Random) -> dict[str, bytes]:
        """All files as the next start may find them."""
        unsynced = sorted(
            change.number
            for file in {id(each): each for each in self._named()}.values()
            for change in file.changes
            if not change.survives
        )
        fates = dict(zip(unsynced, chance.choice(WAYS)(len(unsynced), chance), strict=True))

        def meet(image: bytearray, change: Change) -> None:
            fates[change.number](image, change)

        return self._content(chance.choice, meet)

    def _named(self) -> Iterator[File]:
        for history in self._names.values():
            yield from (file for file in history if file is not None)

    def _content(
        self, named: Callable[[list[File | None]], File | None], fate: Fate
    ) -> dict[str, bytes]:
        chosen = ((name, named(history)) for name, history in self._names.items())
        return {name: file.image(fate) for name, file in chosen if file is not None}


def write_out(content: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder, for their owner alone."""
    for name, data in content.items():
        path = folder / name
        path.touch(0o600)
        path.write_bytes(data)


def _resize(image: bytearray, length: int) -> None:
    del image[length:]
    image.extend(bytes(length - len(image)))


def _write(image: bytearray, offset: int, data: bytes) -> None:
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


# What may become of a change


def kept(image: bytearray, change: Change) -> None:
    """It is there."""
    change.apply(image)


def dropped(_image: bytearray, _change: Change) -> None:
    """It is not there."""


def grown(chance: random.Random) -> Fate:
    """It is not there, but the file has its length, with zeros or with what was on the disk."""

    def grow(image: bytearray, change: Change) -> None:
        missing = change.offset + len(change.data or b"") - len(image)
        if missing > 0:
            image.extend(bytes(missing) if chance.random() < 0.5 else chance.randbytes(missing))

    return grow


def torn(chance: random.Random) -> Fate:
    """It is there for its first sectors, or for any of them."""

    def tear(image: bytearray, change: Change) -> None:
        if change.data is None:
            return
        sectors = list(_sectors(change.offset, change.data))
        if chance.random() < 0.5:
            left: Iterable[tuple[int, bytes]] = sectors[: chance.randrange(len(sectors) + 1)]
        else:
            left = [sector for sector in sectors if chance.random() < 0.5]
        for offset, data in left:
            _write(image, offset, data)

    return tear


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        end = min(len(data), at + SECTOR - (offset + at) % SECTOR)
        yield offset + at, data[at:end]
        at = end


def in_order(count: int, chance: random.Random) -> Sequence[Fate]:
    """The first changes are there, the next one is torn, the rest is missing."""
    last = chance.randrange(count + 1)
    return ([kept] * last + [torn(chance)] + [dropped] * count)[:count]


def last_first(count: int, chance: random.Random) -> Sequence[Fate]:
    """The last changes are there, and none before them."""
    first = chance.randrange(count + 1)
    return ([dropped] * first + [kept] * count)[:count]


def in_any_order(count: int, chance: random.Random) -> Sequence[Fate]:
    """Each change for itself."""
    likely = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    return [
        kept
        if chance.random() < likely
        else chance.choice((dropped, dropped, grown(chance), torn(chance)))
        for _ in range(count)
    ]


WAYS: tuple[Callable[[int, random.Random], Sequence[Fate]], ...] = (
    in_order,
    last_first,
    in_any_order,
)
