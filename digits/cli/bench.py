"""Commands that measure the pipeline on the machine at hand."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psutil
from cyclopts import App, Parameter
from cyclopts.validators import Number

from digits.cli.output import print_json, print_line
from digits.errors import DigitsError
from digits.experiments import fitting
from digits.experiments.candidate import Candidate
from digits.experiments.fingerprint import fingerprint
from digits.project import Project
from digits.settings import ONE_THREAD, Settings, environment_without, prepare_environment
from digits.steps.candidates import families as waves
from digits.steps.data import load_split

__all__ = ["app", "overhead"]

app = App(name="bench", help="Measure the pipeline on this machine.")
app.command("digits.cli.bench_mnist:mnist", help="Set every family beside the plain script for the same.")
app.command("digits.cli.bench_scale:scale", help="Show how the steps grow with the number of images.")

SAMPLE_SECONDS = 0.5
BYTES_PER_GIB = 1 << 30

#: A run that is timed has servers of its own, in which nothing is remembered.
SERVERS = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL")

#: What a project needs besides the installed package.
_COPIED = ("params.yaml", "dvc.yaml", "requirements.lock", "digits", "data/sources")


@app.command
def overhead(
    dataset: str = "mnist",
    *,
    limit: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    json: bool = False,
) -> None:
    """Compare a whole run with the same fits started by a plain script, in one go.

    First `digits run` in an empty copy of the project: every step, nothing remembered. Then the same fits in the same
    order, as many side by side, by a plain process pool: no Prefect, MLflow, DVC or Great Expectations, no
    evaluation. Prints both wall times, their ratio, the run's peak memory (resident memory summed over its process
    tree) and whether both gave the same metrics. A family that fails in the run is named and left out by the script.

    Examples
    --------
    ::

        digits bench overhead digits
        DIGITS_MNIST_DIR=~/mnist digits bench overhead mnist --limit 1.15

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    limit
        Leave with 1 when the ratio is above it.
    json
        Print the figures as JSON.
    """
    project = Project.find()
    settings = Settings.load(project.root)
    with _copied_project(project) as copied:
        sys.stderr.write(f"digits: whole run on {dataset}\n")
        pipeline_seconds, peak_bytes = _timed_run(copied, dataset, settings=settings)
        folders = {name: copied.candidate(dataset, name) for name in copied.params(dataset).fit.families}
        found = {name: Candidate.load(path).validation for name, path in folders.items() if path.exists()}
        sys.stderr.write(f"digits: {pipeline_seconds:.1f} s; now the same fits by a plain script\n")
        plain_seconds, plain = _timed_fits(copied, dataset, families=found, workers=settings.workers)
    different = sorted(family for family, metrics in plain.items() if found[family] != metrics)
    figures: dict[str, Any] = {
        "dataset": dataset,
        "families": len(plain),
        "failed": sorted(set(folders) - set(found)),
        "workers": settings.workers,
        "pipeline_seconds": round(pipeline_seconds, 1),
        "plain_seconds": round(plain_seconds, 1),
        "ratio": round(pipeline_seconds / plain_seconds, 3),
        "peak_memory_gib": round(peak_bytes / BYTES_PER_GIB, 2),
        "different_metrics": different,
    }
    if json:
        print_json(figures)
    else:
        for name, figure in figures.items():
            print_line(f"{name:18} {figure}")
    if limit is not None and figures["ratio"] > limit:
        raise DigitsError(
            f"the pipeline takes {figures['ratio']} times as long as a plain script; wanted {limit} at most"
        )


@contextmanager
def _copied_project(project: Project) -> Iterator[Project]:
    """Yield a copy of the project in which nothing has run yet."""
    with tempfile.TemporaryDirectory(prefix="digits-bench-") as folder:
        root = Path(folder)
        for name in _COPIED:
            source, target = project.root / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        (root / ".dvc").mkdir()
        (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n", encoding="utf-8")
        yield Project(root=root)


def _timed_run(project: Project, dataset: str, *, settings: Settings) -> tuple[float, int]:
    """Run the whole line in a process of its own; return its wall seconds and its tree's peak memory in bytes."""
    start = time.perf_counter()
    command = [sys.executable, "-c", "from digits.cli import main; main()", "run", dataset]
    process = subprocess.Popen(command, cwd=project.root, env=_environment(settings), stdout=subprocess.DEVNULL)
    peak = _Peak(process.pid)
    code = process.wait()
    seconds = time.perf_counter() - start
    if code:
        raise DigitsError(f"`digits run {dataset}` left with {code}; see above")
    return seconds, peak.stop()


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of the timed run: the copy has no ``.env``, so the settings that count are all named."""
    named = {
        "DIGITS_WORKERS": str(settings.workers),
        "DIGITS_FIT_MINUTES": str(settings.fit_minutes),
        "DIGITS_FIT_RETRIES": str(settings.fit_retries),
    }
    if settings.mnist_dir is not None:
        named["DIGITS_MNIST_DIR"] = str(settings.mnist_dir.resolve())
    return environment_without(SERVERS) | named


def _timed_fits(
    project: Project, dataset: str, *, families: Collection[str], workers: int
) -> tuple[float, dict[str, Any]]:
    """Fit `families` with a plain process pool; return the wall seconds and family → validation metrics."""
    params, rows = project.params(dataset).fit, load_split(project, dataset)
    candidates: dict[str, Candidate] = {}
    start = time.perf_counter()
    with ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare_environment,
        initargs=(ONE_THREAD,),
    ) as pool:
        for wave in waves(project, dataset, seconds={}):
            futures = {}
            for name in (name for name in wave if name in families):
                members = [candidates[member] for member in params.families[name].members]
                futures[name] = pool.submit(
                    fitting.fit,
                    rows,
                    family=params.families[name],
                    seed=params.seed,
                    fingerprint=fingerprint(
                        params.families[name],
                        data=rows.digest,
                        seed=params.seed,
                        members={member.family: member.fingerprint.digest for member in members},
                    ),
                    path=project.root / "plain" / name,
                    members=members,
                )
            candidates |= {name: future.result() for name, future in futures.items()}
    seconds = time.perf_counter() - start
    return seconds, {name: candidate.validation for name, candidate in candidates.items()}


class _Peak(threading.Thread):
    """Samples the resident memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._peak = 0
        self.start()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._ended.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, self._sample())

    def stop(self) -> int:
        """Return the largest sum seen, in bytes."""
        self._ended.set()
        self.join()
        return self._peak

    def _sample(self) -> int:
        total = 0
        try:
            for process in (self._root, *self._root.children(recursive=True)):
                try:
                    total += int(process.memory_info().rss)
                except psutil.Error:
                    continue
        except psutil.Error:
            return 0
        return total
