"""Remember batches of messages for ``ingest``, each exactly once.

The idempotency key of a batch is a hash of its content. There is no other state: a run that was
interrupted is finished by running it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import asdict, define, field

from remembrancer import AdapterUnavailable, InvalidRequest, NothingToRemember
from remembrancer.entrypoints.cli.conversation_files import Batch, ConversationFile
from remembrancer.entrypoints.cli.invocation import ACTOR, OWNERS
from remembrancer.types import Failure, Receipt, ScopeIds, Usage

if TYPE_CHECKING:
    from remembrancer import Memory
    from remembrancer.entrypoints.cli.rendering import Advance
    from remembrancer.types import Adding, Conversation

MOST_UNREAD = 20
"""Places of unreadable messages that the result lists."""

_OF_A_MESSAGE = re.compile(r"conversations\[(\d+)\]\.messages\[(\d+)\](.*)", re.DOTALL)


@define(kw_only=True)
class Ingested:
    """Counts of a run so far."""

    batches: int = 0
    replayed: int = 0
    messages: int = 0
    verdicts: Counter[str] = field(factory=Counter)
    skipped: int = 0
    unread: list[str] = field(factory=list)
    lagging: set[str] = field(factory=set)
    waiting: int = 0
    usage: Usage = Usage()

    def count(self, receipt: Receipt | Failure, places: Sequence[str]) -> None:
        """Add the outcome of one batch, whose messages have these places in the file."""
        self.batches += 1
        if isinstance(receipt, Failure):
            self.waiting += 1
            return
        if receipt.replayed:
            self.replayed += 1
            return
        self.usage = self.usage + receipt.usage
        self.messages += len(receipt.messages)
        self.verdicts.update(verdict.decision.value for verdict in receipt.verdicts)
        self.skipped += len(receipt.skipped)
        for item in receipt.skipped:
            if item.index is not None:
                self.unread.append(f"{places[item.index]}: {item.reason}")
        self.lagging.update(receipt.lagging)

    def leave_out(self, batch: Batch, refusal: NothingToRemember) -> None:
        """Count the messages of a batch in which nothing can be remembered."""
        self.skipped += len(batch.messages)
        self.unread.append(str(refusal))

    def to_dict(self) -> dict[str, Any]:
        """All counts. ``messages``, ``verdicts``, ``skipped`` and ``usage`` are of this run only;
        ``unread`` are the first places of what could not be read; ``waiting`` counts the batches
        that a model failed on.
        """
        return {
            "batches": self.batches,
            "replayed": self.replayed,
            "messages": self.messages,
            "verdicts": dict(sorted(self.verdicts.items())),
            "skipped": self.skipped,
            "unread": self.unread[:MOST_UNREAD],
            "lagging": sorted(self.lagging),
            "waiting": self.waiting,
            "usage": asdict(self.usage),
        }


def ingested(
    memory: Memory,
    conversation: ConversationFile,
    *,
    scope: ScopeIds,
    infer: bool,
    advance: Advance,
) -> Ingested:
    """Remember a conversation: batches of different owners concurrently, of one owner in order.

    Args:
        memory: the memory to add to.
        conversation: the open file.
        scope: the owner; may be without one only if the conversation is ``owned``.
        infer: extract facts, or store the messages word for word.
        advance: called with the progress and the cost so far.

    Raises:
        InvalidRequest: a message is invalid; the error has its place in the file. If the file is
            read batch by batch, the batches before it are in the ledger.
        AdapterUnavailable: an engine did not answer; no further batch was started.
    """
    done = Ingested()
    refused: NothingToRemember | None = None
    with _resumable(done):
        for window in _windows(conversation):
            left = list(window)
            while left:

                def count(step: Adding, left: Sequence[Batch] = left) -> None:
                    done.count(step.outcome, left[step.index].places)
                    _stop_if_down(step.outcome)
                    reached = step.done if conversation.whole else left[step.index].done
                    advance(reached, conversation.total, spent(done.usage))

                try:
                    _add(memory, left, scope, infer=infer, progress=count)
                    break
                except _Unreadable as error:
                    refused = refused or error.refusal
                    done.leave_out(left.pop(error.index), error.refusal)
    if refused is not None and not done.batches:
        raise refused
    return done


def _windows(conversation: ConversationFile) -> Iterator[Sequence[Batch]]:
    """The batches of each call: all of them, or one by one if the file is streamed (it then has one
    owner, so there is nothing to do concurrently).
    """
    if conversation.whole:
        yield list(conversation.batches)
    else:
        for batch in conversation.batches:
            yield [batch]


def _asked(scope: ScopeIds, batch: Batch, *, infer: bool) -> Conversation:
    whose = _whose(scope, batch)
    return {
        "messages": batch.messages,
        "user_id": whose.get("user_id"),
        "agent_id": whose.get("agent_id"),
        "run_id": whose.get("run_id"),
        "app_id": whose.get("app_id"),
        "infer": infer,
        "idempotency_key": _key(whose, batch, infer=infer),
        "actor": ACTOR,
    }


def _add(
    memory: Memory,
    batches: Sequence[Batch],
    scope: ScopeIds,
    *,
    infer: bool,
    progress: Callable[[Adding], None],
) -> None:
    """Add batches.

    Raises:
        _Unreadable: nothing in one of them can be remembered; nothing was written of any.
    """
    with _placed(batches):
        memory.add_many([_asked(scope, batch, infer=infer) for batch in batches], progress=progress)


def _stop_if_down(outcome: Receipt | Failure) -> None:
    if isinstance(outcome, Failure) and outcome.error == AdapterUnavailable.__name__:
        adapter, _, problem = outcome.problem.partition(": ")
        raise AdapterUnavailable(adapter, f"{problem} (run the same command again to continue)")


def spent(usage: Usage) -> str:
    """Tokens and cost so far, as text; empty if no model was called."""
    tokens = usage.input_tokens + usage.output_tokens
    parts = [f"{tokens:,} tokens"] if tokens else []
    if usage.cost:
        parts.append(f"${usage.cost:,.4f}{'+' if usage.unpriced else ''}")
    return ", ".join(parts)


def in_words(done: Ingested) -> str:
    """A summary in one or two sentences."""
    if not done.batches:
        return "The file has no messages."
    if done.replayed == done.batches:
        return f"All {done.batches} batches were in the ledger already; nothing was added."
    verdicts = ", ".join(f"{count:,} {name}" for name, count in done.verdicts.most_common())
    sentence = (
        f"{done.messages:,} messages in {done.batches - done.replayed:,} batches: "
        f"{verdicts or 'no facts'}; {done.skipped:,} statements left out."
    )
    if done.unread:
        sentence += f" {len(done.unread):,} could not be read, the first at {done.unread[0]}."
    if done.replayed:
        sentence += f" {done.replayed:,} batches were in the ledger already."
    if done.usage.calls:
        sentence += f" {done.usage.calls:,} model calls, {spent(done.usage)}."
    if done.waiting:
        sentence += (
            f" {done.waiting:,} batches wait: the model's answer was unusable. "
            "Retry with: remembrancer retry"
        )
    if done.lagging:
        sentence += f" Lagging: {', '.join(sorted(done.lagging))}."
    return sentence


def _whose(scope: ScopeIds, batch: Batch) -> ScopeIds:
    if scope.keys() & OWNERS or batch.owner is None:
        return scope
    return {**scope, "user_id": batch.owner}


def _key(scope: ScopeIds, batch: Batch, *, infer: bool) -> str:
    # ``number`` distinguishes equal batches, ``infer`` two runs of one file with different modes.
    content = json.dumps([scope, batch.number, infer, batch.messages], sort_keys=True, default=str)
    return f"ingest:{hashlib.sha256(content.encode()).hexdigest()}"


class _Unreadable(Exception):
    """Nothing in the batch at ``index`` can be remembered, which ``refusal`` says."""

    def __init__(self, index: int, refusal: NothingToRemember) -> None:
        super().__init__(refusal)
        self.index = index
        self.refusal = refusal


@contextmanager
def _placed(batches: Sequence[Batch]) -> Iterator[None]:
    """Replace the path in the call by the place in the file."""
    try:
        yield
    except InvalidRequest as error:
        found = _OF_A_MESSAGE.fullmatch(error.path)
        if found is None:
            raise
        index = int(found[1])
        place = f"{batches[index].places[int(found[2])]}{found[3]}"
        if isinstance(error, NothingToRemember):
            raise _Unreadable(index, NothingToRemember(place, error.problem)) from error
        raise InvalidRequest(place, error.problem) from error


@contextmanager
def _resumable(done: Ingested) -> Iterator[None]:
    """Add to an error how many batches are in the ledger, and how to continue."""
    try:
        yield
    except InvalidRequest as error:
        if not done.batches:
            raise
        raise InvalidRequest(
            error.path,
            f"{error.problem} (the {done.batches:,} batches before it are in the ledger; correct "
            "it and run the same command again to continue)",
        ) from error
