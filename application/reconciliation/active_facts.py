"""What the rules reconciler knows while it decides: facts and earlier candidates, on shelves.

A view holds what is active at that point of a call and finds what a candidate has to be compared
with, without running through all of it. It decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TypeAlias

from attrs import evolve, field, frozen

from remembrancer.application.extraction.rules import slots
from remembrancer.application.extraction.rules.slot_patterns import Stance
from remembrancer.application.extraction.rules.slots import SlotReading
from remembrancer.application.reconciliation.near_duplicates import signature
from remembrancer.application.reconciliation.negations import Assertion, assertion_in
from remembrancer.domain.facts.fact import Fact, FactId, FactKind
from remembrancer.domain.facts.verdicts import Candidate
from remembrancer.domain.scope import LedgerId, Scope

Partition: TypeAlias = tuple[LedgerId, str | None, str | None]
"""Ledger, agent and application: beyond it no fact ends another."""

SHELVED_WORDS = 3
"""Words at the start of a statement by which its endings are found."""


@frozen(kw_only=True)
class KnownFact:
    """What a fact and a candidate have in common."""

    fact_id: FactId
    scope: Scope
    text: str
    signature: str
    kind: FactKind
    speaker: str | None
    slot: str | None
    occurred_at: datetime
    start: datetime
    reading: SlotReading | None = None
    assertion: Assertion | None = None

    @property
    def dated(self) -> bool:
        """Whether it tells a day of its own."""
        return self.start != self.occurred_at

    @property
    def occasion(self) -> datetime | None:
        """The day that makes it what it is: a day of what happened, or of a plan."""
        bound = self.kind is FactKind.EPISODIC or self.start > self.occurred_at
        return self.start if self.dated and bound else None

    @property
    def over(self) -> bool:
        """Whether it tells the end of what it is about, as far as its slot goes."""
        return self.reading is not None and self.reading.stance is Stance.ENDED

    @property
    def held_at(self) -> datetime:
        """A moment at which what it says was so: when it was said, or the day of the change."""
        change = self.reading is not None and self.reading.stance is Stance.BEGAN
        return self.start if change and self.dated else self.occurred_at

    @property
    def partition(self) -> Partition:
        """Within which it may end other facts."""
        return (self.scope.ledger, self.scope.agent_id, self.scope.app_id)


@frozen(kw_only=True)
class ActiveFacts:
    """The active facts as they stand after the proposals made so far."""

    _known: dict[FactId, KnownFact] = field(factory=dict)
    _shelves: dict[tuple[object, ...], dict[FactId, KnownFact]] = field(
        factory=lambda: defaultdict(dict)
    )

    def put(self, item: KnownFact) -> None:
        """Take in what is new, or replace what has changed."""
        if item.fact_id in self._known:
            self.drop(item.fact_id)
        self._known[item.fact_id] = item
        for shelf in _shelves_of(item):
            self._shelves[shelf][item.fact_id] = item

    def revise(self, fact_id: FactId, better: KnownFact) -> None:
        """Say a fact in the words of another one; its times stay."""
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
        """Forget what is over."""
        item = self._known.pop(fact_id)
        for shelf in _shelves_of(item):
            del self._shelves[shelf][fact_id]

    def item(self, fact_id: FactId) -> KnownFact | None:
        """What is known by that id, if it is active."""
        return self._known.get(fact_id)

    def saying(self, item: KnownFact) -> list[KnownFact]:
        """What says the same, oldest first."""
        return self._on(_said(item))

    def answering(self, item: KnownFact) -> list[KnownFact]:
        """What stands in the same slot, by when it held."""
        found = self._on(("slot", item.partition, item.slot)) if item.slot is not None else []
        return sorted(found, key=lambda one: one.held_at)

    def opposing(self, item: KnownFact) -> list[KnownFact]:
        """What begins with the same words about the same subject, over where ``item`` is not."""
        if item.assertion is None:
            return []
        return [
            found
            for words in _beginnings(item.assertion.words, whole=item.assertion.over)
            for found in self._on(_asserted(item, words, over=not item.assertion.over))
        ]

    def _on(self, shelf: tuple[object, ...]) -> list[KnownFact]:
        return list(self._shelves[shelf].values()) if shelf in self._shelves else []


def _shelves_of(item: KnownFact) -> list[tuple[object, ...]]:
    """Where an item is found again, so that no search runs through all that is known."""
    shelves = [_said(item)]
    if item.slot is not None:
        shelves.append(("slot", item.partition, item.slot))
    if item.assertion is not None:
        over = item.assertion.over
        shelves += [
            _asserted(item, words, over=over)
            for words in _beginnings(item.assertion.words, whole=over)
        ]
    return shelves


def _said(item: KnownFact) -> tuple[object, ...]:
    return ("said", item.scope, item.speaker, item.signature)


def _asserted(item: KnownFact, words: tuple[str, ...], *, over: bool) -> tuple[object, ...]:
    subject = item.assertion.subject if item.assertion is not None else ""
    return ("over" if over else "holds", item.partition, subject, words)


def _beginnings(words: tuple[str, ...], *, whole: bool) -> list[tuple[str, ...]]:
    """An ending has one beginning, whole if it is short; what may be ended has one per word."""
    if whole:
        return [words[:SHELVED_WORDS]]
    return [words[:count] for count in range(1, min(len(words), SHELVED_WORDS) + 1)]


def known_fact(item: Fact | Candidate) -> KnownFact:
    """A fact or a candidate, read by the rules."""
    speaker = item.speaker or ""
    if item.slot is not None:
        # "I" in a fact about Caroline is Caroline, whoever is on record as the speaker.
        speaker = speaker or item.slot.partition("/")[0]
    reading = None if item.slot is None else slots.read(item.text, speaker)
    return KnownFact(
        fact_id=item.fact_id,
        scope=item.scope,
        text=item.text,
        signature=signature(item.text),
        kind=item.kind,
        speaker=item.speaker,
        slot=item.slot,
        occurred_at=item.occurred_at,
        start=item.valid.start or item.occurred_at,
        reading=reading if reading is not None and reading.slot == item.slot else None,
        assertion=assertion_in(item.text, speaker),
    )
