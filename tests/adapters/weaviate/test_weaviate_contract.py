"""Contract tests of the Weaviate index, for each tenancy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from remembrancer.adapters.vector_index.weaviate import IndexKind, Tenancy, WeaviateSettings
from remembrancer.testing.external_index import ExternalIndexContract
from tests.adapters.weaviate.making import MakeIndex


class OnWeaviate(ExternalIndexContract):
    layout: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _index(self, settings: WeaviateSettings, make_index: MakeIndex) -> None:
        self.neighbours = f"{settings.collection}Neighbour"
        self.make = make_index
        self.index = make_index(**self.layout)

    def make_worker(self, tmp_path: Path) -> Any:
        return self.make(**self.layout)

    def make_neighbour(self, tmp_path: Path) -> Any:
        return self.make(**self.layout, collection=self.neighbours)


class TestWeaviateInBuckets(OnWeaviate):
    pass


class TestWeaviateWithATenantPerLedger(OnWeaviate):
    layout: ClassVar[dict[str, Any]] = {"tenancy": Tenancy.LEDGER, "index": IndexKind.FLAT}


class TestWeaviateWithoutTenants(OnWeaviate):
    layout: ClassVar[dict[str, Any]] = {"tenancy": Tenancy.NONE, "batch": 3}
