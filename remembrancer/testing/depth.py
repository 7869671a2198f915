"""How deep the property tests and crash tests go: one setting, the loaded hypothesis profile.

A profile states a number of examples per test. Tests that need more or fewer examples than usual,
and tests that repeat a fault, state their count for hypothesis's default profile, and it is scaled
with the number of the loaded one.
"""

from __future__ import annotations

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
