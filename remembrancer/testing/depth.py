"""How deep the property tests and crash tests go: one setting, the loaded hypothesis profile.

A profile states a number of examples per test. Tests that need more or fewer examples than usual,
and tests that repeat a fault, state their count for hypothesis's default profile, and it is scaled
with the number of the loaded one. Tests with a fault at one step after another leave out steps,
fewer in a deeper profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from zlib import crc32

from hypothesis import settings

USUAL_EXAMPLES = 100
"""Examples per test in hypothesis's default profile, for which the counts are stated."""


def depth() -> float:
    """The factor of the loaded profile: 1 for hypothesis's default profile."""
    return settings().max_examples / USUAL_EXAMPLES


def scaled(count: int, *, least: int = 1) -> int:
    """A count of examples or repetitions, scaled to the loaded profile.

    Args:
        count: the count for hypothesis's default profile, at least 1.
        least: the minimum that the test needs to test anything.
    """
    return max(least, round(count * depth()))


def stride(usual: int) -> int:
    """The distance between two tested steps, scaled to the loaded profile: 1 for all steps.

    Args:
        usual: the distance in hypothesis's default profile, at least 1.
    """
    return max(1, round(usual / depth()))


def failing_steps(fail: Callable[[int], bool], *, usual: int, name: str) -> Iterator[int]:
    """Let one step after another fail; yield the number of each failed step.

    With a ``stride`` of more than 1, the first step depends on ``name``, so that tests of the same
    work differ in their steps. The last step always fails, whatever the stride.

    Args:
        fail: does the work from the beginning and lets its nth step fail, counted from 1; returns
            whether there is such a step.
        usual: the stride in hypothesis's default profile.
        name: the name of the test.

    Raises:
        AssertionError: no step failed.
    """
    left_out = stride(usual) - 1
    at = 1 + crc32(name.encode()) % (left_out + 1)
    while True:
        if fail(at):
            yield at
            at += 1 + left_out
        elif left_out:
            at, left_out = max(1, at - left_out), 0
        else:
            assert at > 1, "the work has no step"
            return
