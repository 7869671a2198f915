"""A SQLite key vault stays with the file that it opened: no key is handed out, and none counts as
destroyed, by a file that is gone, another one, or cut.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remembrancer.adapters.key_vault import sqlite
from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault, SqliteVaultSettings
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, InvalidRequest
from remembrancer.domain.scope import LedgerId

ANN, BOB, CAT = LedgerId("user:ann"), LedgerId("user:bob"), LedgerId("user:cat")

CALLS = {
    "key": lambda vault: vault.key(ANN),
    "new key": lambda vault: vault.key(CAT),
    "find": lambda vault: vault.find(ANN),
    "destroy": lambda vault: vault.destroy(ANN),
    "held": lambda vault: vault.held(),
    "ping": lambda vault: vault.ping(),
}

every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def vault(path: Path) -> Iterator[SqliteKeyVault]:
    """An open vault with the keys of Ann and Bob."""
    vault = SqliteKeyVault(SqliteVaultSettings(path=str(path)))
    vault.key(ANN)
    vault.key(BOB)
    yield vault
    vault.close()


@every_call
def test_deleted_vault_is_an_error_until_it_is_put_back(
    vault: SqliteKeyVault, path: Path, call: Callable[[SqliteKeyVault], object]
) -> None:
    aside = path.with_suffix(".aside")
    path.rename(aside)
    with pytest.raises(AdapterUnavailable, match=r"keys\.db was deleted or replaced"):
        call(vault)
    assert not path.exists()

    aside.rename(path)
    assert vault.held() == 2


@every_call
def test_replaced_vault_is_an_error_and_is_not_changed(
    vault: SqliteKeyVault, path: Path, call: Callable[[SqliteKeyVault], object]
) -> None:
    other = path.with_suffix(".other")
    shutil.copy(path, other)
    other.replace(path)
    before = path.read_bytes()

    with pytest.raises(AdapterUnavailable, match="was deleted or replaced"):
        call(vault)

    assert path.read_bytes() == before


@every_call
def test_vault_that_was_cut_to_nothing_is_an_error(
    vault: SqliteKeyVault, path: Path, call: Callable[[SqliteKeyVault], object]
) -> None:
    os.truncate(path, 0)

    with pytest.raises(IntegrityError, match="was cut to nothing"):
        call(vault)

    assert path.stat().st_size == 0


@pytest.mark.parametrize("pages", [1, 2, 3])
@pytest.mark.parametrize("name", ["key", "new key", "find", "destroy", "held"])
def test_vault_that_was_cut_in_the_middle_is_an_error(
    vault: SqliteKeyVault, path: Path, pages: int, name: str
) -> None:
    os.truncate(path, 4096 * pages)

    with pytest.raises(IntegrityError, match="damaged"):
        CALLS[name](vault)


@pytest.mark.skipif(os.name != "posix", reason="file modes need POSIX")
@every_call
def test_vault_that_others_were_let_in_is_refused(
    vault: SqliteKeyVault, path: Path, call: Callable[[SqliteKeyVault], object]
) -> None:
    path.chmod(0o644)

    with pytest.raises(InvalidRequest, match=r"key_vault\.path: .*chmod 600"):
        call(vault)


def test_file_that_is_deleted_during_a_write_takes_no_commit(
    vault: SqliteKeyVault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = sqlite._insert

    def insert_and_lose(*arguments: Any) -> None:
        insert(*arguments)
        path.unlink()

    monkeypatch.setattr(sqlite, "_insert", insert_and_lose)

    with pytest.raises(AdapterUnavailable, match="was deleted or replaced"):
        vault.key(CAT)

    assert not path.exists()


def test_link_is_followed_once(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("first", "second")]
    for home in homes:
        home.mkdir()
    link = tmp_path / "link"
    link.symlink_to(homes[0])
    with closing(SqliteKeyVault(SqliteVaultSettings(path=str(link / "keys.db")))) as vault:
        link.unlink()
        link.symlink_to(homes[1])
        vault.key(ANN)

    assert (homes[0] / "keys.db").exists()
    assert list(homes[1].iterdir()) == []


def test_relative_path_does_not_move_with_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(SqliteKeyVault(SqliteVaultSettings(path="keys.db"))) as vault:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        key = vault.key(ANN)

    with closing(sqlite3.connect(tmp_path / "keys.db")) as connection:
        assert connection.execute("SELECT key FROM ledger_key").fetchall() == [(key,)]
