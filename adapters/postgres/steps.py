"""The steps that bring an empty schema to that of this release. Only ever appended to: a schema
remembers how many it has had.
"""

from __future__ import annotations

from collections.abc import Sequence

from memledger.adapters.audit_log.postgres import create_log
from memledger.adapters.postgres.filters import create_casefold
from memledger.adapters.postgres.migrations import Migration
from memledger.adapters.postgres.read_models import create_checkpoints
from memledger.adapters.projection_state.postgres import create_projection_state

STEPS: Sequence[Migration] = (
    create_log,
    create_casefold,
    create_checkpoints,
    create_projection_state,
)
