"""What the rules read in a sentence about one attribute of one subject."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class Stance(Enum):
    """Whether a sentence says that the value holds, has begun to hold, or has ended; ``DENIED``:
    that it does not hold, and not that it ever did.
    """

    HOLDS = "holds"
    BEGAN = "began"
    ENDED = "ended"
    DENIED = "denied"


@frozen(kw_only=True)
class SlotReading:
    """A slot and its value in a sentence.

    ``value`` is normalised; ``None``: the sentence ends the value without naming it. ``more``: the
    sentence has content besides the value. ``changes``: it says with a word of change that this is
    so from now on, and the value is of the right kind, so that it may end another one. ``since``:
    it says since when this is so, and may end what was said before that. ``origin`` is the value
    that it says was replaced. ``proper``: the value is capitalised; ``None``: unknown.
    """

    slot: str
    stance: Stance
    value: str | None = None
    more: bool = False
    changes: bool = False
    since: bool = False
    origin: str | None = None
    proper: bool | None = None
