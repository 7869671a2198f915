"""Connections and forks: a connection belongs to the process that opened it.

A child process gets copies of the parent's connections, and of its locks in the state that other
threads left them in. It may neither use nor close them: a close speaks over the parent's socket, or
deletes a file that other processes write to.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Hashable
from weakref import WeakSet

from remembrancer.domain.errors import WrongContext


class Ownership:
    """The process that opened something, and the connections of it.

    Args:
        what: its name in errors.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._pid = os.getpid()
        self._file: Hashable = None
        self._connections: set[object] = set()
        _all.add(self)

    @property
    def inherited(self) -> bool:
        """Whether another process opened it, and this one was forked from that."""
        return self._pid != os.getpid()

    def require(self) -> None:
        """Refuse to go on in a forked process. Call it before taking any lock.

        Raises:
            WrongContext: the process was forked from the one that opened it.
        """
        if self.inherited:
            raise _error(self._pid, self._what)

    def claim(self, file: Hashable) -> None:
        """Name the file that all connections are to, by something that identifies it.

        Raises:
            WrongContext: this process was forked while the parent had connections to the file.
                SQLite counts the locks on a file per process, and believes that the inherited ones
                are still held; with a connection of its own, the child would have no lock at all.
        """
        if file in _inherited:
            raise _error(_inherited[file], self._what)
        self._file = file

    def keep(self, connection: object) -> None:
        """Remember an open connection. Forked processes never close it, not even at their exit."""
        self._connections.add(connection)

    def release(self, connection: object) -> None:
        """Forget a connection that is about to be closed."""
        self._connections.discard(connection)

    def leak(self) -> None:
        """In a forked process: hold the connections for ever."""
        for connection in self._connections:
            # A reference that nothing gives back, since module globals are cleared at the exit.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        if self._file is not None and self._connections:
            _inherited.setdefault(self._file, self._pid)


_all: WeakSet[Ownership] = WeakSet()
_inherited: dict[Hashable, int] = {}
"""Files with inherited connections, and the process that opened them."""


def _error(owner: int, what: str) -> WrongContext:
    return WrongContext(
        f"process {os.getpid()} was forked from process {owner}, which had opened {what}; open a "
        "memory in each process, after the fork"
    )


def _leak_all() -> None:
    for ownership in list(_all):
        ownership.leak()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leak_all)
