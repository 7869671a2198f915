"""Usage of models: calls, tokens, cost and latency."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from remembrancer.domain.events import InferenceRecorded


@frozen(kw_only=True)
class Usage:
    """Totals of model calls. ``cost`` is in US dollars, ``latency`` in seconds.

    A call counts once, whatever the number of retries. ``cost`` is the sum over the calls with a
    known price, ``None`` if no call has one; ``unpriced`` counts the calls without a price.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    unpriced: int = 0
    latency: float = 0.0

    def plus(self, call: InferenceRecorded) -> Usage:
        """Add one record; a record without a model call changes nothing."""
        if not call.asked:
            return self
        known = self.cost if self.calls > self.unpriced else None
        return Usage(
            calls=self.calls + 1,
            input_tokens=self.input_tokens + call.input_tokens,
            output_tokens=self.output_tokens + call.output_tokens,
            cost=known if call.cost is None else (known or 0.0) + call.cost,
            unpriced=self.unpriced + (call.cost is None),
            latency=self.latency + call.latency,
        )

    def __add__(self, other: Usage) -> Usage:
        """The sum of two usages."""
        return sum_of((self, other))


def sum_of(usages: Iterable[Usage]) -> Usage:
    """The sum of several usages."""
    each = list(usages)
    calls, unpriced = sum(one.calls for one in each), sum(one.unpriced for one in each)
    return Usage(
        calls=calls,
        input_tokens=sum(one.input_tokens for one in each),
        output_tokens=sum(one.output_tokens for one in each),
        cost=None if calls and calls == unpriced else sum(one.cost or 0.0 for one in each),
        unpriced=unpriced,
        latency=sum(one.latency for one in each),
    )


@frozen(kw_only=True)
class UsageTotal:
    """The usage of one model for one purpose."""

    purpose: str
    model: str
    usage: Usage
