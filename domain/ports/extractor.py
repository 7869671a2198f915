"""The port to an extractor: from messages to candidates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Protocol

from attrs import frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import AdapterUnavailable, ModelError
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.facts.verdicts import Candidate, RefusedItem, Skipped
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.ports.clock import IdSource

EXTRACTION = "extraction"
PROCEDURE = "procedure"
"""The values of ``InferenceRecorded.purpose`` for extraction."""

IGNORED = "ignored"
"""The parameter of an inference that names the guidance that was not followed."""


@frozen(kw_only=True)
class Extraction:
    """The candidates, the refused items, the skipped statements, and the inferences behind them.
    Sources count the ``inferences`` here, from 0.

    The ``inferences`` together name every message that was processed, so that none is extracted
    twice. After a ``failure`` the other messages wait for a retry; candidates of theirs come from
    the complete items of an answer that was cut off, and unusable answers of a model are recorded
    too. ``messages`` are the ones that were read, with the descriptions of their images; empty if
    not needed.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    inferences: tuple[InferenceRecorded, ...]
    failure: ModelError | AdapterUnavailable | None = None
    messages: tuple[Message, ...] = ()
    refused: tuple[RefusedItem, ...] = ()


def skipped_as_json(skipped: Iterable[Skipped]) -> str:
    """The ``output`` of an inference without a model: the statements that it skipped."""
    return json.dumps(
        [
            {"message_id": item.message_id, "text": item.text, "reason": item.reason}
            for item in skipped
        ],
        ensure_ascii=False,
    )


class Extractor(Protocol):
    """Contract: a statement, or a whole message, without a candidate is listed in ``skipped``; the
    evidence of every candidate is an exact quote from a message or from the description of its
    images.
    """

    @property
    def name(self) -> str:
        """Name and version, for records and receipts."""
        ...

    @property
    def kept_image_bytes(self) -> int:
        """Maximum size, in bytes, of an image that the ledger keeps for a retry."""
        ...

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Find the candidates in messages of one scope.

        Args:
            messages: in the order in which they were said.
            ids: the source of new ids.
            guidance: guidance of this call, which overrides the settings. An extractor names the
                guidance that it can't follow in the parameter ``IGNORED`` of its inferences.
        """
        ...

    async def recount(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Make procedural candidates from an agent's run: one, or one for each part of a long run.
        Arguments as for ``extract``.
        """
        ...
