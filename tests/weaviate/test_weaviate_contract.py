"""The index on Weaviate keeps the contract, however its ledgers are spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from making import MakeIndex

from memledger.adapters.vector_index.weaviate import IndexKind, Tenancy
from memledger.testing.vector_index import VectorIndexContract


class OnWeaviate(VectorIndexContract):
    layout: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _index(self, tmp_path: Path, make_index: MakeIndex) -> None:
        self.index = make_index(**self.layout)


class TestWeaviateInBuckets(OnWeaviate):
    pass


class TestWeaviateWithATenantPerLedger(OnWeaviate):
    layout: ClassVar[dict[str, Any]] = {"tenancy": Tenancy.LEDGER, "index": IndexKind.FLAT}


class TestWeaviateWithoutTenants(OnWeaviate):
    layout: ClassVar[dict[str, Any]] = {"tenancy": Tenancy.NONE, "batch": 3}
