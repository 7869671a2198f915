"""What the remember use-case asks of an extractor: from messages to candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from memledger.domain.conversation import Message
from memledger.domain.events import InferenceRecorded
from memledger.domain.ports.clock import IdSource
from memledger.domain.verdicts import Candidate, Skipped


@frozen(kw_only=True)
class Extraction:
    """What was found, what was left out, and the record of how.

    ``inference`` names every message that was looked at, so that none is extracted twice.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    inference: InferenceRecorded


class Extractor(Protocol):
    """Contract: every statement of every message ends up in ``candidates`` or in ``skipped``;
    every candidate's evidence quotes one of the messages to the letter.
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
