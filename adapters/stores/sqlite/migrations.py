"""The steps that bring an empty file to the schema of this release. Only ever appended to: a file
remembers how many it has had.
"""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.stores.sqlite.audit_log import create_log
from remembrancer.adapters.stores.sqlite.database import Migration
from remembrancer.adapters.stores.sqlite.projection_state import create_projection_state
from remembrancer.adapters.stores.sqlite.read_models import create_checkpoints

MIGRATIONS: Sequence[Migration] = (create_log, create_checkpoints, create_projection_state)
