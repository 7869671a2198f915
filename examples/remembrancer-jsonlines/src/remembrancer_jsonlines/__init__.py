"""A store for remembrancer that keeps the log in a file of JSON lines: provider ``jsonlines``."""

from remembrancer import Adapter
from remembrancer_jsonlines.log import JsonLinesLog
from remembrancer_jsonlines.store import JsonLinesSettings, open_store

adapter = Adapter(settings=JsonLinesSettings, build=open_store)

__all__ = ["JsonLinesLog", "JsonLinesSettings", "adapter", "open_store"]
