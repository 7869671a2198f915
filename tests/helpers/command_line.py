"""Run the command line in tests: in this process, in another one, or on a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen


@frozen(kw_only=True)
class Outcome:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error of a command that was run with ``--json``."""
        return json.loads(self.err)["error"]


CommandLine = Callable[..., Outcome]
"""The type of the fixture ``remembrancer``: arguments and ``stdin`` bytes to an outcome."""


def start(
    *arguments: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start a command in its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "remembrancer", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def on_terminal(*arguments: str, typed: str = "") -> Outcome:
    """Run a command on a pseudo-terminal; ``out`` is everything that it shows."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "remembrancer", *arguments], stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    os.write(master, typed.encode())
    seen = b""
    while chunk := _read(master):
        seen += chunk
    os.close(master)
    return Outcome(code=process.wait(), out=seen.decode(), err="")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # On Linux, this error means that the other end is closed.
        return b""
