"""What happened in a simulation, written down beside the product: the log, its fold, the requests.

The log is written down at the moment of each append, whether or not its answer arrives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from attrs import define, field

from remembrancer import Receipt
from remembrancer.domain.facts.evolve import LedgerState, fold
from remembrancer.domain.facts.fact import Fact, FactId, FactKey
from remembrancer.domain.recorded import Head, Recorded
from remembrancer.domain.scope import LedgerId, Scope

Ids: TypeAlias = dict[str, Any]
"""The ids of a scope, as keyword arguments."""


class Foul(AssertionError):
    """An invariant does not hold.

    Attributes:
        kind: which: ``fold``, ``exactly once``, ``newest delivery``, ``scope``, ``order``,
            ``own writes`` or ``error``.
    """

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"{kind}: {problem}")
        self.kind = kind


@define(eq=False)
class Told:
    """An ``add``, which is sent until it is acknowledged.

    ``number`` is in the metadata of its first message; ``name`` is a word of its own in its text.
    ``beside``: another process sends it, too.
    """

    number: int
    ids: Ids
    text: str
    infer: bool
    wait: bool
    name: str
    beside: bool = False
    receipt: Receipt | None = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of every try."""
        return {
            "messages": self.text,
            "idempotency_key": f"told-{self.number}",
            "infer": self.infer,
            "metadata": {"told": self.number},
            **self.ids,
        }


@define(eq=False)
class Edit:
    """Any other write, which is sent once. ``outcome`` stays ``unknown`` if no answer arrives."""

    number: int
    method: str
    outcome: str = "unknown"

    @property
    def reason(self) -> str:
        """What its events say."""
        return f"edit {self.number}"


@define(eq=False)
class Chronicle:
    """The log and its fold after every append, and what was requested."""

    recorded: list[Recorded] = field(factory=list)
    states: dict[LedgerId, list[LedgerState]] = field(
        factory=lambda: defaultdict(lambda: [LedgerState()])
    )
    told: list[Told] = field(factory=list)
    edits: list[Edit] = field(factory=list)
    names: dict[str, Told] = field(factory=dict)
    _heads: dict[LedgerId, Head] = field(factory=dict)

    def append(self, chain: Sequence[Recorded]) -> dict[FactId, tuple[Fact, ...]]:
        """Write an append down; return all versions of the facts that it changed.

        Raises:
            Foul: it does not follow what was there.
        """
        for item in chain:
            head = self._heads.get(item.ledger, Head())
            if item.position != len(self.recorded) + 1:
                raise Foul("order", f"position {item.position} follows {len(self.recorded)}")
            if (item.version, item.previous_hash) != (head.version + 1, head.hash):
                raise Foul("order", f"{item.ledger}: {item.position} does not follow its head")
            if (
                head.recorded_at is not None
                and head.version
                and (item.recorded_at < head.recorded_at)
            ):
                raise Foul("order", f"{item.ledger}: {item.position} was recorded before its head")
            self._heads[item.ledger] = Head.after(item)
            self.recorded.append(item)
        states = self.states[chain[0].ledger]
        before, after = states[-1], fold(chain, states[-1])
        states.append(after)
        return {
            fact_id: versions
            for fact_id, versions in after.facts.items()
            if versions != before.facts.get(fact_id)
        }

    def new_told(self, ids: Ids, text: str, *, infer: bool, wait: bool) -> Told:
        """A request to add; ``{}`` in the text becomes a name that nobody else tells."""
        number = len(self.told)
        name = "Q" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")
        told = Told(number, ids, text.format(name), infer, wait, name)
        self.told.append(told)
        self.names[name] = told
        return told

    def new_edit(self, method: str) -> Edit:
        """A request to change something else."""
        edit = Edit(len(self.edits), method)
        self.edits.append(edit)
        return edit

    def versions_seen(
        self, scope: Scope, since: int, early: datetime, late: datetime
    ) -> tuple[set[FactKey], set[FactKey]]:
        """The versions that a listing must return, and those that it may return.

        Args:
            scope: of the listing.
            since: the number of states of the ledger when it began.
            early: not later than its time.
            late: not earlier than its time.
        """
        states = self.states[scope.ledger][since - 1 :]
        may = set[FactKey]().union(*(_visible(state, scope, early) for state in states))
        must = may.intersection(*(_visible(state, scope, late) for state in states))
        return must, may

    def check_words(self, ids: Ids, words: Iterable[str]) -> None:
        """Check that no word is a name that somebody else told.

        Raises:
            Foul: one is.
        """
        for word in words:
            told = self.names.get(word.strip(".,"))
            if told is not None and not covers(ids, told.ids):
                raise Foul("scope", f"{ids} were shown {word}, which {told.ids} told")

    def check_fact(self, ids: Ids, fact: Fact) -> None:
        """Check that a fact belongs to who is shown it.

        Raises:
            Foul: it does not.
        """
        if not covers(ids, fact.scope.ids()):
            raise Foul("scope", f"{ids} were shown {fact.fact_id} of {fact.scope.ids()}")
        self.check_words(ids, fact.text.split())


def covers(asked: Ids, owned: Ids) -> bool:
    """Whether a request for these ids may see what belongs to those; the owner is the same."""
    return all(owned.get(name) == value for name, value in asked.items()) and (
        owner_of(asked) == owner_of(owned)
    )


def owner_of(ids: Ids) -> tuple[str, str]:
    """The user if there is one, else the agent, else the run."""
    return next((name, ids[name]) for name in ("user_id", "agent_id", "run_id") if name in ids)


def _visible(state: LedgerState, scope: Scope, now: datetime) -> set[FactKey]:
    return {
        fact.key
        for fact in state.current()
        if scope.covers(fact.scope) and fact.visible(now=now, as_of=None, valid_at=None)
    }
