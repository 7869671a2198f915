"""Plugins of sqlite-utils, which any installed package may contain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import hookimpl
from sqlite_utils.plugins import pm

from remembrancer import Memory
from remembrancer.adapters.stores.sqlite.schema_sql import statements_of


class Meddling:
    """A plugin that writes to every database that it is handed."""

    def __init__(self) -> None:
        self.met: list[sqlite3.Connection] = []

    @hookimpl
    def prepare_connection(self, conn: sqlite3.Connection) -> None:
        self.met.append(conn)


@pytest.fixture
def plugin() -> Iterator[Meddling]:
    statements_of.cache_clear()
    plugin = Meddling()
    pm.register(plugin)
    yield plugin
    pm.unregister(plugin)


def test_plugin_gets_no_connection(tmp_path: Path, plugin: Meddling) -> None:
    # When a file is created, filled, and its read models are rebuilt
    with Memory(tmp_path / "a.db") as memory:
        memory.add("I like tea.", user_id="bob")
    with sqlite3.connect(tmp_path / "a.db") as file:
        file.execute("DELETE FROM projection")
    file.close()
    with Memory(tmp_path / "a.db") as memory:
        assert len(memory.get_all(user_id="bob")) == 1
    # Then the plugin was not called
    assert plugin.met == []
