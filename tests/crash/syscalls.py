"""The system calls of a process on one folder: recorded, or failing (``syscalls.c``).

A library between the process and the C library sees the real calls of the real SQLite. It needs
Linux and a C compiler (``cc``); elsewhere ``Unavailable`` says what is missing.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from attrs import frozen

SOURCE = Path(__file__).with_name("syscalls.c")
HEADER = struct.Struct("<BBHIQq")
ROOT = Path(__file__).parents[2]


class Unavailable(Exception):
    """System calls can't be recorded here; the message says why."""


@frozen
class Call:
    """A call that changed something.

    ``kind``: ``o`` a file was created, ``w`` written at ``offset``, ``t`` cut to ``offset`` bytes,
    ``s`` synced, ``l`` a name was linked, ``u`` unlinked, ``d`` the folder was synced. Only a sync
    is recorded when it ``failed``.
    """

    kind: str
    failed: bool
    inode: int
    offset: int
    name: str
    data: bytes


def compiled(folder: Path) -> Path:
    """The library, compiled into a folder.

    Raises:
        Unavailable: it can't be compiled or preloaded here.
    """
    if sys.platform != "linux":
        raise Unavailable(f"system calls are recorded on Linux only, this is {sys.platform}")
    if (compiler := shutil.which("cc")) is None:
        raise Unavailable("system calls are recorded by a library in C, and there is no cc")
    library = folder / "syscalls.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)]
    made = subprocess.run(
        [*command, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Unavailable(f"cc can't compile {SOURCE.name}: {made.stderr.strip()}")
    probe = "import ctypes; ctypes.CDLL(None).syscalls_counted"
    tried = subprocess.run(
        [sys.executable, "-c", probe], env=environment(library, folder), check=False
    )
    if tried.returncode:
        raise Unavailable("LD_PRELOAD has no effect on this Python")
    return library


def environment(library: Path, folder: Path, trace: Path | None = None) -> dict[str, str]:
    """The environment of a process whose calls on ``folder`` are seen, and recorded in ``trace``
    if there is one.
    """
    seen = {"LD_PRELOAD": str(library), "SYSCALLS_FOLDER": str(folder.resolve())}
    if trace is not None:
        trace.touch()
        seen["SYSCALLS_TRACE"] = str(trace)
    return {**os.environ, **seen, "PYTHONPATH": str(ROOT)}


def read_trace(path: Path) -> Iterator[Call]:
    """The recorded calls, in order."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        kind, failed, named, length, inode, offset = HEADER.unpack_from(content, at)
        name_at = at + HEADER.size
        data_at = name_at + named
        at = data_at + length
        name = os.fsdecode(content[name_at:data_at])
        yield Call(chr(kind), bool(failed), inode, offset, name, content[data_at:at])


# In the process whose calls are seen


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def calls_on_folder() -> int:
    """How many calls were counted since the last ``failing`` began."""
    return int(_library().syscalls_counted())


@contextmanager
def failing(
    kinds: str, first: int, times: int, error: int, *, halve: bool = False
) -> Iterator[None]:
    """Let calls of this process on the folder fail inside the block.

    Args:
        kinds: one letter per group of calls, see ``syscalls_fail`` in ``syscalls.c``.
        first: the first one that fails, counted from 1; 0 lets none fail.
        times: how many fail.
        error: the ``errno``.
        halve: the first write that fails writes half of its bytes instead.
    """
    _library().syscalls_fail(kinds.encode(), first, times, error, halve)
    try:
        yield
    finally:
        _library().syscalls_fail(b"", 0, 0, 0, 0)
