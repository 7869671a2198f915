"""Whether a read may return a fact, decided from the fact itself and not from an index of it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from attrs import evolve

from remembrancer.domain.facts.fact import Fact, ListedStatus
from remembrancer.domain.filters.ast import Filter
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.recall.documents import attributes_of
from remembrancer.domain.scope import Scope


class Read(Protocol):
    """The bounds of a read: scope and filter, and status and times as in ``Fact.listed``."""

    @property
    def scope(self) -> Scope:
        """The ids that a fact must have."""
        ...

    @property
    def where(self) -> Filter | None:
        """The filter, if any."""
        ...

    @property
    def now(self) -> datetime:
        """See ``Fact.visible``."""
        ...

    @property
    def as_of(self) -> datetime | None:
        """See ``Fact.visible``."""
        ...

    @property
    def valid_at(self) -> datetime | None:
        """See ``Fact.visible``."""
        ...

    @property
    def status(self) -> ListedStatus | None:
        """See ``Fact.listed``."""
        ...


def permits(read: Read, fact: Fact) -> bool:
    """Whether a fact is in the scope, the times, the status and the filter of a read."""
    return (
        read.scope.covers(fact.scope)
        and fact.listed(read.status, now=read.now, as_of=read.as_of, valid_at=read.valid_at)
        and (read.where is None or matches(read.where, attributes_of(fact)))
    )


def belongs_in_index(read: Read, fact: Fact) -> bool:
    """Whether a correct index may return a fact for a read: an index knows the whole of a valid
    interval, not its interruptions.
    """
    return permits(read, evolve(fact, interruptions=()))
