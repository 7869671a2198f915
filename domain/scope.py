"""Scope: the ids that a memory belongs to, and the ledger of its owner."""

from __future__ import annotations

import re
from typing import NewType, TypedDict

from attrs import evolve, field, frozen

from remembrancer.domain.errors import InvalidRequest

LedgerId = NewType("LedgerId", str)

MAX_ID_CHARACTERS = 256
SCOPE_IDS = ("user_id", "agent_id", "run_id", "app_id")


class ScopeIds(TypedDict, total=False):
    """The ids of a ``Scope``, as keyword arguments."""

    user_id: str | None
    agent_id: str | None
    run_id: str | None
    app_id: str | None


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def _check_id(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidRequest(name, f"expected a string, got {type(value).__name__}")
    if not value.strip():
        raise InvalidRequest(name, "is empty; omit it or pass an id")
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
    """The ids that a fact belongs to. At least one of user, agent and run is required.

    Raises:
        InvalidRequest: no owner is given, or an id is empty, too long or has control characters.
    """

    user_id: str | None = field(default=None, converter=_plain)
    agent_id: str | None = field(default=None, converter=_plain)
    run_id: str | None = field(default=None, converter=_plain)
    app_id: str | None = field(default=None, converter=_plain)

    def __attrs_post_init__(self) -> None:
        # One check here takes a third of the time of four validators; a replay creates a scope per
        # event.
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
                "scope", "has no owner; pass at least one of user_id, agent_id, run_id"
            )

    @property
    def ledger(self) -> LedgerId:
        """The owner's ledger: the user's if there is one, else the agent's, else the run's."""
        if self.user_id is not None:
            return LedgerId(f"user:{self.user_id}")
        if self.agent_id is not None:
            return LedgerId(f"agent:{self.agent_id}")
        return LedgerId(f"run:{self.run_id}")

    @property
    def across_runs(self) -> Scope:
        """This scope without its run; unchanged if the run is the owner."""
        if self.user_id is None and self.agent_id is None:
            return self
        return evolve(self, run_id=None)

    def covers(self, other: Scope) -> bool:
        """Whether ``other`` has the same owner, and the same value for every id that is set here.

        What an agent learned about a user is in the user's ledger: the agent's own scope does not
        cover it.
        """
        owner_differs = (self.user_id is None and other.user_id is not None) or (
            self.user_id is None and self.agent_id is None and other.agent_id is not None
        )
        return not owner_differs and all(
            mine is None or mine == theirs
            for mine, theirs in (
                (self.user_id, other.user_id),
                (self.agent_id, other.agent_id),
                (self.run_id, other.run_id),
                (self.app_id, other.app_id),
            )
        )

    def ids(self) -> dict[str, str]:
        """The ids that are set, by argument name."""
        values = (self.user_id, self.agent_id, self.run_id, self.app_id)
        return {
            name: value for name, value in zip(SCOPE_IDS, values, strict=True) if value is not None
        }
