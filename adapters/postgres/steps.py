"""The steps that bring an empty schema to that of this release. Only ever appended to: a schema
remembers how many it has had.
"""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.audit_log.postgres import create_log
from remembrancer.adapters.postgres.filters import create_casefold
from remembrancer.adapters.postgres.migrations import Migration
from remembrancer.adapters.postgres.read_models import create_checkpoints
from remembrancer.adapters.projection_state.postgres import create_projection_state

STEPS: Sequence[Migration] = (
    create_log,
    create_casefold,
    create_checkpoints,
    create_projection_state,
)
