"""The pool of workers: a death or a time-out costs one call, not the run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from digits.errors import FitFailed
from digits.experiments.workers import InProcess, WorkerDied, WorkerPool


def _add(*, a: int, b: int) -> int:
    return a + b


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise FitFailed("no luck")


def _sleep(*, seconds: float) -> None:
    time.sleep(seconds)


def _begin_and_sleep(*, path: str, seconds: float) -> None:
    Path(path).touch()
    time.sleep(seconds)


def _environment(*, name: str) -> str | None:
    return os.environ.get(name)


def _workers() -> list[psutil.Process]:
    """Return the worker processes of this one."""
    return _workers_of(os.getpid())


def _workers_of(number: int) -> list[psutil.Process]:
    children = psutil.Process(number).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def _kill_workers() -> None:
    for worker in _workers():
        worker.kill()  # and not waited for: that is the pool's, which would not hear of its death


def test_workers_outlive_death_timeout_and_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a killed worker, a time-out and an error the pool still works, and it leaves no process behind."""
    # A worker imports the functions by their module's name, which pytest's importlib mode does not put on the path.
    (tmp_path / "worker_functions.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import worker_functions as functions

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with WorkerPool(1, timeout_s=10) as pool:
        assert pool.run(functions._add, a=1, b=2) == 3
        with pytest.raises(WorkerDied, match="its worker process died"):
            pool.run(functions._die)
        with pytest.raises(FitFailed, match="no luck"):
            pool.run(functions._raise)
        assert pool.run(functions._environment, name="OMP_NUM_THREADS") == "1"
        _kill_workers()  # between two calls, which the pool itself does not survive
        with contextlib.suppress(WorkerDied):
            pool.run(functions._add, a=1, b=2)
        assert pool.run(functions._add, a=2, b=2) == 4
        with pytest.raises(FitFailed, match="DIGITS_FIT_MINUTES"):
            pool.run(functions._sleep, seconds=60)
        assert pool.run(functions._add, a=2, b=2) == 4
    assert _workers() == []


def test_in_process_calls_where_it_stands() -> None:
    """Without a pool the same interface calls in this process."""
    assert InProcess().run(_add, a=1, b=2) == 3


def test_a_stopped_pool_gives_up_what_runs_and_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that run, that wait and that come after the stop all end at once, and no worker is started for them."""
    (tmp_path / "stopped_functions.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import stopped_functions as functions

    with WorkerPool(1, timeout_s=60) as pool, ThreadPoolExecutor(max_workers=3) as threads:
        assert pool.run(functions._add, a=1, b=2) == 3
        calls = [threads.submit(pool.run, functions._sleep, seconds=60) for _ in range(3)]
        time.sleep(1)
        start = time.monotonic()
        pool.stop()
        for call in calls:
            with pytest.raises(FitFailed, match="given up"):
                call.result(timeout=20)
        with pytest.raises(FitFailed, match="given up"):
            pool.run(functions._add, a=1, b=2)
        assert time.monotonic() - start < 20
        assert _workers() == []


@pytest.mark.parametrize("when", ["while it starts", "in the middle of a call"])
def test_workers_end_with_the_process_that_started_them(tmp_path: Path, when: str) -> None:
    """When that is killed, a worker does not go on, whatever it is doing."""
    (tmp_path / "worker_functions.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    begun, go = tmp_path / "begun", tmp_path / "go"
    if when == "in the middle of a call":
        go.touch()
    code = (
        "import os, time\n"
        "import worker_functions as functions\n"
        "from digits.experiments.workers import WorkerPool\n"
        "if __name__ == '__main__':\n"
        "    with WorkerPool(2, timeout_s=600) as pool:\n"
        f"        pool.run(functions._begin_and_sleep, path={str(begun)!r}, seconds=600)\n"
        "else:\n"
        f"    while not os.path.exists({str(go)!r}):  # what a worker imports first\n"
        "        time.sleep(0.1)\n"
        "    try:  # the second one still has the pipes when the first is ready\n"
        f"        open({str(tmp_path / 'first')!r}, 'x').close()\n"
        "    except FileExistsError:\n"
        "        time.sleep(3)\n"
    )
    (tmp_path / "main.py").write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    process = subprocess.Popen([sys.executable, tmp_path / "main.py"], env=environment)
    workers: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 60
        while len(workers) < 2 or begun.exists() != go.exists():
            workers = _workers_of(process.pid)
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
        go.touch()
        _, alive = psutil.wait_procs(workers, timeout=30)
        for worker in alive:
            worker.kill()
    assert alive == []
