"""What the command line says of errors that no step foresaw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = """
from digits.cli import app, main

@app.command
def write(path: str) -> None:
    with open(path, "wb", buffering=0) as stream:
        stream.write(b"x")

main()
"""


def _write(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "write", str(path)], capture_output=True, text=True, check=False
    )


def test_a_full_disk_is_one_line() -> None:
    """What the system refuses is told in one line, with a guess at the reason."""
    done = _write(Path("/dev/full"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is the disk full, or the folder not writable?" in done.stderr


def test_another_error_of_the_system_keeps_its_traceback(tmp_path: Path) -> None:
    """An `OSError` that is a bug is not hidden behind a guess."""
    done = _write(tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "IsADirectoryError" in done.stderr
    assert "disk full" not in done.stderr
