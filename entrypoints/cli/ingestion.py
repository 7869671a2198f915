"""The work of ``ingest``: batches of messages become memory, each exactly once.

Each batch is a conversation under an idempotency key that is made of its content. That is all the
bookkeeping there is: what is in the ledger already is told by its key, so a run that was stopped
anywhere is finished by running it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from remembrancer.application.remember.failure import Failure
from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.usage import Usage, sum_of
from remembrancer.entrypoints.cli.conversation_files import Batch, ConversationFile
from remembrancer.entrypoints.cli.invocation import ACTOR, OWNERS
from remembrancer.entrypoints.cli.needs import LedgerMemory, ScopeIds

if TYPE_CHECKING:
    from remembrancer.application.parsing.conversations import Conversation
    from remembrancer.application.remember.remember_many import Adding
    from remembrancer.entrypoints.cli.rendering import Advance

_OF_A_MESSAGE = re.compile(r"conversations\[(\d+)\]\.messages\[(\d+)\](.*)", re.DOTALL)


@define(kw_only=True)
class Ingested:
    """What a run has done so far."""

    batches: int = 0
    replayed: int = 0
    messages: int = 0
    verdicts: Counter[str] = field(factory=Counter)
    skipped: int = 0
    lagging: set[str] = field(factory=set)
    waiting: int = 0
    usage: Usage = Usage()

    def count(self, receipt: Receipt | Failure) -> None:
        """Take in what one batch has led to."""
        self.batches += 1
        if isinstance(receipt, Failure):
            self.waiting += 1
            return
        if receipt.replayed:
            self.replayed += 1
            return
        self.usage = sum_of((self.usage, receipt.usage))
        self.messages += len(receipt.messages)
        self.verdicts.update(verdict.decision.value for verdict in receipt.verdicts)
        self.skipped += len(receipt.skipped)
        self.lagging.update(receipt.lagging)

    def to_dict(self) -> dict[str, Any]:
        """All counts; ``messages``, ``verdicts``, ``skipped`` and ``usage`` are those of this
        run, ``waiting`` are the batches that a model made nothing of.
        """
        return {
            "batches": self.batches,
            "replayed": self.replayed,
            "messages": self.messages,
            "verdicts": dict(sorted(self.verdicts.items())),
            "skipped": self.skipped,
            "lagging": sorted(self.lagging),
            "waiting": self.waiting,
            "usage": to_jsonable(self.usage),
        }


def ingested(
    memory: LedgerMemory,
    conversation: ConversationFile,
    *,
    scope: ScopeIds,
    infer: bool,
    advance: Advance,
) -> Ingested:
    """Remember a conversation: the batches of different owners at a time, those of one in order.

    Args:
        memory: where to.
        conversation: what was said.
        scope: whose memory it is; may name nobody only if the conversation is ``owned``.
        infer: draw facts, or store the messages word for word.
        advance: told how far it is, and what it has cost.

    Raises:
        InvalidRequest: a message is refused, by its place in the file. The batches before it are
            in the ledger, if the file is one that is read batch by batch.
        AdapterUnavailable: an engine is down, so no further batch was begun.
    """
    done = Ingested()
    with _resumable(done):
        for window in _windows(conversation):

            def count(step: Adding, window: Sequence[Batch] = window) -> None:
                done.count(step.outcome)
                _stop_if_down(step.outcome)
                reached = window[step.index].done if len(window) == 1 else step.done
                advance(reached, conversation.total, spent(done.usage))

            with _placed(window):
                memory.add_many(
                    [_asked(scope, batch, infer=infer) for batch in window], progress=count
                )
    return done


def _windows(conversation: ConversationFile) -> Iterator[Sequence[Batch]]:
    """What is added in one call: everything, or a batch where the file may be of any length (and
    all of it has one owner, so that there is nothing to do at the same time).
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


def _stop_if_down(outcome: Receipt | Failure) -> None:
    if isinstance(outcome, Failure) and outcome.error == AdapterUnavailable.__name__:
        adapter, _, problem = outcome.problem.partition(": ")
        raise AdapterUnavailable(
            adapter, f"{problem} (run the same command again to go on where it was)"
        )


def spent(usage: Usage) -> str:
    """What was paid so far, in a few words; nothing if no model was asked."""
    tokens = usage.input_tokens + usage.output_tokens
    parts = [f"{tokens:,} tokens"] if tokens else []
    if usage.cost:
        parts.append(f"${usage.cost:,.4f}{'+' if usage.unpriced else ''}")
    return ", ".join(parts)


def in_words(done: Ingested) -> str:
    """A sentence or two for people."""
    if not done.batches:
        return "There was nothing to remember in it."
    if done.replayed == done.batches:
        return f"All {done.batches} batches were in the ledger before; nothing was added."
    verdicts = ", ".join(f"{count:,} {name}" for name, count in done.verdicts.most_common())
    sentence = (
        f"{done.messages:,} messages in {done.batches - done.replayed:,} batches: "
        f"{verdicts or 'no facts'}; {done.skipped:,} statements left out."
    )
    if done.replayed:
        sentence += f" {done.replayed:,} batches were in the ledger before."
    if done.usage.calls:
        sentence += f" {done.usage.calls:,} model calls, {spent(done.usage)}."
    if done.waiting:
        sentence += (
            f" {done.waiting:,} batches wait: the model's answer was of no use. "
            "Try them again with: remembrancer retry"
        )
    if done.lagging:
        sentence += f" Still to follow: {', '.join(sorted(done.lagging))}."
    return sentence


def _whose(scope: ScopeIds, batch: Batch) -> ScopeIds:
    if scope.keys() & OWNERS or batch.owner is None:
        return scope
    return {**scope, "user_id": batch.owner}


def _key(scope: ScopeIds, batch: Batch, *, infer: bool) -> str:
    # The number tells apart what is said in the same words twice, the mode two ways of reading
    # one file into one ledger.
    content = json.dumps([scope, batch.number, infer, batch.messages], sort_keys=True, default=str)
    return f"ingest:{hashlib.sha256(content.encode()).hexdigest()}"


@contextmanager
def _placed(window: Sequence[Batch]) -> Iterator[None]:
    """Name the place in the file where the memory names the place in the call."""
    try:
        yield
    except InvalidRequest as error:
        found = _OF_A_MESSAGE.fullmatch(error.path)
        if found is None:
            raise
        place = window[int(found[1])].places[int(found[2])]
        raise InvalidRequest(f"{place}{found[3]}", error.problem) from error


@contextmanager
def _resumable(done: Ingested) -> Iterator[None]:
    """Say of a file that is refused halfway what became of its first half."""
    try:
        yield
    except InvalidRequest as error:
        if not done.batches:
            raise
        raise InvalidRequest(
            error.path,
            f"{error.problem} (the {done.batches:,} batches before it are in the ledger; correct "
            "it and run the same command again to go on)",
        ) from error
