"""The steps that bring an empty file to the schema of this release, in order. A file stores how
many of them it has had, so steps are only ever appended.
"""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.stores.sqlite.audit_log import create_log
from remembrancer.adapters.stores.sqlite.migrations import Migration
from remembrancer.adapters.stores.sqlite.projection_state import create_projection_state
from remembrancer.adapters.stores.sqlite.read_models import create_checkpoints

SCHEMA_VERSIONS: Sequence[Migration] = (create_log, create_checkpoints, create_projection_state)
