"""Write the files that options name."""

from __future__ import annotations

from pathlib import Path

from remembrancer import InvalidRequest


def write_file(option: str, path: str, content: str) -> None:
    """Write a file that an option named.

    Raises:
        InvalidRequest: it can't be written.
    """
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(option, f"{path} can't be written: {error.strerror}") from error
