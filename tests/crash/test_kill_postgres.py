"""Writers on one PostgreSQL are killed repeatedly while others continue to write.

``SIGKILL`` leaves behind a transaction that the server rolls back when it notices, or a commit
whose events have no position yet.
"""

from __future__ import annotations

import random
from pathlib import Path

from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.application.inline import run_inline
from remembrancer.domain.recorded import Position
from remembrancer.testing.depth import scaled
from tests.crash.remains import check_after_kill, remains
from tests.crash.writer import SHORT, read_journal, read_lines, write_for_ever
from tests.helpers.processes import process

KILLS = scaled(8, least=2)
LONGEST_JOURNAL = 16
"""Maximum number of journal lines before a kill; each write has two."""


def test_acknowledged_writes_survive_kills_of_concurrent_writers(
    tmp_path: Path, postgres: PostgresSettings
) -> None:
    # Given two processes that write to the same ledgers, two threads each
    lives = random.Random(KILLS)
    messages = 0
    for kill in range(0, KILLS, 2):
        journals = [tmp_path / f"{kill}-{name}.jsonl" for name in ("first", "second")]
        with (
            process(write_for_ever, postgres, journals[0], kill) as first,
            process(write_for_ever, postgres, journals[1], kill + 1) as second,
        ):
            # When both are killed, one after the other, at any moment
            for writer, journal in zip((first, second), journals, strict=True):
                lines = len(read_lines(journal)) + lives.randrange(LONGEST_JOURNAL)
                while len(read_lines(journal)) < lines:
                    writer.join(timeout=SHORT)
                    assert writer.exitcode is None
                writer.join(timeout=lives.uniform(0, SHORT))
                writer.kill()
                writer.join()
        entries = [entry for journal in journals for entry in read_journal(journal)]
        with remains(postgres) as memory:
            # Then acknowledged writes are there, and all others can be sent again
            messages = check_after_kill(memory, entries, messages)
    # and the positions of the log have no gap
    database = Database(postgres, SCHEMA_VERSIONS)
    log = PostgresAuditLog(database.sessions)
    position = 0
    while page := run_inline(log.read(Position(position), 1000)):
        assert [item.position for item in page] == [
            position + number for number in range(1, len(page) + 1)
        ]
        position += len(page)
    assert position == run_inline(log.last_position()) > 0
    database.close()
