"""What the command line says of errors that no step foresaw, and of what was typed wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from digits.cli import app, candidates, main
from digits.errors import ParamsError

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


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ui --port 99999999", "Must be <= 65535. See `digits ui --help`."),
        ("fit digits", "--family requires an argument. See `digits fit --help`."),
        ("fitt", "See `digits --help`."),
        ("gc --newest few", 'unable to convert "few" into int. See `digits gc --help`.'),
    ],
)
def test_what_cannot_be_understood_is_one_line(
    typed: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command line with a fault is answered with the fault and where to look, and exit code 1."""
    monkeypatch.setattr(sys, "argv", ["digits", *typed.split()])
    with pytest.raises(SystemExit, match="1"):
        main()
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith("digits: ")
    assert said in printed.err


def test_the_help_of_every_command_has_examples_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page says what its command is for, in more words than the list of all, and how it is called."""
    monkeypatch.setenv("COLUMNS", "200")  # no line is broken
    commands = [[name] for name in app if not name.startswith("-")]
    groups = [command for command in commands if app[command[0]].default_command is None]
    commands += [[*group, name] for group in groups for name in app[group[0]] if not name.startswith("-")]
    assert {("run",), ("registry", "promote"), ("bench", "scale")} <= {tuple(command) for command in commands}
    for command in commands:
        app([*command, "--help"], result_action="return_value")
        page = capsys.readouterr().out
        if command not in groups:
            assert page.count(f" digits {' '.join(command)}") >= 2, command  # in its usage, too
            assert "Examples:" in page, command
    app(["run", "--help"], result_action="return_value")
    assert "What has not changed since the last run is reused." in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [lambda name: candidates.fit(name, "svm"), candidates.evaluate, candidates.register]
)
def test_a_misspelt_dataset_leaves_nothing_in_mlflow(
    command: Callable[[str], Any], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The params are read before the experiment is opened, which would make it."""
    shutil.copy(root / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match="no dataset 'minst'"):
        command("minst")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
