"""The SQLite key vault: file permissions, key destruction and the master key."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault, SqliteVaultSettings
from remembrancer.domain.errors import AdapterUnavailable, Erased, IntegrityError, InvalidRequest
from remembrancer.domain.scope import LedgerId
from tests.helpers.fallback import opened_for_reading_alone

pytestmark = pytest.mark.slow

ANN = LedgerId("user:ann")
MASTER_KEY = "0f" * 32
OTHER_KEY = "f0" * 32

Open = Callable[..., SqliteKeyVault]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault" / "keys.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Opens a vault at the path."""
    path.parent.mkdir()
    vaults: list[SqliteKeyVault] = []

    def open_one(master_key: str = "") -> SqliteKeyVault:
        settings = SqliteVaultSettings(path=str(path), master_key=master_key)
        vaults.append(SqliteKeyVault(settings))
        return vaults[-1]

    yield open_one
    for vault in vaults:
        vault.close()


def written(path: Path) -> bytes:
    """The bytes of all files in the folder, journals included."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


def stored(path: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT ledger, key FROM ledger_key").fetchall())


# The file


def test_vault_file_is_not_created_before_the_first_key(opened: Open, path: Path) -> None:
    vault = opened()
    assert (vault.find(ANN), vault.held()) == (None, 0)
    assert "not there yet" in vault.ping()
    assert list(path.parent.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="file modes need POSIX")
def test_vault_file_has_owner_only_permissions_with_any_umask(opened: Open, path: Path) -> None:
    before = os.umask(0)
    try:
        opened().key(ANN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["keys.db"]


@pytest.mark.skipif(os.name != "posix", reason="file modes need POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_vault_file_readable_by_others_is_refused(opened: Open, path: Path, mode: int) -> None:
    opened().key(ANN)
    path.chmod(mode)
    for ask in (opened().key, opened().find):
        with pytest.raises(InvalidRequest, match=r"key_vault\.path: .*chmod 600"):
            ask(ANN)


def test_database_of_another_program_is_refused(opened: Open, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(InvalidRequest, match=r"key_vault\.path: .*not a key vault"):
        opened().key(ANN)
    assert path.read_bytes() == before


def test_file_that_is_not_a_database_is_refused(opened: Open, path: Path) -> None:
    path.write_bytes(b"something else entirely" * 100)
    path.chmod(0o600)
    with pytest.raises(InvalidRequest, match=r"key_vault\.path: .*not a SQLite database"):
        opened().key(ANN)


def test_vault_of_a_newer_release_is_refused(opened: Open, path: Path) -> None:
    opened().key(ANN)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(InvalidRequest, match="upgrade remembrancer"):
        opened().find(ANN)


def test_keys_are_made_after_the_file_could_not_be_opened_for_writing(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().key(ANN)
    vault = opened()
    with opened_for_reading_alone(monkeypatch):
        assert vault.held() == 1
    with pytest.raises(AdapterUnavailable, match="read-only"):
        vault.key(LedgerId("user:ben"))
    vault.key(LedgerId("user:ben"))
    assert vault.held() == 2


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    vault = SqliteKeyVault(SqliteVaultSettings(path=str(tmp_path / "none" / "keys.db")))
    with pytest.raises(AdapterUnavailable, match="check that its folder exists"):
        vault.key(ANN)


def test_closed_vault_raises_adapter_unavailable(opened: Open) -> None:
    vault = opened()
    vault.key(ANN)
    vault.close()
    with pytest.raises(AdapterUnavailable, match="has been closed"):
        vault.key(ANN)


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b"])
def test_invalid_file_name_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="name of a file"):
        SqliteVaultSettings(path=path)


# Destroying keys


@pytest.mark.parametrize("master_key", ["", MASTER_KEY])
def test_destroyed_key_leaves_no_bytes_in_the_folder(
    opened: Open, path: Path, master_key: str
) -> None:
    # Given a file with split pages, with ledger names in random order
    random = Random(7)
    vault = opened(master_key)
    names = [LedgerId(f"user:{random.random()}{'x' * random.randrange(90)}") for _ in range(300)]
    keys = {name: vault.key(name) for name in names}
    rows = stored(path)
    before = written(path)
    assert all(row in before for row in rows.values())
    # When every second key is destroyed, in another random order
    random.shuffle(names)
    gone, kept = names[::2], names[1::2]
    for name in gone:
        vault.destroy(name)
    # Then neither their plain nor their stored form is in the folder; the other keys are found
    after = written(path)
    for name in gone:
        assert keys[name] not in after
        assert rows[name] not in after
    assert {name: vault.find(name) for name in kept} == {name: keys[name] for name in kept}
    assert [each.name for each in path.parent.iterdir()] == ["keys.db"]


def test_rolled_back_destruction_keeps_the_key(opened: Open, path: Path) -> None:
    # Given another connection that keeps the file locked for longer than the timeout
    vault = opened()
    key = vault.key(ANN)
    assert vault._connection is not None
    vault._connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # When the key is destroyed
        with pytest.raises(AdapterUnavailable, match="try again"):
            vault.destroy(ANN)
        other.execute("ROLLBACK")
    # Then the key is still there, and can be destroyed afterwards
    assert vault.find(ANN) == key
    vault.destroy(ANN)
    with pytest.raises(Erased):
        vault.find(ANN)


ASK = """
import sys
from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault, SqliteVaultSettings
vault = SqliteKeyVault(SqliteVaultSettings(path=sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(" ".join(vault.key(f"user:{number}").hex() for number in range(8)))
"""


def test_processes_that_create_the_same_vault_at_once_get_the_same_keys(
    opened: Open, path: Path
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = [process.communicate(timeout=60)[0].split() for process in processes]
    vault = opened()
    assert keys == [[vault.key(LedgerId(f"user:{n}")).hex() for n in range(8)]] * 4


# The master key


def test_master_key_keeps_plain_keys_out_of_the_file(opened: Open, path: Path) -> None:
    key = opened(MASTER_KEY).key(ANN)
    assert key not in written(path)
    assert bytes.fromhex(MASTER_KEY) not in written(path)
    assert opened(MASTER_KEY).find(ANN) == key


@pytest.mark.parametrize(
    ("made_with", "opened_with", "problem"),
    [
        (MASTER_KEY, OTHER_KEY, "is not the one"),
        (MASTER_KEY, "", "is missing"),
        ("", MASTER_KEY, "created without one"),
    ],
)
def test_vault_is_refused_with_another_master_key(
    opened: Open, path: Path, made_with: str, opened_with: str, problem: str
) -> None:
    opened(made_with).key(ANN)
    before = written(path)
    for ask in (SqliteKeyVault.key, SqliteKeyVault.find, SqliteKeyVault.destroy):
        with pytest.raises(InvalidRequest, match=rf"key_vault\.master_key: .*{problem}"):
            ask(opened(opened_with), ANN)
    assert written(path) == before


@pytest.mark.parametrize("master_key", ["hunter2", "0f" * 31, "0f" * 33, "zz" * 32])
def test_invalid_master_key_is_refused_and_not_shown(opened: Open, master_key: str) -> None:
    with pytest.raises(InvalidRequest, match=r"key_vault\.master_key: expected 64 hex") as refusal:
        opened(master_key)
    assert master_key not in str(refusal.value)


def test_stored_key_moved_to_another_ledger_is_refused(opened: Open, path: Path) -> None:
    vault = opened(MASTER_KEY)
    vault.key(ANN)
    vault.key(LedgerId("user:bob"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE ledger_key SET key = (SELECT key FROM ledger_key WHERE ledger = 'user:bob') "
            "WHERE ledger = 'user:ann'"
        )
    with pytest.raises(IntegrityError, match="user:ann was changed"):
        vault.key(ANN)
