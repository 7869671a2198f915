"""The port to the graph in the log's own store: every version of its links, at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.graph import Link
from remembrancer.domain.scope import LedgerId


class LinkHistory(Protocol):
    """What decisions about relations are made on, and what is held against the log.

    Contract: equals the fold of the log (``Links`` of ``domain.graph.link_history``) at all times,
    and sees every append that returned before. It is not for readers, who have a scope and a time.

    Raises:
        AdapterUnavailable: the store did not answer.
    """

    async def versions(
        self, ledger: LedgerId, facts: Sequence[FactId] | None = None
    ) -> Sequence[Link]:
        """All versions of the links of a ledger, those of one link oldest first; with ``facts``
        only those that come from one of them.
        """
        ...
