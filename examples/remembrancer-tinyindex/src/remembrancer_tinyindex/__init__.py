"""A vector index for remembrancer in one SQLite file of its own, chosen as ``tinyindex``."""

from remembrancer.wiring.registry import Adapter
from remembrancer_tinyindex.index import TinyIndex
from remembrancer_tinyindex.settings import TinyIndexSettings

adapter = Adapter(settings=TinyIndexSettings, build=TinyIndex)

__all__ = ["TinyIndex", "TinyIndexSettings", "adapter"]
