"""Stores that check all ledgers in the calling process."""

from __future__ import annotations

from remembrancer.domain.errors import InvalidRequest


def refuse_processes(jobs: int) -> None:
    """Refuse more than one process, rather than use one without a word.

    Raises:
        InvalidRequest: ``jobs`` is above 1.
    """
    if jobs > 1:
        raise InvalidRequest("jobs", "only a SQLite file is divided among processes; set 1")
