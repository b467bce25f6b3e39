"""Processes that are kept alive, and all of them ended in the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from digits.servers import MARK
from flows.servers.supervision import Supervisor

#: A process with a child of its own that ignores whatever can be ignored.
STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "time.sleep(600)"
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """Return a supervisor in a folder whose name has a blank and a percent sign."""
    supervisor = Supervisor(tmp_path / "50 % off")
    yield supervisor
    supervisor.stop(None)


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_dies_is_started_again_and_what_it_left_is_ended(
    supervisor: Supervisor, root: Path, tmp_path: Path
) -> None:
    """A killed process is there again, without the children of its last life; a killed supervisor leaves nothing."""
    program = tmp_path / "100 % stubborn.py"
    program.write_text(STUBBORN, encoding="utf-8")
    command = [sys.executable, str(program)]
    with supervisor.start({"stubborn": command}, directory=root, environment={"MARK": "here"}) as manager:
        assert supervisor.processes() == {}, "it begins when the block has ended"
    _until(lambda: bool(_children(supervisor)))
    first, (child,) = supervisor.processes()["stubborn"], _children(supervisor)
    assert first.environ()["MARK"] == "here"
    first.kill()
    _until(lambda: "stubborn" in supervisor.processes() and supervisor.processes()["stubborn"] != first)
    _until(lambda: not child.is_running())
    manager.kill()
    manager.wait()
    assert supervisor.processes(), "what a killed supervisor leaves is found"
    supervisor.stop(None)
    assert supervisor.processes() == {}
    assert supervisor.find("MARK") == []


def test_a_supervisor_that_nobody_was_told_of_ends(supervisor: Supervisor, root: Path) -> None:
    """Whoever starts one may be killed before it is known anywhere: then nothing was started."""
    code = (
        "import sys, time; from pathlib import Path; from flows.servers.supervision import Supervisor\n"
        "with Supervisor(Path(sys.argv[1])).start({}, directory=Path(), environment={}): time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(supervisor.folder)], cwd=root)
    _until(lambda: bool(supervisor.find(MARK)))
    starter.kill()
    starter.wait()
    _until(lambda: supervisor.find(MARK) == [])
    assert not (supervisor.logs / "supervisor.log").exists()


def test_a_process_that_becomes_another_program_is_found(supervisor: Supervisor, root: Path, tmp_path: Path) -> None:
    """For a moment it has no environment, by which it is known; whoever looks then finds it all the same."""
    program = tmp_path / "again"
    program.write_text('#!/bin/sh\nexec "$0"\n', encoding="utf-8")
    program.chmod(0o755)
    with supervisor.start({"again": [str(program)]}, directory=root, environment={}):
        pass
    _until(lambda: "again" in supervisor.processes())
    assert all("again" in supervisor.processes() for _ in range(100))


def _children(supervisor: Supervisor) -> list[psutil.Process]:
    return [child for process in supervisor.processes().values() for child in process.children()]
