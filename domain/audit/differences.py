"""What changed between two versions of a fact, and in which words. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any, TypeAlias

from attrs import fields, frozen

from remembrancer.domain.facts.fact import Fact, FactId, FactStatus
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.recorded import Recorded

MAX_WORDS = 1000
"""Longer texts are compared as a whole: matching words takes time in proportion to the square."""

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff"  # written without spaces between words
_WORDS = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+|\\s+|.", re.DOTALL)
_EACH_VERSION_HAS = frozenset({"version", "recorded", "reason"})

Words: TypeAlias = tuple[tuple[str, str], ...]
"""Parts of two texts in order, each with ``=`` (in both), ``-`` (before) or ``+`` (after)."""


class ChangeKind(StrEnum):
    """What became of a fact.

    ``restored``: it is active again, or as it was before. ``revised``: text, times, metadata or
    anything else. ``absent``: the later state does not have it; only an inverted difference says
    so.
    """

    ADDED = "added"
    REVISED = "revised"
    SUPERSEDED = "superseded"
    REAFFIRMED = "reaffirmed"
    RETRACTED = "retracted"
    RESTORED = "restored"
    EXPIRED = "expired"
    ABSENT = "absent"


@frozen(kw_only=True)
class Cause:
    """The event behind a change; of several, the last one."""

    event_id: str
    correlation_id: str
    version: int
    recorded_at: datetime
    type: str
    actor: str
    reason: str = ""

    @classmethod
    def of(cls, item: Recorded) -> Cause:
        """The event as a cause."""
        return cls(
            event_id=item.event_id,
            correlation_id=item.correlation_id,
            version=item.version,
            recorded_at=item.recorded_at,
            type=item.type_name,
            actor=item.actor,
            reason=getattr(item.event, "reason", ""),
        )


@frozen(kw_only=True)
class FactDifference:
    """A fact before and after; ``None``: there was none."""

    before: Fact | None
    after: Fact | None
    cause: Cause

    @property
    def fact(self) -> Fact:
        """The later one of the two versions that there are."""
        fact = self.after or self.before
        assert fact is not None
        return fact

    @property
    def fact_id(self) -> FactId:
        """The id of the fact."""
        return self.fact.fact_id

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields of ``Fact`` that differ; none if it was added or is absent."""
        if self.before is None or self.after is None:
            return ()
        return tuple(
            field.name
            for field in fields(Fact)
            if field.name not in _EACH_VERSION_HAS
            and getattr(self.before, field.name) != getattr(self.after, field.name)
        )

    @property
    def change(self) -> ChangeKind:
        """What became of the fact."""
        before, after = self.before, self.after
        if after is None:
            return ChangeKind.ABSENT
        if before is None or before.status is not after.status:
            active = ChangeKind.ADDED if before is None else ChangeKind.RESTORED
            return active if after.status is FactStatus.ACTIVE else ChangeKind(after.status.value)
        changed = set(self.fields)
        if not changed:
            return ChangeKind.RESTORED
        if changed <= {"reaffirmed", "evidence"} and after.reaffirmed > before.reaffirmed:
            return ChangeKind.REAFFIRMED
        return ChangeKind.REVISED

    @property
    def words(self) -> Words:
        """The difference of the two texts, word by word."""
        return words_between(
            self.before.text if self.before else "", self.after.text if self.after else ""
        )

    @property
    def inverted(self) -> FactDifference:
        """The way back."""
        return FactDifference(before=self.after, after=self.before, cause=self.cause)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "change": self.change.value,
            "fact_id": self.fact_id,
            "before": self.before and self.before.to_dict(),
            "after": self.after and self.after.to_dict(),
            "fields": list(self.fields),
            "words": [list(part) for part in self.words],
            "cause": to_jsonable(self.cause),
        }


def words_between(before: str, after: str) -> Words:
    """The difference of two texts, word by word."""
    if before == after:
        return (("=", before),) if before else ()
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > MAX_WORDS:
        return tuple((mark, text) for mark, text in (("-", before), ("+", after)) if text)
    parts: list[tuple[str, str]] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            parts.append(("=", "".join(old[a:b])))
            continue
        parts += [("-", "".join(old[a:b]))] if a < b else []
        parts += [("+", "".join(new[c:d]))] if c < d else []
    return tuple(parts)
