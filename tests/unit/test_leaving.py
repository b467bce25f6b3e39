"""A command that is asked to end from outside, as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time
from digits.cli.leaving import leave_as_ctrl_c_does
{before}
leave_as_ctrl_c_does()
handlers = {{number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}}
try:
    print("ready", flush=True)
    time.sleep({seconds})
finally:
    for number, handler in handlers.items():
        signal.signal(number, handler)  # as Prefect puts back what it found
    print("cleaning", flush=True)
    time.sleep(0.5)
    print("clean", flush=True)
"""


def _told(number: int, *, before: str = "", seconds: float = 60, again: bool = True) -> tuple[int, str]:
    """Send a signal to a command that works, and to its clean-up; return its exit code and what it has said."""
    program = PROGRAM.format(before=before, seconds=seconds)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(number)
        if again:
            said += process.stdout.readline()
            process.send_signal(number)
        return process.wait(60), (said + process.stdout.read()).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_cleans_up_however_often_it_is_asked(number: int) -> None:
    """A terminal that is closed may tell it twice: by the shell and by the system."""
    code, said = _told(number)
    assert said.split() == ["ready", "cleaning", "clean"]
    assert code == -signal.SIGINT


def test_under_nohup_it_stays() -> None:
    """Whoever has said that the terminal may be closed is not asked again."""
    code, said = _told(signal.SIGHUP, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)", seconds=1, again=False)
    assert (code, said.split()) == (0, ["ready", "cleaning", "clean"])
