"""Whose memory it is: a scope, and the ledger of its owner."""

from __future__ import annotations

import re
from typing import NewType

from attrs import asdict, evolve, field, frozen

from remembrancer.domain.errors import InvalidRequest

LedgerId = NewType("LedgerId", str)

MAX_ID_CHARACTERS = 256
SCOPE_IDS = ("user_id", "agent_id", "run_id", "app_id")


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def _check_id(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidRequest(name, f"expected a string, got {type(value).__name__}")
    if not value.strip():
        raise InvalidRequest(name, "is empty; leave it out or name somebody")
    if len(value) > MAX_ID_CHARACTERS:
        raise InvalidRequest(
            name, f"has {len(value)} characters; at most {MAX_ID_CHARACTERS} are allowed"
        )
    control = _CONTROL(value)
    if control is not None:
        raise InvalidRequest(
            name,
            f"control character U+{ord(control.group()):04X} at index {control.start()}; remove it",
        )


def _plain(value: str | None) -> str | None:
    # A subclass of str could not be stored.
    return str.__str__(value) if isinstance(value, str) else value


@frozen(kw_only=True)
class Scope:
    """The ids that a fact belongs to. At least one of user, agent and run must be named.

    Raises:
        InvalidRequest: no owner is named, or an id is empty, too long or has control characters.
    """

    user_id: str | None = field(default=None, converter=_plain)
    agent_id: str | None = field(default=None, converter=_plain)
    run_id: str | None = field(default=None, converter=_plain)
    app_id: str | None = field(default=None, converter=_plain)

    def __attrs_post_init__(self) -> None:
        # One pass here costs a third of four validators; a replay makes a scope per event.
        if self.user_id is not None:
            _check_id("user_id", self.user_id)
        if self.agent_id is not None:
            _check_id("agent_id", self.agent_id)
        if self.run_id is not None:
            _check_id("run_id", self.run_id)
        if self.app_id is not None:
            _check_id("app_id", self.app_id)
        if self.user_id is None and self.agent_id is None and self.run_id is None:
            raise InvalidRequest(
                "scope", "names nobody; pass at least one of user_id, agent_id, run_id"
            )

    @property
    def ledger(self) -> LedgerId:
        """The owner's ledger: the user's if one is named, else the agent's, else the run's."""
        if self.user_id is not None:
            return LedgerId(f"user:{self.user_id}")
        if self.agent_id is not None:
            return LedgerId(f"agent:{self.agent_id}")
        return LedgerId(f"run:{self.run_id}")

    @property
    def across_runs(self) -> Scope:
        """The same owner, agent and app in all runs; a scope of a run alone is itself."""
        if self.user_id is None and self.agent_id is None:
            return self
        return evolve(self, run_id=None)

    def covers(self, other: Scope) -> bool:
        """Whether every id that this scope names is the same in ``other``."""
        return all(
            mine is None or mine == theirs
            for mine, theirs in (
                (self.user_id, other.user_id),
                (self.agent_id, other.agent_id),
                (self.run_id, other.run_id),
                (self.app_id, other.app_id),
            )
        )

    def ids(self) -> dict[str, str]:
        """The ids that are named, by their argument names."""
        return {name: value for name, value in asdict(self).items() if value is not None}
