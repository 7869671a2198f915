"""What the remember use-case asks of an extractor: from messages to candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from memledger.domain.conversation import Message
from memledger.domain.errors import AdapterUnavailable, ModelError
from memledger.domain.events import InferenceRecorded
from memledger.domain.ports.clock import IdSource
from memledger.domain.verdicts import Candidate, Skipped


@frozen(kw_only=True)
class Extraction:
    """What was found, what was left out, and the records of how.

    The ``inferences`` together name every message that was dealt with, so that none is extracted
    twice. A ``failure`` says that the rest has to wait for another try: no candidate comes from a
    message that no inference names, and what a model answered in vain is recorded all the same.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    inferences: tuple[InferenceRecorded, ...]
    failure: ModelError | AdapterUnavailable | None = None


class Extractor(Protocol):
    """Contract: what is left out of a message ends up in ``skipped``, be it a statement or all of
    the message; every candidate's evidence quotes one of the messages to the letter.
    """

    @property
    def name(self) -> str:
        """Name and version, as recorded and shown in receipts."""
        ...

    async def extract(self, messages: Sequence[Message], ids: IdSource) -> Extraction:
        """Find the candidates in messages of one scope, given in the order in which they were
        said.
        """
        ...
