"""The folder of the client's local mode: made for its owner alone, recognised at every call.

The client keeps all documents in memory and writes them to a SQLite file per collection. It would
go on writing to files that were deleted or replaced, which nobody ever sees again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest

NAME = "qdrant"

State: TypeAlias = dict[Path, tuple[int, int] | None]
"""Device and inode of each file, ``None`` without it."""


class LocalFolder:
    """The folder that a path named when the index was opened.

    Args:
        path: the folder; a link is followed once, here.
        collection: the collection in it.

    Attributes:
        path: the resolved path.
    """

    def __init__(self, path: str, collection: str) -> None:
        self.path = os.path.realpath(path)
        folder = Path(self.path)
        self._documents = folder / "collection" / collection / "storage.sqlite"
        self._files = (folder, folder / ".lock", self._documents)
        self._seen: State = {}

    def make(self) -> None:
        """Make the folder, for its owner alone, if it is missing.

        Raises:
            InvalidRequest: that is not possible.
        """
        try:
            Path(self.path).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(self.path, error) from error

    def pin(self) -> None:
        """Remember the files that belong to the open client."""
        self._seen = self._state()

    def release(self) -> None:
        """Forget the files: the client is about to replace them."""
        self._seen = {}

    def check(self) -> None:
        """Refuse to go on with other files than those that were opened.

        Raises:
            AdapterUnavailable: one was deleted, replaced or cut to nothing.
        """
        if not self._seen:
            return
        now = self._state()
        for file, was in self._seen.items():
            if was is not None and now[file] != was:
                raise AdapterUnavailable(
                    NAME,
                    f"{file} was deleted, replaced or cut while it was open, so nothing more is "
                    "written; put it back, or open the memory again and rebuild the index",
                )

    def _state(self) -> State:
        return {file: self._identity(file) for file in self._files}

    def _identity(self, file: Path) -> tuple[int, int] | None:
        try:
            found = file.stat()
        except OSError:
            return None
        if file == self._documents and not found.st_size:
            return None
        return found.st_dev, found.st_ino


def unusable(path: str, error: OSError) -> InvalidRequest:
    """The typed error for a folder that can't be used."""
    return InvalidRequest(
        "vector_index.path", f"qdrant: {path} can't be used as a folder: {error.strerror}"
    )
