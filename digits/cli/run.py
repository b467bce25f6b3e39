"""The command that runs the whole line.

The private Prefect server takes longest to start: what is heavy is imported after it has been told to.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from digits.cli.display import events_shown, print_leaderboard, result_console
from digits.cli.leaving import leave_as_ctrl_c_does
from digits.errors import MissingError, ServerError
from digits.experiments.workers import WorkerPool, worker_pool
from digits.files import only_one
from digits.project import Project
from digits.registry.stages import PRODUCTION
from digits.settings import Settings

if TYPE_CHECKING:
    from flows.train import Trained

__all__ = ["run"]


def run(dataset: str, *, json: bool = False) -> None:
    """Run the whole line for a dataset: ingest, validate, split, fit, evaluate, register.

    What has not changed since the last run is reused. Uses the Prefect server at PREFECT_API_URL and the MLflow
    server at MLFLOW_TRACKING_URI where they are set, else those of `digits up`; without them, a private Prefect server
    for the length of the run, and the local MLflow store below mlflow/.

    Examples
    --------
    ::

        digits run digits
        DIGITS_MNIST_DIR=~/mnist digits run mnist
        digits run digits --json > leaderboard.json

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print the leaderboard as JSON on stdout; everything else goes to stderr.
    """
    project = Project.find()
    project.section(dataset)  # a misspelt name is told before anything is waited for
    settings = Settings.load(project.root)
    _require(settings)
    leave_as_ctrl_c_does()
    began = float("inf")
    try:
        with events_shown(), only_one(project.state / "run.lock"):
            began = time.time()
            trained = _trained(project, dataset, settings=settings)
    except ServerError:
        _show_evaluated(project.evaluation(dataset), since=began, json=json)
        raise
    if json:
        from digits.cli.candidates import show

        show(trained.evaluation.path, json=True)
    else:
        _show_all(trained, project=project, dataset=dataset, server=settings.mlflow_pages)


def _require(settings: Settings) -> None:
    from flows.runner import require

    require(settings)


def _trained(project: Project, dataset: str, *, settings: Settings) -> Trained:
    from flows.servers.private import prefect_server, quiet_console

    with (
        prefect_server(project, settings=settings) as server,
        worker_pool(settings.workers, timeout_s=settings.fit_minutes * 60) as workers,
    ):
        settings = Settings.load(project.root)  # servers that came up while another run was waited for
        _prepare(workers, project=project, dataset=dataset, settings=settings)
        from flows.train import train_with

        quiet_console()
        server.wait_until_healthy()
        return train_with(settings)(dataset)


def _prepare(workers: WorkerPool, *, project: Project, dataset: str, settings: Settings) -> None:
    """Use the time until the server answers: load what the first run is going to need, and open its experiment.

    What this process needs comes first: the data steps run here while the workers still load theirs.
    """
    import flows.train  # noqa: F401
    from digits.experiments import fitting
    from digits.experiments.fingerprint import fingerprint
    from digits.steps.memory import tracking

    families = project.params(dataset).fit.families
    for family in families.values():
        fingerprint(family, data="", seed=0)  # reads the code, before a worker imports it
    missing = [name for name in families if not project.candidate(dataset, name).exists()]
    if missing:
        import great_expectations  # noqa: F401
    tracking(project, dataset, settings=settings)
    if missing:
        workers.prepare(fitting.import_libraries, families=[families[name] for name in missing])


def _show_evaluated(folder: Path, *, since: float, json: bool) -> None:
    """Print the leaderboard of a run that has come so far, though a server went away before its end."""
    from digits.cli.candidates import show
    from digits.experiments.evaluation import DESCRIPTION

    last = folder / DESCRIPTION
    if last.exists() and last.stat().st_mtime > since:
        with suppress(MissingError):  # what went wrong first is told
            show(folder, json=json)


def _show_all(trained: Trained, *, project: Project, dataset: str, server: str | None) -> None:
    from digits.experiments.evaluation import read_evaluation

    console = result_console()
    console.print()
    print_leaderboard(read_evaluation(trained.evaluation.path))
    console.print(f"\n[bold]{trained.version}[/bold]: {trained.version.family}, chosen by validation accuracy")
    console.print(f"Report             {project.report(dataset).relative_to(project.root)}")
    docs = project.docs(dataset) / "index.html"
    if docs.exists():
        console.print(f"Data Docs          {docs.relative_to(project.root)}")
    console.print(f"Experiments        {server or 'make ui'}")
    if PRODUCTION in trained.version.aliases:
        console.print(f"Read a picture     digits predict {dataset} IMAGE")
    else:
        console.print(f"Let it serve       digits registry promote {dataset}")
