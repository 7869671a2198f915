"""The steps that bring an empty schema to that of this release. Only ever appended to: a schema
remembers how many it has had.
"""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.adapters.stores.postgres.audit_log import create_log
from remembrancer.adapters.stores.postgres.filters import create_casefold
from remembrancer.adapters.stores.postgres.migrations import Migration
from remembrancer.adapters.stores.postgres.projection_state import create_projection_state
from remembrancer.adapters.stores.postgres.read_models import create_checkpoints

SCHEMA_VERSIONS: Sequence[Migration] = (
    create_log,
    create_casefold,
    create_checkpoints,
    create_projection_state,
)
