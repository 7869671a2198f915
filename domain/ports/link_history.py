"""The port to all versions of the graph's links, in the log's own store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.graph import Link
from remembrancer.domain.scope import LedgerId


class LinkHistory(Protocol):
    """All versions of all links, for decisions about relations and for ``verify``.

    Contract: equals the fold of the log (``Links`` of ``domain.graph.link_history``) at all times,
    and shows every append that has returned. It is not for reads, which have a scope and a time.

    Raises:
        AdapterUnavailable: the store did not answer.
    """

    async def versions(
        self, ledger: LedgerId, facts: Sequence[FactId] | None = None
    ) -> Sequence[Link]:
        """All versions of the links of a ledger, those of one link oldest first; with ``facts``
        only the links that come from one of these facts.
        """
        ...
