"""A ledger for remembrancer in a file of JSON lines, chosen as ``jsonlines``."""

from remembrancer.wiring.registry import Adapter
from remembrancer_jsonlines.home import JsonLinesSettings, open_home
from remembrancer_jsonlines.log import JsonLinesLog

adapter = Adapter(settings=JsonLinesSettings, build=open_home)

__all__ = ["JsonLinesLog", "JsonLinesSettings", "adapter", "open_home"]
