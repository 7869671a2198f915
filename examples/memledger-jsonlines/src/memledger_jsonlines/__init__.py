"""A ledger for memledger in a file of JSON lines, chosen as ``jsonlines``."""

from memledger.registry import Adapter
from memledger_jsonlines.home import JsonLinesSettings, open_home
from memledger_jsonlines.log import JsonLinesLog

adapter = Adapter(settings=JsonLinesSettings, build=open_home)

__all__ = ["JsonLinesLog", "JsonLinesSettings", "adapter", "open_home"]
