"""The command line with the real memory in it: ``remembrancer`` and ``python -m remembrancer``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from remembrancer.entrypoints.cli.main import run
from remembrancer.entrypoints.cli.needs import DEFAULT_DATABASE, LedgerMemory

if TYPE_CHECKING:
    from remembrancer.application.audit.health_report import HealthReport
    from remembrancer.wiring.settings import Settings

# The memory is imported late: `remembrancer --help` must not wait for the whole of it.


class CommandLineFace:
    """See ``remembrancer.entrypoints.cli.needs.Face``."""

    def open(
        self, database: str | None, config: str | None = None, *, must_exist: bool = False
    ) -> LedgerMemory:
        """Open a memory."""
        from remembrancer.entrypoints.cli.rebuilding import rebuild_progress
        from remembrancer.memory import Memory

        settings = _settings(database, config)
        if must_exist:
            _require_there(settings)
        return Memory(settings=settings, on_rebuild=rebuild_progress())

    def examine(
        self, database: str | None, config: str | None = None, *, call: bool = False
    ) -> HealthReport:
        """Look at every part."""
        from remembrancer.doctor import examine

        return examine(config, path=database, default_path=DEFAULT_DATABASE, call=call)


def _settings(database: str | None, config: str | None) -> Settings:
    from remembrancer.wiring.settings import load_settings

    settings = load_settings(config, path=database)
    chosen = settings.audit_log
    if database is None and chosen.chosen == "sqlite" and chosen.settings.path == ":memory:":
        return load_settings(config, path=DEFAULT_DATABASE)
    return settings


def _require_there(settings: Settings) -> None:
    from remembrancer.domain.errors import InvalidRequest

    chosen = settings.audit_log
    if chosen.chosen == "sqlite" and not Path(chosen.settings.path).exists():
        raise InvalidRequest(
            "--db",
            f"there is no database at {chosen.settings.path}; add or ingest something first",
        )


def main() -> None:
    """Run the command that the arguments ask for, and exit."""
    sys.exit(run(CommandLineFace(), sys.argv[1:]))


if __name__ == "__main__":
    main()
