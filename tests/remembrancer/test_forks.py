"""Forked processes: nothing hangs, nothing of the parent or of other processes is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.testing.depth import scaled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork"),
]

COMMON = """
import asyncio, gc, os, sys, threading
from remembrancer import AsyncMemory, Memory, WrongContext


def refused(call):
    try:
        call()
    except WrongContext as error:
        assert "open a memory in each process, after the fork" in str(error), error
        return True
    return False


def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            # Not os._exit: the interpreter must clean up as it does in programs.
            sys.stderr.flush()
            sys.exit(code)
    return child


def all_well(children):
    for child in children:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
"""

WRITING = (
    COMMON
    + """
settings = sys.argv[1]
memory = Memory.from_config(settings)
begun, done = threading.Event(), threading.Event()
acknowledged = []


def write():
    while not done.is_set():
        memory.add(f"note {len(acknowledged)}", user_id="ann", infer=False)
        acknowledged.append(1)
        begun.set()


thread = threading.Thread(target=write)
thread.start()
begun.wait()


def use():
    store = memory._inner._container.audit_log()
    assert refused(lambda: memory.add("I like tea.", user_id="ann"))
    assert refused(lambda: memory.search("tea", user_id="ann"))
    assert refused(lambda: memory.add("I like tea.", user_id="ann", wait=False))
    # The store itself, whose locks other threads may have held
    assert refused(lambda: memory._inner._lifecycle.container.store().close() or store_used())
    memory.close()


def store_used():
    from remembrancer.application.inline import run_inline

    async def read():
        found = memory._inner._container.audit_log().last_position()
        return await found if hasattr(found, "__await__") else found

    run_inline(read())


def forget():
    globals().pop("memory")
    gc.collect()


def leave():
    memory.close()


children = [in_child(work) for work in (use, forget, leave) * int(sys.argv[2])]
all_well(children)
done.set()
thread.join()
memory.add("the end", user_id="ann", infer=False)
assert memory.verify().ok
counted = len(acknowledged) + 1
memory.close()
with Memory.from_config(settings) as memory:
    assert memory.verify().ok
    assert memory.stats(user_id="ann").messages == counted
"""
)

SAME_FILE = (
    COMMON
    + """
memory = Memory(sys.argv[1])
memory.add("I like tea.", user_id="ann")


def open_again():
    assert refused(lambda: Memory(sys.argv[1]))
    with Memory(sys.argv[1] + ".other") as other:
        other.add("I like tea.", user_id="ann")


all_well([in_child(open_again)])
memory.close()


def open_after_close():
    with Memory(sys.argv[1]) as own:
        own.add("I like coffee.", user_id="bob")


all_well([in_child(open_after_close) for _ in range(2)])
with Memory(sys.argv[1]) as memory:
    assert memory.verify().ok
    assert memory.search("coffee", user_id="bob")
"""
)

ASYNC = (
    COMMON
    + """
memory = asyncio.run(AsyncMemory.open(sys.argv[1]))


def use():
    assert refused(lambda: asyncio.run(memory.search("tea", user_id="ann")))
    asyncio.run(memory.close())


all_well([in_child(use)])
asyncio.run(memory.close())
"""
)

THIRD = (
    COMMON
    + """
# A process that inherited connections ends while another process alone has the file open.
import subprocess
memory = Memory(sys.argv[1])
other = subprocess.Popen(
    [sys.executable, "-c", OTHER, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
assert other.stdout.readline() == b"open\\n"
ready, go = os.pipe(), os.pipe()


def wait():
    os.read(go[0], 1)
    memory.close()


child = in_child(wait)
memory.close()
other.stdin.write(b"add\\n")
other.stdin.flush()
assert other.stdout.readline() == b"added\\n"
os.write(go[1], b"x")
all_well([child])
other.stdin.write(b"add\\n")
other.stdin.flush()
assert other.stdout.readline() == b"added\\n"
other.communicate()
with Memory(sys.argv[1]) as memory:
    assert memory.verify().ok
    assert memory.stats(user_id="ann").messages == 2
"""
)

OTHER = """
import sys
from remembrancer import Memory
with Memory(sys.argv[1]) as memory:
    print("open", flush=True)
    for number, _ in enumerate(sys.stdin):
        memory.add(f"note {number}", user_id="ann", infer=False)
        print("added", flush=True)
"""


def run(script: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def test_children_use_and_leave_a_memory_that_the_parent_writes_to(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[audit_log]\npath = "{tmp_path / "a.db"}"\n')
    run(WRITING, str(settings), str(scaled(1)))


def test_children_leave_a_memory_on_postgres_alone(
    tmp_path: Path, postgres: PostgresSettings
) -> None:
    settings = tmp_path / "settings.toml"
    where = f'dsn = "{postgres.dsn}"\nschema = "{postgres.schema}"\n'
    settings.write_text(f'[audit_log]\nprovider = "postgres"\n{where}')
    run(WRITING, str(settings), str(scaled(1)))


def test_child_can_not_open_a_file_that_it_inherited(tmp_path: Path) -> None:
    # Its writes were lost when the parent closed
    run(SAME_FILE, str(tmp_path / "a.db"))


def test_async_memory_is_refused_in_a_child(tmp_path: Path) -> None:
    run(ASYNC, str(tmp_path / "a.db"))


def test_end_of_a_child_does_not_delete_the_log_of_another_process(tmp_path: Path) -> None:
    run(f"OTHER = {OTHER!r}\n{THIRD}", str(tmp_path / "a.db"))
