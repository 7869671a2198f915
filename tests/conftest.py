"""Settings for all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite(
    "memledger.testing.audit_log",
    "memledger.testing.embedder",
    "memledger.testing.fact_store",
    "memledger.testing.language_model",
    "memledger.testing.projection_state",
    "memledger.testing.reranker",
    "memledger.testing.vector_index",
)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
