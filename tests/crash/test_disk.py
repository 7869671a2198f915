"""The simulated disk leaves all that a power cut may leave, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.crash.disk import SECTOR, Disk
from tests.crash.syscalls import Call

OLD, NEW = b"a" * 2 * SECTOR, b"b" * 2 * SECTOR


def created(name: str, inode: int = 1) -> Call:
    return Call("o", False, inode, 0, name, b"")


def wrote(data: bytes, offset: int = 0, inode: int = 1) -> Call:
    return Call("w", False, inode, offset, "", data)


def cut_to(length: int) -> Call:
    return Call("t", False, 1, length, "", b"")


def synced(*, failed: bool = False) -> Call:
    return Call("s", failed, 1, 0, "", b"")


def synced_folder() -> Call:
    return Call("d", False, 9, 0, "", b"")


def unlinked(name: str) -> Call:
    return Call("u", False, 0, 0, name, b"")


def linked(name: str) -> Call:
    return Call("l", False, 1, 0, name, b"")


SAFE = [created("f"), wrote(OLD), synced(), synced_folder()]
"""A file that is on the disk."""


def left(calls: Sequence[Call], name: str = "f", seeds: int = 400) -> set[bytes | None]:
    """What many power cuts leave of a file."""
    disk = Disk()
    for call in calls:
        disk.play(call)
    return {disk.after_power_cut(random.Random(seed)).get(name) for seed in range(seeds)}


def test_synced_writes_are_there() -> None:
    assert left([*SAFE, wrote(NEW), synced()]) == {NEW}


def test_unsynced_write_is_there_or_missing_or_torn_at_a_sector() -> None:
    first, second = NEW[:SECTOR] + OLD[SECTOR:], OLD[:SECTOR] + NEW[SECTOR:]
    assert left([*SAFE, wrote(NEW)]) == {OLD, NEW, first, second}


def test_later_write_may_be_there_without_an_earlier_one() -> None:
    found = left([*SAFE, wrote(b"1", SECTOR * 4), wrote(b"2", SECTOR * 5)])
    assert OLD + bytes(SECTOR * 3) + b"2" in {content.rstrip(b"\0") for content in found if content}


def test_missing_write_may_have_left_a_longer_file() -> None:
    found = left([*SAFE, wrote(NEW, len(OLD))])
    assert {OLD, OLD + bytes(len(NEW)), OLD + NEW} <= found
    assert any(content and not set(content[len(OLD) :]) <= {0, NEW[0]} for content in found)
    assert all(content and content.startswith(OLD) for content in found)


def test_truncation_is_done_or_not() -> None:
    assert left([*SAFE, cut_to(7)]) == {OLD, OLD[:7]}
    assert left([*SAFE, cut_to(7), synced()]) == {OLD[:7]}


def test_write_before_a_failed_sync_stays_uncertain_although_the_next_sync_succeeds() -> None:
    failed = [*SAFE, wrote(NEW), synced(failed=True), synced()]
    assert {OLD, NEW} <= left(failed)
    assert left([*failed, wrote(NEW), synced()]) == {NEW}


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([created("f"), wrote(OLD), synced()], {None, OLD}),
        ([*SAFE, unlinked("f")], {None, OLD}),
        ([*SAFE, unlinked("f"), synced_folder()], {None}),
        ([created("g"), wrote(OLD), synced(), linked("f"), unlinked("g")], {None, OLD}),
    ],
    ids=["created", "unlinked", "unlinked for good", "linked"],
)
def test_name_is_certain_when_the_folder_is_synced(
    calls: Sequence[Call], expected: set[bytes | None]
) -> None:
    assert left(calls) == expected


def test_number_of_a_deleted_file_may_be_used_again() -> None:
    calls = [*SAFE, unlinked("f"), synced_folder(), created("g"), wrote(NEW), synced()]
    assert left([*calls, synced_folder()], "g") == {NEW}


def test_journal_is_what_somebody_else_saw() -> None:
    disk = Disk()
    for call in [created("journal-a"), wrote(b"1\n"), wrote(b"2\n", 2)]:
        disk.play(call)
    assert disk.after_power_cut(random.Random(0)) == {}
    assert disk.journals == {"journal-a": b"1\n2\n"}
