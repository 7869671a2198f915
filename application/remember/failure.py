"""A failed request of a batch as a value, so that the other requests still run."""

from __future__ import annotations

from concurrent.futures import Future

from attrs import frozen

from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.errors import RemembrancerError
from remembrancer.domain.recorded import CorrelationId


@frozen(kw_only=True)
class Failure:
    """A request that failed: ``error`` is the class name of the error, ``problem`` its message.

    With a ``correlation_id`` the messages are in the ledger and wait for ``retry``; with ``None``
    nothing was written.
    """

    correlation_id: CorrelationId | None
    error: str
    problem: str


def outcome_of(future: Future[Receipt], correlation_id: CorrelationId | None) -> Receipt | Failure:
    """The receipt, or a ``RemembrancerError`` as a ``Failure``; other errors are raised."""
    error = future.exception()
    if error is None:
        return future.result()
    if not isinstance(error, RemembrancerError):
        raise error
    return Failure(correlation_id=correlation_id, error=type(error).__name__, problem=str(error))
