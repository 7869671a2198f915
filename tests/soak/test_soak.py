"""``sh dev soak`` gives every kind of long test its turns, resumes them, and tells what failed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from tests.soak import __main__ as soak
from tests.soak import progress

STEPS = textwrap.dedent(
    """
    import json, sys, time
    from pathlib import Path
    path, seed, code = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    kept = json.loads(path.read_text()) if path.exists() else {}
    done = kept["done"] if kept.get("seed") == seed else 0
    while done < 3:
        done += 1
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"kind": "fake", "seed": seed, "count": 3, "done": done}))
        new.replace(path)
        if not kept and code == 0:
            time.sleep(30)
    print(f"{done} steps from {kept.get('done', 0)}")
    sys.exit(code)
    """
)
"""A kind of three steps, which waits long after the first one unless it was resumed or fails."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """A runner with one kind, whose exit codes are the items of the list, first to last."""
    codes: list[int] = []

    def start(_kind: str, seed: int, log: Path) -> subprocess.Popen[bytes]:
        log.parent.mkdir(exist_ok=True)
        state, code = progress.state_of("fake"), codes[seed]
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-c", STEPS, str(state), str(seed), str(code)],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    monkeypatch.setattr(progress, "BUILD", tmp_path)
    monkeypatch.setattr(soak, "STATE", tmp_path / "soak.json")
    monkeypatch.setattr(soak, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(soak, "TURN", 0.0)
    monkeypatch.setattr(soak, "GLANCE", 0.01)
    monkeypatch.setattr(soak, "start", start)
    monkeypatch.setattr(soak, "kinds", lambda: ["fake"])
    return codes


def turn(made: soak.Soak) -> soak.Record:
    with Live(console=Console(quiet=True)) as live:
        soak.take_turn(made, "fake", float("inf"), live)
    return made.kinds["fake"]


def test_every_module_with_a_main_is_a_kind() -> None:
    found = soak.kinds()
    assert {"failing_disk", "kills", "power_cuts", "requests"} <= set(found)
    assert not {"foreign", "progress", "test_soak", "__main__"} & set(found)


@pytest.mark.slow
def test_kind_is_interrupted_after_a_step_and_resumed_in_its_next_turn(fake: list[int]) -> None:
    fake.append(0)
    first = turn(soak.Soak.resumed(0))
    assert (first.passed, first.seed, first.last) == (0, 0, "")
    # Another call of the runner goes on.
    made = soak.Soak.resumed(0)
    again = made.kinds["fake"]
    while not again.passed:
        turn(made)
    assert (again.seed, again.failed) == (1, [])
    assert again.last in {"3 steps from 1", "3 steps from 2", "3 steps from 3"}


@pytest.mark.slow
def test_failing_seed_is_told_and_its_output_kept(fake: list[int], tmp_path: Path) -> None:
    fake.append(1)
    made = soak.Soak.resumed(0)
    while not made.failed:
        turn(made)
    assert made.kinds["fake"].failed == [0]
    assert made.kinds["fake"].seed == 1
    assert (tmp_path / "logs" / "fake-0.log").read_text().startswith("3 steps from")
    assert json.loads((tmp_path / "soak.json").read_text())["kinds"]["fake"]["failed"] == [0]


@pytest.mark.slow
def test_kind_that_can_not_run_here_has_no_further_turn(fake: list[int]) -> None:
    fake.append(progress.SKIPPED)
    made = soak.Soak.resumed(0)
    while made.next() is not None:
        turn(made)
    assert made.kinds["fake"].skipped
    assert not made.failed
    assert soak.Soak.resumed(0).next() == "fake"
