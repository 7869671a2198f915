"""The steps that bring an empty file to the schema of this release. Only ever appended to: a file
remembers how many it has had.
"""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.audit_log.sqlite import create_log
from remembrancer.adapters.projection_state.sqlite import create_projection_state
from remembrancer.adapters.sqlite.database import Migration
from remembrancer.adapters.sqlite.read_models import create_checkpoints

MIGRATIONS: Sequence[Migration] = (create_log, create_checkpoints, create_projection_state)
