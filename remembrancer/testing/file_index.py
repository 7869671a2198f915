"""A persistent external index for tests: the SQLite index in its own file.

Choose it in settings with ``{"provider": "remembrancer.testing.file_index:adapter", "path": …}``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from remembrancer import Adapter
from remembrancer.adapters.stores.sqlite.database import Database, Durability, SqliteSettings
from remembrancer.adapters.stores.sqlite.vector_index import SqliteVectorIndex
from remembrancer.domain.ports.vector_index import Document


class FileIndex(SqliteVectorIndex):
    """An index in its own file. ``before`` is called before and after each ``put``."""

    def __init__(
        self, path: Path, dimension: int, before: Callable[[], None] = lambda: None
    ) -> None:
        self._database = Database(
            SqliteSettings(path=str(path), durability=Durability.NORMAL),
            [super().create],
        )
        self._before = before
        super().__init__(self._database, model="file", dimension=dimension)

    def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        self._before()
        super().put(documents)
        self._before()

    def clear(self, connection: Any = None) -> None:
        """See ``ExternalIndex.clear``."""
        with self._database.transaction() as own:
            super().clear(own)

    def ping(self) -> str:
        """See ``ExternalIndex.ping``."""
        return "sqlite"

    def close(self) -> None:
        """See ``ExternalIndex.close``."""
        self._database.close()


@frozen(kw_only=True)
class FileSettings:
    """The path of the index file."""

    path: str


adapter = Adapter(
    settings=FileSettings,
    build=lambda settings, _model, dimension: FileIndex(Path(settings.path), dimension),
)
