"""Names of processes: who is known to have ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from digits.processes import has_died, this_process


def test_a_process_lives_until_it_has_ended() -> None:
    """The current one lives; another one lives until it was waited for."""
    assert not has_died(this_process())
    code = "from digits.processes import this_process as name; print(name(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert not has_died(name)
        process.communicate()
    assert has_died(name)


def test_a_clock_that_was_set_kills_nobody() -> None:
    """The moment of a start may move by some seconds; another process of the same number began at another time."""
    host, number, started = this_process().split("/")
    assert not has_died(f"{host}/{number}/{float(started) + 2:.2f}")
    assert has_died(f"{host}/{number}/{float(started) - 60:.2f}")


@pytest.mark.parametrize("name", ["", "elsewhere.example.org/1/0.00", "nonsense", "a/b/c"])
def test_of_others_nothing_is_known(name: str) -> None:
    """A process on another host, and what is no name, is not known to have ended."""
    assert not has_died(name)
