"""Resolve ``as_of``, a time or ``"@N"``, to a transaction time of one ledger.

Every read does this here, so that all of them accept and refuse the same.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from remembrancer.application.parsing.arguments import parse_moment, parse_version
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.scope import LedgerId


@frozen(kw_only=True)
class ReadTime:
    """The times of a read: ``as_of`` is the transaction time (``None``: the latest), and ``now``
    decides what has expired or ended by then.
    """

    now: datetime
    as_of: datetime | None


class ResolveAsOf:
    """Resolves ``as_of``.

    Args:
        log: the log, for the versions of a ledger.
        clock: the current time.
    """

    def __init__(self, *, log: AuditLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def __call__(
        self, as_of: object, ledger: LedgerId | None, path: str = "as_of"
    ) -> ReadTime:
        """The times of a read.

        Args:
            as_of: an aware time, ISO 8601, or ``"@N"`` for all that was appended together with the
                ledger's version N; ``None`` reads the latest.
            ledger: the ledger to read; ``None``: all of them, which have no common version.
            path: the name of the argument, for errors.

        Raises:
            InvalidRequest: it is malformed, naive, in the future, or no version of the ledger. The
                message names the times and versions that there are.
        """
        now = await self._clock.now()
        if as_of is None:
            return ReadTime(now=now, as_of=None)
        version = parse_version(as_of, path)
        if version is not None:
            moment = await self._recorded_at(version, ledger, path)
        else:
            moment = await self._past(as_of, now, ledger, path)
        # A ledger may be ahead of this clock, and only the clock decides what has expired.
        return ReadTime(now=min(moment, now), as_of=moment)

    async def _recorded_at(self, version: int, ledger: LedgerId | None, path: str) -> datetime:
        if ledger is None:
            raise InvalidRequest(
                path, f"@{version} is a version of one ledger; say whose, or give a time"
            )
        head = await self._log.head(ledger)
        if not 1 <= version <= head.version:
            raise await self._refusal(path, f"there is no version @{version}", ledger)
        (event,) = await self._log.read_ledger(ledger, version - 1, 1)
        return event.recorded_at

    async def _past(
        self, value: object, now: datetime, ledger: LedgerId | None, path: str
    ) -> datetime:
        try:
            moment = parse_moment(value, path)
        except InvalidRequest as error:
            raise await self._refusal(path, error.problem, ledger) from error
        assert moment is not None
        if moment > now:
            head = None if ledger is None else await self._log.head(ledger)
            if head is None or moment > head.latest(now):
                problem = (
                    f"{moment.isoformat()} is in the future; leave it out to read the latest, or "
                    "use valid_at for what will be true then"
                )
                raise await self._refusal(path, problem, ledger)
        return moment

    async def _refusal(self, path: str, problem: str, ledger: LedgerId | None) -> InvalidRequest:
        return InvalidRequest(path, f"{problem}{await self._range(ledger)}")

    async def _range(self, ledger: LedgerId | None) -> str:
        if ledger is None:
            return ""
        first = await self._log.read_ledger(ledger, 0, 1)
        if not first:
            return f". {ledger} has no events yet"
        head = await self._log.head(ledger)
        last = head.recorded_at or first[0].recorded_at
        return (
            f". {ledger} has @1 ({first[0].recorded_at.isoformat()}) to "
            f"@{head.version} ({last.isoformat()})"
        )
