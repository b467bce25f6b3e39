"""The command that does a recorded fit once more."""

from __future__ import annotations

import sys
from dataclasses import asdict

from digits.cli.output import print_json, print_line
from digits.experiments.workers import worker_pool
from digits.project import Project
from digits.settings import Settings
from digits.steps.replay import Replay
from digits.steps.replay import replay as replay_run

__all__ = ["replay"]


def replay(run_id: str, *, json: bool = False) -> None:
    """Fit a recorded candidate again and compare metrics and model bit for bit; leaves with 1 where they differ.

    Nothing is checked out: where the recorded data, params, code or libraries are not those of this checkout, each is
    named, and nothing is fitted. Neither the project nor MLflow changes.

    Examples
    --------
    ::

        digits replay 5f0c7d0e2b3a4c1d9e8f7a6b5c4d3e2f
        digits replay $(digits leaderboard digits --json | jq -r '.[0].run_id') --json

    Parameters
    ----------
    run_id
        The MLflow run of the fit, as `digits leaderboard --json` and the MLflow UI name it.
    json
        Print what is missing and what was compared.
    """
    project = Project.find()
    settings = Settings.load(project.root)
    with worker_pool(1, timeout_s=settings.fit_minutes * 60) as workers:  # the same bits as in one of `digits run`
        done = replay_run(project, run_id, settings=settings, workers=workers)
    if json:
        compared = [{**asdict(item), "identical": item.identical} for item in done.comparisons]
        missing = [asdict(change) for change in done.obstacles]
        print_json({"identical": done.identical, "obstacles": missing, "comparisons": compared})
    else:
        _show(done)
    if not done.identical:
        sys.exit(1)


def _show(done: Replay) -> None:
    for change in done.obstacles:
        print_line(f"not available: {change.component}: {change.detail}")
    for item in done.comparisons:
        found = "identical" if item.identical else f"recorded {item.recorded}, replayed {item.replayed}"
        print_line(f"{item.item}: {found}")
    verdict = "nothing was fitted" if done.obstacles else "identical" if done.identical else "different"
    print_line(f"{done.family} on {done.dataset}: {verdict}")
