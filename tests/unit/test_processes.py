"""Names of processes: who is known to have ended."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from digits.processes import has_died, name_of, process_of, this_process


def test_a_process_lives_until_it_has_ended() -> None:
    """The current one lives; one that was waited for has died; it is found by its name while it lives."""
    assert not has_died(this_process())
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = name_of(process.pid)
    assert process_of(name) == psutil.Process(process.pid)
    process.communicate()
    assert has_died(name)
    assert process_of(name) is None


def test_a_clock_that_was_set_kills_nobody() -> None:
    """The moment of a start may move by some seconds; another process of the same number began at another time."""
    host, number, started = this_process().split("/")
    assert not has_died(f"{host}/{number}/{float(started) + 2:.2f}")
    assert has_died(f"{host}/{number}/{float(started) - 60:.2f}")


@pytest.mark.parametrize("name", ["", "elsewhere.example.org/1/0.00", "nonsense", "a/b/c"])
def test_of_others_nothing_is_known(name: str) -> None:
    """A process on another host, and what is no name, is not known to have ended."""
    assert not has_died(name)
    assert process_of(name) is None
