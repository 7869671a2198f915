"""Divide the events of a large ledger into parts, so that the memory does not grow with it.

An *entity* is what events can change: a fact, a relation or a message. It is in the part of the
first event that names it; entities that an event joins (rivals, a fact and its relations) are in
one part. So a part is folded from the events that name its entities alone. Of the whole ledger,
only arrays of numbers are held.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from attrs import define, field, frozen

from remembrancer.domain.audit.ledger_fold import LedgerFold
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import InferenceRecorded, MessageObserved
from remembrancer.domain.facts.evolve import fact_ids_of
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.recall.documents import SAME_CONVERSATION, Surroundings
from remembrancer.domain.recall.index_context import NEIGHBOURS
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import Scope

PART = 10_000
"""Events of a part. They take about 4 kB each while it is checked."""

_LAST = (1 << 63) - 1

Numbers: TypeAlias = npt.NDArray[np.signedinteger[Any]]
_Thread: TypeAlias = tuple[str | None, ...]


@frozen(kw_only=True)
class Part:
    """A part of a ledger.

    ``versions`` are those of the events to fold. Its messages are at ``first`` to ``last``, which
    are positions; those of all parts together are all there are.
    """

    versions: Numbers
    first: int
    last: int


def _narrow(numbers: Numbers) -> Numbers:
    """The same numbers in half of the memory, if they are as small as they should be."""
    narrow = numbers.astype(np.int32)
    return narrow if np.array_equal(narrow, numbers) else numbers


def _thread_of(scope: Scope) -> _Thread:
    return (scope.agent_id, scope.run_id, scope.app_id)


def _number(kind: str, name: str) -> int:
    # Two entities with one number would only be in one part.
    return hash((kind, name))


class Outline:
    """What the events of a ledger name, and the order of its messages."""

    def __init__(self) -> None:
        self._entities, self._versions = array("q"), array("q")
        self._inferred, self._inferred_at = array("q"), array("q")
        self._joined = array("q")
        self._observed: dict[_Thread, array[int]] = defaultdict(lambda: array("q"))
        self._threads: dict[_Thread, Numbers] = {}
        self._begun: dict[int, int] = {}
        self._known: Numbers = np.empty(0, np.int64)
        self._first: Numbers = np.empty(0, np.int64)

    def feed(self, items: Iterable[Recorded]) -> None:
        """Note the next events, in order."""
        for item in items:
            event, version = item.event, item.version
            self._begun.setdefault(version // PART, item.position)
            if isinstance(event, MessageObserved):
                message = event.message
                number = _number("message", message.message_id)
                self._name(version, number)
                self._observed[_thread_of(message.scope)].extend((version, number))
            elif isinstance(event, InferenceRecorded):
                # It may name a message that is observed later, or never.
                self._inferred.extend(_number("message", each) for each in event.messages)
                self._inferred_at.extend([version] * len(event.messages))
            else:
                named = [_number("fact", fact_id) for fact_id in fact_ids_of(event)]
                relation_id: str | None = getattr(event, "relation_id", None)
                if relation_id is not None:
                    named.append(_number("relation", relation_id))
                self._name(version, *named)
                for pair in pairwise(named):
                    self._joined.extend(pair)

    def _name(self, version: int, *entities: int) -> None:
        self._entities.extend(entities)
        self._versions.extend([version] * len(entities))

    def parts(self) -> Iterator[Part]:
        """The parts, in order."""
        versions = np.array(self._versions, np.int64)
        self._known, places = np.unique(
            np.frombuffer(self._entities, np.int64), return_inverse=True
        )
        self._first = np.full(self._known.size, _LAST)
        np.minimum.at(self._first, places, versions)
        for thread, pairs in self._observed.items():
            at, numbers = np.array(pairs, np.int64).reshape(-1, 2).T
            # A message that is observed again is the same message.
            first = self._first[np.searchsorted(self._known, numbers)] == at
            self._threads[thread] = _narrow(at[first])
        inferred = np.array(self._inferred, np.int64)
        observed = np.isin(inferred, self._known)
        places = np.append(places, np.searchsorted(self._known, inferred[observed]))
        versions = np.append(versions, np.array(self._inferred_at, np.int64)[observed])
        homes = (self._homes() // PART)[places]
        self._first = _narrow(self._first)
        del self._entities, self._versions, self._observed, self._inferred, self._inferred_at
        del self._joined, inferred, observed, places
        begun = sorted(self._begun.items())
        order = np.argsort(homes, kind="stable")
        ends = np.searchsorted(homes[order], [part for part, _ in begun], "right").tolist()
        versions = _narrow(versions[order])
        del homes, order
        for place, (_, position) in enumerate(begun):
            yield Part(
                versions=np.unique(versions[ends[place - 1] if place else 0 : ends[place]]),
                first=position if place else -_LAST,
                last=begun[place + 1][1] - 1 if place + 1 < len(begun) else _LAST,
            )

    def _homes(self) -> Numbers:
        """Of each entity the first version that names it, or one that is joined with it."""
        order = np.argsort(self._first, kind="stable")
        ranks = np.empty_like(order)
        ranks[order] = np.arange(order.size)
        joined = np.searchsorted(self._known, np.array(self._joined, np.int64))
        one, other = ranks[joined.reshape(-1, 2).T]
        # Each points to one that came before it, at last all of a group to the first of the group.
        leads = np.arange(order.size)
        while True:
            former, later = np.sort([leads[one], leads[other]], axis=0)
            if np.array_equal(former, later):
                return self._first[order[leads[ranks]]]
            np.minimum.at(leads, later, former)
            while not np.array_equal(leads, leads[leads]):
                leads = leads[leads]

    def knows(self, fact_id: str) -> bool:
        """Whether an event names a fact."""
        return self._find(_number("fact", fact_id)) is not None

    def version_of(self, message_id: MessageId) -> int | None:
        """The version of the event that observed a message first."""
        return self._find(_number("message", message_id))

    def _find(self, entity: int) -> int | None:
        place = int(np.searchsorted(self._known, entity))
        if place == self._known.size or self._known[place] != entity:
            return None
        return int(self._first[place])

    def near(self, scope: Scope, version: int) -> tuple[Sequence[int], Sequence[int]]:
        """The versions of the messages just before and just after one in its conversation."""
        thread = self._threads[_thread_of(scope)]
        place = int(np.searchsorted(thread, version))
        before, after = thread[max(0, place - NEIGHBOURS) : place], thread[place + 1 :]
        return before.tolist(), after[:NEIGHBOURS].tolist()


@define(kw_only=True)
class PartFold(LedgerFold):
    """The fold of one part. Messages of other parts are read when a context needs them.

    Args:
        outline: of the whole ledger.
        message_at: reads the message of an event by its version; ``None`` if it was erased.
    """

    outline: Outline
    message_at: Callable[[int], Message | None]
    spelled_at: dict[str, int] = field(factory=dict)
    """The versions of the events that gave names their spelling."""
    _by_version: dict[int, Message | None] = field(factory=dict)

    def apply(self, items: Iterable[Recorded]) -> None:
        """See ``LedgerFold.apply``."""
        spelled = self.links.spelled
        for item in items:
            count = len(spelled)
            super().apply((item,))
            if len(spelled) != count:
                self.spelled_at.update(dict.fromkeys(islice(spelled, count, None), item.version))
            if isinstance(item.event, MessageObserved):
                self._by_version[item.version] = item.event.message

    def around(self, message_id: MessageId) -> Surroundings | None:
        """See ``Conversations.around``."""
        version = self.outline.version_of(message_id)
        own = None if version is None else self._message(version)
        if version is None or own is None or own.message_id != message_id:
            return None
        before, after = (
            tuple(
                message
                for message in map(self._message, versions)
                if message is not None
                and abs(message.occurred_at - own.occurred_at) <= SAME_CONVERSATION
            )
            for versions in self.outline.near(own.scope, version)
        )
        return Surroundings(before=before, own=own, after=after)

    def _message(self, version: int) -> Message | None:
        if version not in self._by_version:
            self._by_version[version] = self.message_at(version)
        return self._by_version[version]
