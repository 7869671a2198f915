"""Verify a store: every stored byte of the log, and every row that is derived from it.

It reads alone. What repairs read models is ``rebuild``.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from remembrancer.domain.audit.faults import MAX_FAULTS, Verification
from remembrancer.domain.errors import IntegrityError, InvalidRequest
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.inspection import Inspection, Progress
from remembrancer.domain.recorded import CLOCK_LEAD
from remembrancer.domain.scope import LedgerId

PAGE = 1000
"""Ledgers whose heads are compared with the clock at once."""

ALWAYS = ("events", "ledgers", "facts")
"""What ``Verification.checked`` counts even if there is none."""


class Verify:
    """Verifies the log and its read models.

    Args:
        log: the log.
        inspection: compares the rows of the store.
        clock: the current time.
        clock_lead: how far the last event of a ledger may be ahead of the clock without a warning.
        embedder: the embedder, as it is configured; its vectors are computed again if it is local.
        engines: the names of external engines. They are not compared with the log.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        inspection: Inspection,
        clock: Clock,
        clock_lead: timedelta = CLOCK_LEAD,
        embedder: Any = None,
        engines: Sequence[str] = (),
    ) -> None:
        self._log = log
        self._inspection = inspection
        self._clock = clock
        self._clock_lead = clock_lead
        self._embedder = embedder
        self._engines = engines

    async def __call__(
        self, progress: Progress | None = None, *, chain: bool = False, jobs: int = 1
    ) -> Verification:
        """Verify the whole store.

        Args:
            progress: see ``Inspection.check``.
            chain: verify the log alone.
            jobs: processes to divide the ledgers among, at least 1.

        Raises:
            InvalidRequest: ``jobs`` is below 1, or a part can't be sent to other processes.
            AdapterUnavailable: the store did not answer.
        """
        if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
            raise InvalidRequest("jobs", f"expected a whole number from 1 on, got {jobs!r}")
        findings = await self._inspection.check(
            chain=chain, jobs=jobs, embedder=self._recomputing(), progress=progress
        )
        for engine in () if chain else self._engines:
            findings.skip(engine, "rows of an external engine are not compared with the log")
        return Verification(
            checked={**dict.fromkeys(ALWAYS, 0), **findings.checked},
            unchecked=tuple(findings.unchecked),
            faults=tuple(findings.faults),
            faults_total=findings.total,
            warnings=tuple(await self._ahead()),
        )

    def _recomputing(self) -> Any:
        embedder = self._embedder
        if embedder is None or not embedder.local or inspect.iscoroutinefunction(embedder.embed):
            return None
        return embedder

    async def _ahead(self) -> list[str]:
        """A warning for each ledger whose last event is in the future."""
        warnings: list[str] = []
        after: LedgerId | None = None
        # A head that can't be read is a fault already.
        with suppress(IntegrityError):
            while names := await self._log.ledgers(after, PAGE):
                now = await self._clock.now()
                for name in names:
                    head = await self._log.head(name)
                    if head.lead(now) > self._clock_lead and len(warnings) < MAX_FAULTS:
                        warnings.append(
                            f"{name}: the last event was recorded in the future, "
                            f"at {head.recorded_at}"
                        )
                after = names[-1]
        return warnings
