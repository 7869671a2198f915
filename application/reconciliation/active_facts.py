"""The active facts during one reconciliation, indexed for comparison with candidates.

They are the active neighbours plus the earlier candidates of the call. Decisions are in ``rules``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, time
from functools import cached_property
from typing import TypeAlias

from attrs import evolve, field, frozen

from remembrancer.application.extraction.rules import slots
from remembrancer.application.extraction.rules.reading import SlotReading, Stance
from remembrancer.application.reconciliation.ending_keys import prefixes
from remembrancer.application.reconciliation.near_duplicates import signature
from remembrancer.application.reconciliation.negations import Assertion, assertion_in, opposes
from remembrancer.application.reconciliation.one_user import one_subject
from remembrancer.application.statements.slot import reading_of
from remembrancer.domain.facts.fact import Fact, FactId, FactKind
from remembrancer.domain.facts.verdicts import Candidate
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.domain.text import normalised

Partition: TypeAlias = tuple[LedgerId, str | None, str | None]
"""Ledger, agent and application. A fact can end only facts of its own partition."""


@frozen(kw_only=True)
class KnownFact:
    """A fact or a candidate, with the readings of the rules. ``speaker`` is ``normalised``;
    ``voice`` is the same for the user with and without a name; ``agent_only``: an agent's word.
    """

    fact_id: FactId
    scope: Scope
    text: str
    signature: str
    kind: FactKind
    speaker: str | None
    voice: str | None
    slot: str | None
    occurred_at: datetime
    start: datetime
    reading: SlotReading | None = None
    assertion: Assertion | None = None
    expires_at: datetime | None = None
    agent_only: bool = False

    def may_end(self, item: KnownFact) -> bool:
        """Whether the speaker may end what ``item`` says: the same one may, and whoever it is
        about; an agent never, because a fact does not tell a user from an agent of that name.
        """
        if self.agent_only:
            return False
        return None in (self.voice, item.voice) or self.voice in (item.voice, self._subject)

    @property
    def _subject(self) -> str | None:
        if self.slot is not None:
            return self.slot.rpartition("/")[0]
        return None if self.assertion is None else self.assertion.subject

    @property
    def dated(self) -> bool:
        """Whether its text has a date of its own."""
        return self.start != self.occurred_at

    @property
    def occasion(self) -> datetime | None:
        """The time that identifies it: of an event the day on which it happened, or was told; of a
        plan its date; else ``None``.
        """
        if self.kind is FactKind.EPISODIC:
            return datetime.combine(self.start.date(), time())
        return self.start if self.start > self.occurred_at else None

    @property
    def over(self) -> bool:
        """Whether it says that the value of its slot has ended, or does not hold."""
        return self.reading is not None and self.reading.stance in (Stance.ENDED, Stance.DENIED)

    @property
    def held_at(self) -> datetime:
        """A time at which it was true: the date of the change, or when it was said."""
        change = self.reading is not None and self.reading.stance is Stance.BEGAN
        return self.start if change and self.dated else self.occurred_at

    @cached_property
    def partition(self) -> Partition:
        """The partition in which it can end other facts."""
        return (self.scope.ledger, self.scope.agent_id, self.scope.app_id)

    @cached_property
    def keys(self) -> tuple[tuple[object, ...], ...]:
        """Under what ``ActiveFacts`` finds it."""
        keys = [_said(self)]
        if self.slot is not None:
            keys.append(("slot", self.partition, self.slot))
        if self.assertion is not None:
            over = self.assertion.over
            keys += [
                _asserted(self, words, over=over) for words in _prefixes(self.assertion, whole=over)
            ]
        return tuple(keys)


@frozen(kw_only=True)
class ActiveFacts:
    """The active facts after the proposals so far."""

    _known: dict[FactId, KnownFact] = field(factory=dict)
    _index: dict[tuple[object, ...], dict[FactId, KnownFact]] = field(
        factory=lambda: defaultdict(dict)
    )

    def put(self, item: KnownFact) -> None:
        """Add or replace a fact (upsert)."""
        if item.fact_id in self._known:
            self.drop(item.fact_id)
        self._known[item.fact_id] = item
        for key in item.keys:
            self._index[key][item.fact_id] = item

    def revise(self, fact_id: FactId, better: KnownFact) -> None:
        """Give a fact the text of another one; its times do not change."""
        self.put(
            evolve(
                self._known[fact_id],
                text=better.text,
                signature=better.signature,
                reading=better.reading,
                assertion=better.assertion,
            )
        )

    def drop(self, fact_id: FactId) -> None:
        """Remove a fact that has ended."""
        item = self._known.pop(fact_id)
        for key in item.keys:
            del self._index[key][fact_id]

    def item(self, fact_id: FactId) -> KnownFact | None:
        """The active fact with that id, ``None`` if there is none."""
        return self._known.get(fact_id)

    def saying(self, item: KnownFact) -> list[KnownFact]:
        """Facts with the same signature, scope and speaker, oldest first."""
        return self._on(_said(item))

    def answering(self, item: KnownFact) -> list[KnownFact]:
        """Facts in the same slot, by ``held_at``."""
        found = self._on(("slot", item.partition, item.slot)) if item.slot is not None else []
        return sorted(found, key=lambda one: one.held_at)

    def opposing(self, item: KnownFact) -> list[KnownFact]:
        """Assertions with the same subject and first words, but the opposite ``over``."""
        if item.assertion is None:
            return []
        return [
            found
            for words in _prefixes(item.assertion, whole=item.assertion.over)
            for found in self._on(_asserted(item, words, over=not item.assertion.over))
        ]

    def told_by(self, item: KnownFact) -> list[KnownFact]:
        """The other facts of the same speaker that were not said later, in its partition."""
        return [
            found
            for found in self._known.values()
            if found.partition == item.partition
            and found.voice == item.voice
            and not item.agent_only
            and found.occurred_at <= item.occurred_at
        ]

    def _on(self, key: tuple[object, ...]) -> list[KnownFact]:
        return list(self._index[key].values()) if key in self._index else []


def _said(item: KnownFact) -> tuple[object, ...]:
    return ("said", item.scope, item.speaker, item.signature)


def _asserted(item: KnownFact, words: tuple[str, ...], *, over: bool) -> tuple[object, ...]:
    subject = item.assertion.subject if item.assertion is not None else ""
    return ("over" if over else "holds", item.partition, subject, words)


def _prefixes(assertion: Assertion, *, whole: bool) -> list[tuple[str, ...]]:
    """Indexed prefixes: the longest one for an ending, each one for other assertions."""
    found = prefixes(assertion)
    return found[-1:] if whole else found


def lasts(item: KnownFact) -> tuple[bool, float]:
    """A key that sorts facts by their expiry, those without one last."""
    never = item.expires_at is None
    return (never, 0.0 if item.expires_at is None else item.expires_at.timestamp())


def known_fact(item: Fact | Candidate, name: str | None = None) -> KnownFact:
    """A fact or a candidate with the readings of the rules.

    Args:
        item: the fact or candidate.
        name: the ``only_name`` of all speakers.
    """
    speaker = item.speaker or ""
    if item.slot is not None:
        # Without a speaker, "I" in a fact about Caroline is Caroline.
        speaker = speaker or item.slot.partition("/")[0]
    reading = None if item.slot is None else slots.read(item.text, speaker)
    if item.statement is not None:
        reading = reading_of(item.statement)
    assertion = assertion_in(item.text, speaker)
    said_by = None if item.speaker is None else normalised(item.speaker)
    return KnownFact(
        fact_id=item.fact_id,
        scope=item.scope,
        text=item.text,
        signature=signature(item.text),
        kind=item.kind,
        speaker=said_by,
        voice=None if said_by is None else one_subject(said_by, name),
        slot=None if item.slot is None else _slot_of_one(item.slot, name),
        occurred_at=item.occurred_at,
        start=item.valid.start or item.occurred_at,
        reading=reading if reading is not None and reading.slot == item.slot else None,
        assertion=assertion and _of_one(assertion, name),
        agent_only=isinstance(item, Candidate) and item.agent_only,
        expires_at=item.expires_at,
    )


def is_opposed(ending: Fact, candidates: Iterable[Candidate], name: str | None) -> bool:
    """Whether one of the candidates says the opposite of an ending.

    Args:
        ending: a fact.
        candidates: the candidates.
        name: the ``only_name`` of all speakers.
    """
    over = known_fact(ending, name).assertion
    held = (known_fact(candidate, name).assertion for candidate in candidates)
    return over is not None and any(said is not None and opposes(over, said) for said in held)


def _of_one(assertion: Assertion, name: str | None) -> Assertion:
    subject = one_subject(assertion.subject, name)
    return assertion if subject == assertion.subject else evolve(assertion, subject=subject)


def _slot_of_one(slot: str, name: str | None) -> str:
    subject, _, attribute = slot.rpartition("/")
    return f"{one_subject(subject, name)}/{attribute}"
