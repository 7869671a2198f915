"""Whether an external engine (collection, class, schema, database) holds this log or another one.

An engine holds one log. The first delivery binds it, a rebuild binds it anew.
"""

from __future__ import annotations

from remembrancer.domain.errors import SettingsError
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.external_engine import Engine, LogId, is_claimable
from remembrancer.domain.recorded import Position


class EngineClaim:
    """Binds an engine to a log, and refuses an engine that holds another log.

    The identity of a log is the id of its first event, which is random and is never erased. An
    empty log has none, and nothing to deliver.

    Args:
        projection: the name of the projection.
        engine: the engine; one that is not ``Claimable`` is never refused.
        log: the log.
    """

    def __init__(self, projection: str, engine: Engine, log: AuditLog) -> None:
        self._projection = projection
        self._engine = engine
        self._log = log
        self._identity: LogId | None = None

    async def bind(self) -> None:
        """Bind an engine that holds no log, before the first delivery.

        Raises:
            SettingsError: it holds another log.
            AdapterUnavailable: the engine or the log did not answer.
        """
        self._check(await self._held(bind=True))

    async def require(self) -> None:
        """Check that the engine holds this log.

        Raises:
            SettingsError: it holds another log, or none.
            AdapterUnavailable: the engine or the log did not answer.
        """
        self._check(await self._held(bind=False))

    async def is_held(self) -> bool:
        """Whether the engine holds this log.

        Raises:
            AdapterUnavailable: the engine or the log did not answer.
        """
        return await self._held(bind=False) == self._identity

    async def _held(self, *, bind: bool) -> LogId | None:
        if not is_claimable(self._engine):
            return self._identity
        if self._identity is None:
            first = await self._log.read(Position(0), 1)
            if not first:
                return None
            self._identity = LogId(first[0].event_id)
        return await self._engine.claim(self._identity, bind=bind)

    def _check(self, held: LogId | None) -> None:
        if held == self._identity:
            return
        found = f"the log {held}" if held else "no log: it was emptied, or filled by an old release"
        raise SettingsError(
            self._projection,
            f"this log is {self._identity}, but the engine holds {found}; select another "
            "collection, schema or database in the settings, or run remembrancer rebuild "
            f"{self._projection}, which deletes everything that the engine holds",
        )
