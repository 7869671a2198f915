"""The work of ``ingest``: batches of messages become memory, each exactly once.

Each batch is one call of ``add`` under an idempotency key that is made of its content. That is
all the bookkeeping there is: what is in the ledger already is told by its key, so a run that was
stopped anywhere is finished by running it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from memledger.adapters.cli.conversation_files import Batch, ConversationFile
from memledger.adapters.cli.invocation import ACTOR, OWNERS
from memledger.adapters.cli.needs import LedgerMemory, ScopeIds
from memledger.application.receipt import Receipt
from memledger.domain.errors import InvalidRequest

_OF_A_MESSAGE = re.compile(r"messages\[(\d+)\](.*)", re.DOTALL)


@define(kw_only=True)
class Ingested:
    """What a run has done so far."""

    batches: int = 0
    replayed: int = 0
    messages: int = 0
    verdicts: Counter[str] = field(factory=Counter)
    skipped: int = 0
    lagging: set[str] = field(factory=set)

    def count(self, receipt: Receipt) -> None:
        """Take in what one batch has led to."""
        self.batches += 1
        if receipt.replayed:
            self.replayed += 1
            return
        self.messages += len(receipt.messages)
        self.verdicts.update(verdict.decision.value for verdict in receipt.verdicts)
        self.skipped += len(receipt.skipped)
        self.lagging.update(receipt.lagging)

    def to_dict(self) -> dict[str, Any]:
        """All counts; ``messages``, ``verdicts`` and ``skipped`` are those of this run."""
        return {
            "batches": self.batches,
            "replayed": self.replayed,
            "messages": self.messages,
            "verdicts": dict(sorted(self.verdicts.items())),
            "skipped": self.skipped,
            "lagging": sorted(self.lagging),
        }


def ingested(
    memory: LedgerMemory,
    conversation: ConversationFile,
    *,
    scope: ScopeIds,
    infer: bool,
    advance: Callable[[int, int], None],
) -> Ingested:
    """Remember a conversation, batch by batch.

    Args:
        memory: where to.
        conversation: what was said.
        scope: whose memory it is; may name nobody only if the conversation is ``owned``.
        infer: draw facts, or store the messages word for word.
        advance: told how far it is.

    Raises:
        InvalidRequest: a message is refused, by its place in the file. The batches before it are
            in the ledger.
    """
    done = Ingested()
    with _resumable(done):
        for batch in conversation.batches:
            whose = _whose(scope, batch)
            with _placed(batch):
                receipt = memory.add(
                    batch.messages,
                    **whose,
                    infer=infer,
                    idempotency_key=_key(whose, batch, infer=infer),
                    actor=ACTOR,
                )
            done.count(receipt)
            advance(batch.done, conversation.total)
    return done


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
def _placed(batch: Batch) -> Iterator[None]:
    """Name the place in the file where the memory names the place in the batch."""
    try:
        yield
    except InvalidRequest as error:
        found = _OF_A_MESSAGE.fullmatch(error.path)
        if found is None:
            raise
        place, within = batch.places[int(found[1])], found[2]
        raise InvalidRequest(f"{place}{within}", error.problem) from error


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
