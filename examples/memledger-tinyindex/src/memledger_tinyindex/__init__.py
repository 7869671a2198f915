"""A vector index for memledger in one SQLite file of its own, chosen as ``tinyindex``."""

from memledger.registry import Adapter
from memledger_tinyindex.index import TinyIndex
from memledger_tinyindex.settings import TinyIndexSettings

adapter = Adapter(settings=TinyIndexSettings, build=TinyIndex)

__all__ = ["TinyIndex", "TinyIndexSettings", "adapter"]
