"""What the remember use-case asks of an extractor: from messages to candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import AdapterUnavailable, ModelError
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.verdicts import Candidate, Skipped
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.ports.clock import IdSource

EXTRACTION = "extraction"
PROCEDURE = "procedure"
"""The purposes under which is recorded what facts were drawn with."""

IGNORED = "ignored"
"""The parameter of a record that names what of the guidance was not followed."""


@frozen(kw_only=True)
class Extraction:
    """What was found, what was left out, and the records of how.

    The ``inferences`` together name every message that was dealt with, so that none is extracted
    twice. A ``failure`` says that the rest has to wait for another try: no candidate comes from a
    message that no inference names, and what a model answered in vain is recorded all the same.
    ``messages`` are those read, with what was seen in their images, where that is of interest.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    inferences: tuple[InferenceRecorded, ...]
    failure: ModelError | AdapterUnavailable | None = None
    messages: tuple[Message, ...] = ()


class Extractor(Protocol):
    """Contract: what is left out of a message ends up in ``skipped``, be it a statement or all of
    the message; every candidate's evidence quotes one of the messages, or what was seen in its
    images, to the letter.
    """

    @property
    def name(self) -> str:
        """Name and version, as recorded and shown in receipts."""
        ...

    @property
    def kept_image_bytes(self) -> int:
        """Bytes of an image up to which it is kept in the ledger for another try."""
        ...

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Find the candidates in messages of one scope.

        Args:
            messages: in the order in which they were said.
            ids: fresh ids.
            guidance: what this call wants, in place of what the settings say. What an extractor
                can't follow it names in the parameter ``IGNORED`` of its records.
        """
        ...

    async def recount(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Make of an agent's run the procedural candidates that tell how it was done: one, or one
        for each part of a long run. Arguments as for ``extract``.
        """
        ...
