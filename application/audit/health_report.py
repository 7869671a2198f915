"""What an examination of all parts found. Who looks, and how, is ``remembrancer.doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from remembrancer.domain.jsonable import to_jsonable


@frozen(kw_only=True)
class Problem:
    """What is wrong, and what to do about it."""

    what: str
    advice: str


@frozen(kw_only=True)
class Finding:
    """One part: the name of the port, the adapter that is chosen, name and version of what it is
    made on (``None`` if nobody could be asked), what else there is to say, and what is wrong.
    """

    part: str
    provider: str | None = None
    engine: str | None = None
    details: Mapping[str, Any] = field(factory=dict)
    problems: tuple[Problem, ...] = ()


@frozen(kw_only=True)
class HealthReport:
    """All findings, in the order in which the parts depend on each other."""

    remembrancer: str
    python: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing needs attention."""
        return not any(finding.problems for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms, and ``ok``."""
        return {"ok": self.ok, **to_jsonable(self)}
