"""Looking at a database file without changing it, as ``remembrancer doctor`` does."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import evolve

from remembrancer.adapters.stores.sqlite.database import APPLICATION_ID, SqliteSettings, check
from remembrancer.adapters.stores.sqlite.failures import translating
from remembrancer.adapters.stores.sqlite.migrations import MIGRATIONS
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest

ENGINE = f"SQLite {sqlite3.sqlite_version}"


def survey(settings: SqliteSettings) -> tuple[Mapping[str, Any], SqliteSettings | None]:
    """What there is to say about the file, and the settings to read it with; ``None`` if there is
    nothing in it to read.

    Raises:
        InvalidRequest: it is another program's, no database, or of a newer release.
        AdapterUnavailable: it can't be read, or not be written to where it should.
        IntegrityError: it is damaged.
    """
    check(settings)
    if settings.path == ":memory:":
        return {"engine": ENGINE, "path": ":memory: (gone when it is closed)"}, None
    file = Path(settings.path).absolute()
    durability = settings.durability.value
    details: dict[str, Any] = {"engine": ENGINE, "path": str(file), "durability": durability}
    if not file.exists():
        _require_folder(file, settings)
        return {**details, "file": "not there yet; the first write makes it"}, None
    version = _version(file, settings)
    details["bytes"] = sum(each.stat().st_size for each in _files(file))
    details["schema"] = f"{version} of {len(MIGRATIONS)}"
    if version < len(MIGRATIONS):
        details["schema"] += "; the next opening migrates it"
        return details, None
    if not (settings.read_only or os.access(file, os.W_OK)):
        raise AdapterUnavailable(
            "sqlite", f"{file} is not writable; change its owner or mode, or set read_only"
        )
    return details, evolve(settings, read_only=True)


def _version(file: Path, settings: SqliteSettings) -> int:
    """The version of the schema."""
    target = f"file:{quote(os.fsencode(file))}?mode=ro"
    with (
        translating(str(file)),
        closing(sqlite3.connect(target, uri=True, timeout=settings.busy_timeout)) as connection,
    ):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID and (tables or application):
        raise InvalidRequest(
            "audit_log.path", f"{file} is the database of another program; name another file"
        )
    if version > len(MIGRATIONS):
        raise InvalidRequest(
            "audit_log.path",
            f"{file} has schema version {version}, this release knows up to {len(MIGRATIONS)}; "
            "upgrade remembrancer",
        )
    return int(version)


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
