"""Remember how short texts were read: an add reads the same neighbours as the one before."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

_Rest = ParamSpec("_Rest")
_Result = TypeVar("_Result")

LONGEST = 500
"""Characters of a text that is remembered; longer ones are rare among facts."""

MOST = 2048
"""Remembered texts of each function; some 2 MB."""


def remembered(
    read: Callable[Concatenate[str, _Rest], _Result],
) -> Callable[Concatenate[str, _Rest], _Result]:
    """Cache the results of a pure function of a text.

    Args:
        read: its other arguments are hashable, and its results are immutable.
    """
    cached: Callable[..., _Result] = lru_cache(maxsize=MOST)(read)

    @wraps(read)
    def reading(text: str, /, *args: _Rest.args, **kwargs: _Rest.kwargs) -> _Result:
        return (cached if len(text) <= LONGEST else read)(text, *args, **kwargs)

    return reading
