"""Preloaded by the fork server: the modules, lists and caches that a memory needs are in every
process from its start, so that a test of a hundred kills does not load them a hundred times.
"""

from __future__ import annotations

import numpy.ma  # noqa: F401 - the index imports it on its first search

import remembrancer.adapters.stores.postgres.store  # noqa: F401
from remembrancer import Memory

with Memory(":memory:") as memory:
    memory.add("I live in Oslo.", user_id="ada")
    memory.search("Where do I live?", user_id="ada")
