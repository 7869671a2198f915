"""What is done while an append holds the lock that other writers wait for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.adapters.stores.postgres.read_models import PostgresReadModels
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.sqlite.read_models import SqliteReadModels
from remembrancer.adapters.stores.sqlite.writer import MAX_GROUP, _group, _Job
from remembrancer.domain.recall import analysis
from remembrancer.wiring.settings import load_settings

BOB: dict[str, Any] = {"user_id": "bob"}
HAN = "".join(map(chr, range(0x4E00, 0x5800)))
CHINESE = "".join(f"{HAN[at : at + 20]}。" for at in range(0, len(HAN), 20))
LATIN = " ".join(f"The parcel number {number} came on a Monday." for number in range(200))
UNPREPARED = 200
"""Characters: speakers, days and slots are not prepared."""


class Watched:
    """Counts the characters that are analysed while an append is applied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.characters = 0
        self._applying = False
        for name in ("_terms", "_cached_terms"):
            monkeypatch.setattr(analysis, name, self._counted(getattr(analysis, name)))
        sync, waiting = SqliteReadModels.apply, PostgresReadModels.apply

        def apply(*arguments: Any) -> None:
            self._applying = True
            try:
                sync(*arguments)
            finally:
                self._applying = False

        async def apply_async(*arguments: Any) -> None:
            self._applying = True
            try:
                await waiting(*arguments)
            finally:
                self._applying = False

        monkeypatch.setattr(SqliteReadModels, "apply", apply)
        monkeypatch.setattr(PostgresReadModels, "apply", apply_async)

    def _counted(self, analyse: Callable[[str], Any]) -> Callable[[str], Any]:
        def call(chunk: str) -> Any:
            if self._applying:
                self.characters += len(chunk)
            return analyse(chunk)

        return call


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


@pytest.mark.parametrize("infer", [True, False])
@pytest.mark.parametrize("text", [CHINESE, LATIN], ids=["Chinese", "Latin"])
def test_texts_are_analysed_before_the_lock_is_taken(
    tmp_path: Path, watched: Watched, text: str, *, infer: bool
) -> None:
    with Memory(tmp_path / "a.db") as memory:
        memory.add(text, infer=infer, **BOB)
        assert watched.characters < UNPREPARED
        assert len(memory.search(text[:20], **BOB)) > 0


@pytest.mark.parametrize("infer", [True, False])
def test_texts_are_analysed_before_postgresql_locks_the_ledger(
    postgres: PostgresSettings, watched: Watched, *, infer: bool
) -> None:
    config = {"audit_log": {"provider": "postgres", "dsn": postgres.dsn, "schema": postgres.schema}}
    with Memory(settings=load_settings(config, environment={})) as memory:
        memory.add(CHINESE, infer=infer, **BOB)
        assert watched.characters < UNPREPARED
        assert len(memory.search(CHINESE[:20], **BOB)) > 0


def test_facts_of_a_document_are_not_written_again_when_more_is_said(tmp_path: Path) -> None:
    with Memory(tmp_path / "a.db") as memory, sqlite3.connect(tmp_path / "a.db") as file:
        memory.add(LATIN, **BOB)
        (written,) = file.execute("SELECT revision FROM index_ledger").fetchone()
        memory.add("Hello!", **BOB)
        touched = file.execute(
            "SELECT count(*) FROM index_document WHERE touched > ?", (written,)
        ).fetchone()
        assert touched == (0,)


@pytest.mark.parametrize("text", [CHINESE, LATIN], ids=["Chinese", "Latin"])
def test_terms_in_the_index_grow_with_the_text_and_not_with_its_square(
    tmp_path: Path, text: str
) -> None:
    def terms(length: int) -> int:
        path = tmp_path / f"{length}.db"
        with Memory(path) as memory, sqlite3.connect(path) as file:
            memory.add(text[:length], **BOB)
            (size,) = file.execute(
                "SELECT sum(length(text_terms) + length(context_terms)) FROM index_document"
            ).fetchone()
        return int(size)

    assert terms(len(text)) < 3 * terms(len(text) // 2)


def test_writes_of_a_group_are_bounded_by_their_events() -> None:
    sizes = (1, MAX_GROUP - 1, 1, 10 * MAX_GROUP)
    queue = [_Job(lambda connection: None, units) for units in sizes]
    groups = []
    while queue:
        groups.append([job.units for job in _group(queue)])
        queue = queue[len(groups[-1]) :]
    assert groups == [[1, MAX_GROUP - 1], [1], [10 * MAX_GROUP]]
