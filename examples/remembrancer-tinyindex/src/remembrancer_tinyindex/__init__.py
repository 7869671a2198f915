"""A vector index for remembrancer in its own SQLite file: provider ``tinyindex``."""

from remembrancer import Adapter
from remembrancer_tinyindex.index import TinyIndex
from remembrancer_tinyindex.settings import TinyIndexSettings

adapter = Adapter(settings=TinyIndexSettings, build=TinyIndex)

__all__ = ["TinyIndex", "TinyIndexSettings", "adapter"]
