"""The state of a database file, read without changing it, for ``remembrancer doctor``."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import evolve

from remembrancer.adapters.stores.sqlite.database import SqliteSettings, check
from remembrancer.adapters.stores.sqlite.database_file import DatabaseFile
from remembrancer.adapters.stores.sqlite.failures import translating
from remembrancer.adapters.stores.sqlite.migrations import schema_version
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.ports.store import Survey

ENGINE = f"SQLite {sqlite3.sqlite_version}"


def survey(settings: SqliteSettings) -> Survey:
    """The file's state, read without changing it.

    Raises:
        InvalidRequest: another program made the file, it is no database, or a newer release wrote
            it.
        AdapterUnavailable: the file can't be read, or can't be written where it has to be.
        IntegrityError: it is damaged.
    """
    check(settings)
    if settings.path == ":memory:":
        return Survey(engine=ENGINE, details={"path": ":memory: (gone when it is closed)"})
    file = Path(settings.path).resolve()
    details: dict[str, Any] = {"path": str(file), "durability": settings.durability.value}
    if not file.exists():
        _require_folder(file, settings)
        details["file"] = "not there yet; the first write makes it"
        return Survey(engine=ENGINE, details=details)
    version, known = _version(file, settings), len(SCHEMA_VERSIONS)
    details["bytes"] = sum(each.stat().st_size for each in _files(file))
    details["schema"] = f"{version} of {known}"
    if version < known:
        details["schema"] += "; the next opening migrates it"
        return Survey(engine=ENGINE, details=details)
    if not (settings.read_only or os.access(file, os.W_OK)):
        raise AdapterUnavailable(
            "sqlite", f"{file} is not writable; change its owner or mode, or set read_only"
        )
    return Survey(engine=ENGINE, details=details, readable=evolve(settings, read_only=True))


def _version(file: Path, settings: SqliteSettings) -> int:
    target = DatabaseFile(str(file), read_only=True).target
    with (
        translating(str(file)),
        closing(sqlite3.connect(target, uri=True, timeout=settings.busy_timeout)) as connection,
    ):
        return schema_version(connection, str(file), len(SCHEMA_VERSIONS), where="audit_log.path")


def _files(file: Path) -> list[Path]:
    """The file, and what was committed but not yet taken into it."""
    ahead = file.with_name(f"{file.name}-wal")
    return [file, ahead] if ahead.exists() else [file]


def _require_folder(file: Path, settings: SqliteSettings) -> None:
    if settings.read_only:
        raise AdapterUnavailable("sqlite", f"there is no {file}, and read_only won't make it")
    if not (file.parent.is_dir() and os.access(file.parent, os.W_OK | os.X_OK)):
        raise AdapterUnavailable(
            "sqlite", f"{file.parent} is no folder that can be written to; make it one"
        )
