"""The error hierarchy that callers see.

Each message states what was wrong, where (an argument or a path), and what to do now.
"""

from __future__ import annotations


class RemembrancerError(Exception):
    """Base class of all errors that remembrancer raises on purpose."""


class InvalidRequest(RemembrancerError, ValueError):
    """The caller's input was refused; nothing was changed.

    ``path`` names the argument, down to the bad element: ``filters.AND[1].score.gte``.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class NothingToRemember(InvalidRequest):
    """No message of a call can be remembered; ``path`` and ``problem`` are of the first."""


class SettingsError(InvalidRequest):
    """A server refuses what is set: a login, a permission, an address, a collection of another
    size. No event and no query is at fault, and trying again is of no use until the setting that
    ``path`` names, or the server, is corrected.
    """


class NotFound(RemembrancerError, LookupError):
    """The id does not exist, or the scope may not see it."""


class Conflict(RemembrancerError):
    """The ledger has newer events than the decision was made on; decide again on fresh state."""


class AdapterUnavailable(RemembrancerError):
    """An engine did not answer (locked, full, down). A later retry may succeed.

    ``adapter`` is the name of the engine, e.g. ``sqlite``.
    """

    retryable = True

    def __init__(self, adapter: str, problem: str) -> None:
        super().__init__(f"{adapter}: {problem}")
        self.adapter = adapter
        self.problem = problem


class StillPending(RemembrancerError, TimeoutError):
    """The wait timed out; the work goes on. Wait again, or read the result later."""


class ModelError(RemembrancerError):
    """A model gave no usable answer; its raw output stays in the ledger."""


class IntegrityError(RemembrancerError):
    """The stored history is inconsistent: a broken chain, a gap, an unreadable event."""


class Erased(RemembrancerError, LookupError):
    """The content was erased on request; only the record that it existed remains."""


class WrongContext(RemembrancerError, RuntimeError):
    """The call came from a thread or a process that can't make it; the message says what to do."""
