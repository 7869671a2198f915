"""Open a memory for a command.

``Memory`` is imported late, so that ``remembrancer --help`` is fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from remembrancer import InvalidRequest

if TYPE_CHECKING:
    from remembrancer import Memory, Settings

DEFAULT_DATABASE = "remembrancer.db"
"""The database if neither options nor settings name one."""


def open_memory(
    database: str | None, config: str | None = None, *, must_exist: bool = False
) -> Memory:
    """Open a memory.

    Args:
        database: path of a SQLite database, created if needed. ``None`` uses the settings, and
            ``DEFAULT_DATABASE`` if they name none.
        config: a settings file; variables override it.
        must_exist: refuse a database that does not exist instead of creating it.

    Raises:
        InvalidRequest: the settings are invalid, or the database does not exist.
    """
    from remembrancer import Memory
    from remembrancer.entrypoints.cli.rebuilding import rebuild_progress

    settings = _settings(database, config)
    if must_exist:
        _require_there(settings)
    return Memory(settings=settings, on_rebuild=rebuild_progress())


def _settings(database: str | None, config: str | None) -> Settings:
    from remembrancer import load_settings

    settings = load_settings(config, path=database)
    chosen = settings.audit_log
    if database is None and chosen.chosen == "sqlite" and chosen.settings.path == ":memory:":
        return load_settings(config, path=DEFAULT_DATABASE)
    return settings


def _require_there(settings: Settings) -> None:
    chosen = settings.audit_log
    if chosen.chosen == "sqlite" and not Path(chosen.settings.path).exists():
        raise InvalidRequest(
            "--db",
            f"there is no database at {chosen.settings.path}; run remembrancer add or ingest first",
        )
