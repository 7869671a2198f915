"""Output streams and consoles: which characters and which styles they take."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def escape_unencodable() -> None:
    """Escape what the encoding of standard output can't express, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_styled() -> bool:
    """Whether styles are allowed: ``NO_COLOR`` (https://no-color.org) is unset or empty."""
    return not os.environ.get("NO_COLOR")


def console(*, stderr: bool = False) -> Console:
    """A console that prints texts as they are. Without styles it prints no dim or bold either.

    rich is imported late: ``--help`` must be fast.
    """
    from rich.console import Console

    return Console(
        stderr=stderr,
        color_system="auto" if is_styled() else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
