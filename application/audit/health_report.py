"""The result of a health check; the checks are in ``remembrancer.doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from remembrancer.domain.jsonable import to_jsonable


@frozen(kw_only=True)
class Problem:
    """A problem, and the advice to solve it."""

    what: str
    advice: str


@frozen(kw_only=True)
class Finding:
    """The finding about one part: name of the port, chosen adapter, name and version of its engine
    or library (``None`` if it did not answer), details, and problems.
    """

    part: str
    provider: str | None = None
    engine: str | None = None
    details: Mapping[str, Any] = field(factory=dict)
    problems: tuple[Problem, ...] = ()


@frozen(kw_only=True)
class HealthReport:
    """All findings, in the order of dependency."""

    remembrancer: str
    python: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not any(finding.problems for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms, and ``ok``."""
        return {"ok": self.ok, **to_jsonable(self)}
