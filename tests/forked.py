"""A process in which a command's libraries are loaded, to fork commands from: to load them takes most of their time.

The command itself, its package included, is loaded by each fork from the folder that it runs in, as by a real process.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

__all__ = ["run"]

#: Not Prefect, which reads its settings when it is loaded, and nothing that starts threads.
LIBRARIES = ("mlflow", "sklearn.pipeline", "skops.io", "pandas", "great_expectations", "dvc.repo", "matplotlib.figure")


def run(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Call `digits` with these arguments in a fork, and return what became of it."""
    from digits.settings import ONE_THREAD, prepare_environment  # not for the fork, which has a package of its own

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    with tempfile.TemporaryDirectory() as said:
        out, err = Path(said) / "out", Path(said) / "err"
        process = context.Process(target=_call, args=(list(arguments), folder, dict(environment), out, err))
        try:
            # The first call starts the process that all are forked from, and libraries read what is set as they load.
            with patch.dict(os.environ, environment, clear=True):
                prepare_environment(ONE_THREAD)
                process.start()
            process.join(timeout)
            if process.exitcode is None:
                raise subprocess.TimeoutExpired(list(arguments), timeout)
        finally:
            process.kill()
            process.join()
        return subprocess.CompletedProcess(
            list(arguments), int(process.exitcode or 0), out.read_text("utf-8"), err.read_text("utf-8")
        )


def _call(arguments: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    """Become the command: its folder, its environment and nothing else, and its output into files."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.path.insert(0, str(folder))
    sys.argv = ["digits", *arguments]
    from digits.cli import main

    main()
