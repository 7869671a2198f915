"""The same user with and without a name is one subject.

A message without a name is by "user". If only one name has spoken in a ledger, it is the name of
this user. With several names nobody knows whose words those without a name are, and all are kept
apart. The name of an agent counts too, because facts do not tell the role of their speaker.
"""

from __future__ import annotations

from collections.abc import Iterable

from remembrancer.domain.conversation import Role
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.facts.verdicts import Candidate
from remembrancer.domain.text import normalised

USER = Role.USER.value
_ROLES = frozenset(Role)


def only_name(speakers: Iterable[str | None]) -> str | None:
    """The one name among speakers, ``normalised``; ``None`` if there are none or several."""
    names = {normalised(speaker) for speaker in speakers if speaker} - _ROLES
    return names.pop() if len(names) == 1 else None


def one_subject(subject: str, name: str | None) -> str:
    """The subject that stands for both the named and the nameless user.

    Args:
        subject: ``normalised``.
        name: the ``only_name``.
    """
    return USER if subject == name else subject


def slots_of_both(slots: Iterable[str], name: str | None) -> list[str]:
    """The slots, and those of the same user with or without the name.

    Args:
        slots: subject and attribute each.
        name: the ``only_name``.
    """
    both: dict[str, None] = {}
    for slot in slots:
        both[slot] = None
        subject, _, attribute = slot.rpartition("/")
        if name is not None and subject in (USER, name):
            both[f"{name if subject == USER else USER}/{attribute}"] = None
    return list(both)


def namings(speakers: Iterable[str | None]) -> set[bool]:
    """Whether there are users with a name (``True``) and without one (``False``)."""
    said_by = {USER if speaker is None else normalised(speaker) for speaker in speakers}
    return {speaker != USER for speaker in said_by if speaker == USER or speaker not in _ROLES}


def of_one_naming(facts: Iterable[Fact], candidates: Iterable[Candidate]) -> list[Fact]:
    """The facts that may be shown with candidates where several names have spoken. A fact of one
    name beside the words of a nameless user would look as if both were one subject.
    """
    own = namings(candidate.speaker for candidate in candidates)
    return [fact for fact in facts if len(own) != 1 or namings([fact.speaker]) <= own]
