"""A memory stays with the file that it opened: names, modes, readers, lost and cut files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remembrancer import AdapterUnavailable, IntegrityError, Memory, RemembrancerError
from remembrancer.adapters.key_vault.sqlite import SqliteVaultSettings
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.sqlite.survey import survey
from remembrancer.domain.errors import InvalidRequest
from remembrancer.wiring.settings import load_settings

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and deleted open files of POSIX")
SUFFIXES = ("", "-wal", "-shm")


def memory(path: Path | str, **settings: Any) -> Memory:
    return Memory(settings=load_settings({"audit_log": {"path": str(path), **settings}}))


def texts(of: Memory) -> list[str]:
    return sorted(fact.text for fact in of.get_all(user_id="ann").facts)


def add(to: Memory, text: str) -> None:
    to.add(text, user_id="ann", infer=False)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A cleanly closed memory with one fact."""
    path = tmp_path / "memory.db"
    with Memory(path) as held:
        add(held, "I like tea")
    return path


# Names


def test_leading_tilde_is_the_home_folder_in_every_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with Memory("~/a.db") as held:
        add(held, "I like tea")
    (tmp_path / "settings.toml").write_text('audit_log = { path = "~/b.db" }', encoding="utf-8")
    Memory.from_config("~/settings.toml").close()
    assert names(tmp_path) == ["a.db", "b.db", "settings.toml"]
    assert survey(SqliteSettings(path="~/a.db")).readable is not None
    assert SqliteVaultSettings(path="~/keys.db").path == str(tmp_path / "keys.db")


@pytest.mark.parametrize("path", ["~\0", "~\ud800/a.db"])
def test_impossible_home_folder_is_an_invalid_path(path: str) -> None:
    with pytest.raises(InvalidRequest):
        Database(SqliteSettings(path=path), [])


def test_memory_stays_with_its_file_when_the_process_changes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two folders with a memory of the same relative name
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with Memory(tmp_path / folder / "memory.db") as held:
            add(held, f"This is {folder}")
    monkeypatch.chdir(tmp_path / "a")
    with Memory("memory.db") as held:
        database = held._inner._container.audit_log()._database
        # When the process moves to the other one, and a new connection is needed
        monkeypatch.chdir(tmp_path / "b")
        with database.reader():
            # Then it reads the file that it opened
            assert texts(held) == ["This is a"]


def test_reader_does_not_create_a_deleted_file(file: Path) -> None:
    with Memory(file) as held:
        database = held._inner._container.audit_log()._database
        for suffix in SUFFIXES:
            Path(f"{file}{suffix}").unlink()
        with pytest.raises(AdapterUnavailable), database.reader(), database.reader():
            pass
        assert names(file.parent) == []


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_memory_stays_with_its_file_when_a_link_to_it_is_changed(
    file: Path, tmp_path: Path
) -> None:
    with Memory(tmp_path / "other.db") as held:
        add(held, "This is another")
    link = tmp_path / "link.db"
    link.symlink_to(file)
    with Memory(link) as held:
        database = held._inner._container.audit_log()._database
        link.unlink()
        link.symlink_to(tmp_path / "other.db")
        # When a new connection is needed
        with database.reader():
            assert texts(held) == ["I like tea"]


# Modes


@POSIX
def test_only_the_owner_can_read_new_files(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with Memory(path) as held:
        add(held, "I like tea")
        modes = {suffix: Path(f"{path}{suffix}").stat().st_mode & 0o777 for suffix in SUFFIXES}
    assert modes == dict.fromkeys(SUFFIXES, 0o600)


@POSIX
def test_mode_of_an_existing_file_is_kept(file: Path) -> None:
    file.chmod(0o640)
    with Memory(file) as held:
        assert Path(f"{file}-wal").stat().st_mode & 0o777 == 0o640
        add(held, "I like coffee")
    assert file.stat().st_mode & 0o777 == 0o640


def test_file_system_without_hard_links_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with Memory(tmp_path / "memory.db") as held:
        add(held, "I like tea")
    assert names(tmp_path) == ["memory.db"]


# Lost files


CALLS: dict[str, Callable[[Memory], object]] = {
    "add": lambda held: add(held, "I like coffee"),
    "add with extraction": lambda held: held.add("I like coffee.", user_id="ann"),
    "search": lambda held: held.search("tea", user_id="ann"),
    "get_all": lambda held: held.get_all(user_id="ann"),
}


@POSIX
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_deleted_file_is_an_error_at_the_next_call(
    file: Path, suffix: str, call: Callable[[Memory], object]
) -> None:
    with Memory(file) as held:
        add(held, "I like cake")
        lost, aside = Path(f"{file}{suffix}"), Path(f"{file}.aside")
        # When one of its files is moved away, then calls are refused
        lost.rename(aside)
        with pytest.raises(AdapterUnavailable, match="was deleted or replaced while it was open"):
            call(held)
        # and calls succeed when it is put back
        aside.rename(lost)
        call(held)
        assert held.verify().ok


@POSIX
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_replaced_file_is_an_error_at_the_next_call(
    file: Path, call: Callable[[Memory], object]
) -> None:
    with Memory(file) as held:
        add(held, "I like cake")
        # When another file takes its place, as by a backup that is copied back
        copy = file.with_name("copy.db")
        shutil.copyfile(file, copy)
        copy.replace(file)
        # Then calls are refused, and the other file is not written to
        before = file.read_bytes()
        with pytest.raises(AdapterUnavailable, match="was deleted or replaced while it was open"):
            call(held)
        assert file.read_bytes() == before


@POSIX
def test_commit_into_a_file_deleted_meanwhile_is_not_acknowledged(file: Path) -> None:
    with closing(Memory(file)) as held:
        database = held._inner._container.audit_log()._database
        with pytest.raises(AdapterUnavailable, match="deleted or replaced"):
            database.write(lambda _connection: file.unlink())


# Cut files


@POSIX
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_file_cut_to_nothing_while_open_is_an_error(
    file: Path, call: Callable[[Memory], object]
) -> None:
    with Memory(file) as held:
        os.truncate(file, 0)
        with pytest.raises(IntegrityError, match="was cut to nothing while it was open"):
            call(held)
        # and nobody takes it for a new memory meanwhile
        with pytest.raises(IntegrityError, match="is empty or missing, but"):
            Memory(file)


@POSIX
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("damage", [lambda file: os.truncate(file, 0), os.unlink])
def test_file_cut_or_deleted_beside_its_write_ahead_log_is_not_opened_as_new(
    file: Path, damage: Callable[[Path], None], read_only: bool
) -> None:
    # Given a file that was left by a process which was killed, and then damaged
    left = file.with_name("left.db")
    with Memory(file) as held:
        add(held, "I like cake")
        for suffix in SUFFIXES:
            shutil.copyfile(f"{file}{suffix}", f"{left}{suffix}")
    damage(left)
    before = Path(f"{left}-wal").read_bytes()
    # When it is opened, then it is refused, and the write-ahead log is still there
    with pytest.raises(IntegrityError, match="restore a backup"):
        memory(left, read_only=read_only)
    assert Path(f"{left}-wal").read_bytes() == before


CUT = """
import os, sys
from contextlib import closing
from remembrancer import IntegrityError, Memory
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
with Memory(sys.argv[1]) as held:
    for number in range(30):
        held.add(f"I like {'tea ' * 2000}{number}", user_id="ann", infer=False)
with closing(Database(SqliteSettings(path=sys.argv[1]), SCHEMA_VERSIONS)) as database:
    try:
        with database.reader() as connection:
            rows = connection.execute("SELECT payload FROM event ORDER BY position")
            rows.fetchone()
            os.truncate(sys.argv[1], 8192)
            rows.fetchall()
    except IntegrityError:
        print("typed")
"""


@POSIX
def test_file_cut_in_the_middle_does_not_end_the_process(tmp_path: Path) -> None:
    # Ended with SIGBUS, as the file was mapped into memory
    done = subprocess.run(
        [sys.executable, "-c", CUT, str(tmp_path / "memory.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("typed\n", 0), done.stderr


# Read-only


def test_reader_leaves_no_files_behind(file: Path) -> None:
    with memory(file, read_only=True) as held:
        assert texts(held) == ["I like tea"]
        assert names(file.parent) == [file.name]
    survey(SqliteSettings(path=str(file)))
    assert names(file.parent) == [file.name]


def test_reader_follows_writers_that_come_and_go(file: Path) -> None:
    with memory(file, read_only=True) as reader:
        assert texts(reader) == ["I like tea"]
        for number in range(3):
            with Memory(file) as writer:
                add(writer, f"I like cake {number}")
                assert len(texts(reader)) == number + 2
            assert len(texts(reader)) == number + 2
            assert len(reader.search("cake", user_id="ann")) > 0


def test_read_that_a_writer_overtook_is_refused(file: Path) -> None:
    with closing(
        Database(SqliteSettings(path=str(file), read_only=True), SCHEMA_VERSIONS)
    ) as database:

        def overtaken() -> None:
            with database.reader() as connection:
                connection.execute("SELECT count(*) FROM event").fetchone()
                with Memory(file) as writer:
                    add(writer, "I like coffee")

        with pytest.raises(AdapterUnavailable, match="was written while it was read; try again"):
            overtaken()
        with database.reader() as connection:
            assert connection.execute("SELECT count(*) FROM fact").fetchone() == (2,)


@POSIX
def test_file_replaced_under_a_reader_is_an_error(file: Path) -> None:
    with memory(file, read_only=True) as reader:
        copy = file.with_name("copy.db")
        shutil.copyfile(file, copy)
        copy.replace(file)
        with pytest.raises(AdapterUnavailable, match="was deleted or replaced"):
            texts(reader)


READ = """
import os, sys
from remembrancer import Memory
from remembrancer.wiring.settings import load_settings
settings = load_settings({"audit_log": {"path": sys.argv[1], "read_only": True}})
Memory().close()
if os.geteuid() == 0:
    os.seteuid(65534)
with Memory(settings=settings) as held:
    print(held.search("tea", user_id="ann")[0].fact.text)
"""


@pytest.fixture
def sealed_folder(file: Path) -> Iterator[Path]:
    """The file in a folder that nobody but root can write to; every user can find it."""
    folder = Path(tempfile.mkdtemp())
    try:
        shutil.copyfile(file, folder / file.name)
        (folder / file.name).chmod(0o444)
        folder.chmod(0o555)
        yield folder / file.name
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@POSIX
def test_closed_file_can_be_read_in_a_folder_that_is_not_writable(sealed_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(sealed_folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "I like tea\n", done.stderr


def test_database_without_a_write_ahead_log_can_be_read(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
    with memory(file, read_only=True) as reader:
        assert texts(reader) == ["I like tea"]


def test_errors_are_typed(tmp_path: Path) -> None:
    for settings in ({}, {"read_only": True}):
        with pytest.raises(RemembrancerError, match="can't be opened"):
            memory(tmp_path / "none" / "memory.db", **settings)
