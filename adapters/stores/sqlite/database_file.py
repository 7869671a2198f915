"""The file of a database: resolved once, created for its owner alone, recognised at every call.

It knows how SQLite names the files beside it, and nothing of what is in them.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from remembrancer.adapters.stores.sqlite.failures import unopenable
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError

Identity: TypeAlias = tuple[int, int]
"""Device and inode: what a file keeps when it is renamed, and what its successor does not have."""

State: TypeAlias = tuple[Identity | None, ...]
"""The identities of the database, of its write-ahead log and of that log's index; for an immutable
file also its length and when it was written.
"""

_SUFFIXES = ("", "-wal", "-shm")


def expanded(path: str) -> str:
    """``path`` with the home folder in place of a leading ``~`` or ``~user``."""
    # A name with NUL or a lone surrogate, or a user that does not exist: the opening reports it.
    with suppress(ValueError, RuntimeError):
        return str(Path(path).expanduser()) if path.startswith("~") else path
    return path


def create(path: str) -> None:
    """Create an empty file with owner-only permissions, unless it exists.

    Raises:
        AdapterUnavailable: the folder is missing or not writable.
    """
    try:
        # Not opened under its final name: POSIX releases all locks of a process on a file when
        # any of its handles is closed, and another connection may hold locks by then.
        handle, made = tempfile.mkstemp(dir=Path(path).parent, prefix=".remembrancer-")
        os.close(handle)
        try:
            _link(made, path)
        finally:
            Path(made).unlink()
    except OSError as error:
        raise unopenable(path, error) from error


def _link(made: str, path: str) -> None:
    try:
        os.link(made, path)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


class DatabaseFile:
    """The file that a path named when it was opened.

    A reader leaves nothing behind: a database that no process writes to has no write-ahead log,
    and is read as immutable, so that SQLite creates no files beside it. That also reads a file in a
    folder that can't be written to.

    Args:
        path: the file; a link is followed once, here.
        read_only: whether it is opened for reading alone.

    Attributes:
        path: the resolved path.
        seen: what the connections in use were opened on.

    Raises:
        IntegrityError: the file is empty or missing beside a write-ahead log: it was cut or
            deleted, and must not be taken for a new database.
        AdapterUnavailable: it does not exist and can't be created.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = os.path.realpath(path)
        self._read_only = read_only
        self._main, self._ahead, self._index = (Path(self.path + each) for each in _SUFFIXES)
        self._require_whole()
        if not (read_only or self._main.exists()):
            create(self.path)
        self._immutable = read_only and not self._ahead.exists()
        self.seen: State = (_identity(self._main),)

    def _require_whole(self) -> None:
        empty = not self._main.exists() or self._main.stat().st_size == 0
        if empty and self._ahead.exists():
            raise IntegrityError(
                f"{self.path} is empty or missing, but {self._ahead} is there: the file was cut or "
                "deleted; restore a backup, or move the other file away to begin anew"
            )

    @property
    def target(self) -> str:
        """The URI to connect to. SQLite never creates the file."""
        mode = "ro" if self._read_only else "rw"
        immutable = "&immutable=1" if self._immutable else ""
        return f"file:{quote(os.fsencode(self.path))}?mode={mode}{immutable}"

    def pin(self) -> None:
        """Remember the files that belong together now that a connection is open."""
        (opened, *_), now = self.seen, self._state()
        if now[0] != opened:
            raise self._lost(self.path)
        self.seen = now

    def check(self) -> None:
        """Refuse to go on with a file that is not the one that was opened.

        Raises:
            AdapterUnavailable: a file was deleted or replaced.
            IntegrityError: the file was cut to nothing.
        """
        now = self._state()
        if now == self.seen:
            return
        for name, was, is_now in zip(_SUFFIXES, self.seen, now, strict=False):
            # A reader may outlive the writers, who delete their files; a file which had none
            # beside it may get them.
            if was is not None and was != is_now and not (name and self._read_only):
                raise self._lost(f"{self.path}{name}")

    def renewed(self) -> bool:
        """Whether the file changed in a way that connections opened for reading can't follow; then
        new connections can. Raises as ``check`` does.
        """
        self.check()
        if not self._read_only or self._state() == self.seen:
            return False
        self._immutable = not self._ahead.exists()
        self.seen = self._state()
        return True

    def require_unwritten(self, before: State) -> None:
        """Refuse what was read from an immutable file while it was written after all.

        Args:
            before: ``seen`` when the connection was lent.

        Raises:
            AdapterUnavailable: it was; the same call may be tried again.
        """
        immutable = len(before) > len(_SUFFIXES)
        if immutable and (before != self.seen or before != self._state()):
            raise AdapterUnavailable(
                "sqlite", f"{self.path} was written while it was read; try again"
            )

    def _state(self) -> State:
        try:
            main = self._main.stat()
        except FileNotFoundError:
            return (None,)
        if main.st_size == 0 and len(self.seen) > 1:
            raise IntegrityError(
                f"{self.path} was cut to nothing while it was open; restore a backup"
            )
        beside = _identity(self._ahead), _identity(self._index)
        content = ((main.st_size, main.st_mtime_ns),) if self._immutable else ()
        return (main.st_dev, main.st_ino), *beside, *content

    def _lost(self, name: str) -> AdapterUnavailable:
        return AdapterUnavailable(
            "sqlite",
            f"{name} was deleted or replaced while it was open, so nothing more is written; put "
            "it back, or open the memory again",
        )


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
