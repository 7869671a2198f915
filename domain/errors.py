"""The one hierarchy of errors that callers see.

Each message says what was wrong, where (an argument or a path), and what to do about it.
"""

from __future__ import annotations


class RemembrancerError(Exception):
    """Root of every error that remembrancer raises on purpose."""


class InvalidRequest(RemembrancerError, ValueError):
    """The caller's input was refused; nothing was changed.

    ``path`` names the argument, down to the bad element: ``filters.AND[1].score.gte``.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class NotFound(RemembrancerError, LookupError):
    """Nothing by that id, or nothing that this scope may see."""


class Conflict(RemembrancerError):
    """The ledger moved on since the decision was made; decide again on fresh state."""


class AdapterUnavailable(RemembrancerError):
    """An engine did not answer (locked, full, down). Retrying later may succeed.

    ``adapter`` is the name of the engine, e.g. ``sqlite``.
    """

    retryable = True

    def __init__(self, adapter: str, problem: str) -> None:
        super().__init__(f"{adapter}: {problem}")
        self.adapter = adapter
        self.problem = problem


class StillPending(RemembrancerError, TimeoutError):
    """What was waited for is not done yet; it goes on. Wait again, or read it later."""


class ModelError(RemembrancerError):
    """A model answered with nothing usable; its raw output stays in the ledger."""


class IntegrityError(RemembrancerError):
    """Stored history contradicts itself: a broken chain, a gap, an unreadable event."""


class Erased(RemembrancerError, LookupError):
    """The content was erased on request; only the fact that it existed remains."""
