"""The command that looks for better hyper-parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from digits.cli.display import events_shown
from digits.cli.leaving import leave_as_ctrl_c_does
from digits.cli.output import print_json, print_line
from digits.errors import ParamsError
from digits.experiments.workers import worker_pool
from digits.project import Project
from digits.settings import Settings

if TYPE_CHECKING:
    from flows.tune import Tuned

__all__ = ["tune"]


def tune(
    dataset: str,
    family: str,
    *,
    trials: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
    write: bool = False,
    json: bool = False,
) -> None:
    """Look for better hyper-parameters of a family, on validation data alone.

    Optuna suggests values, worker processes fit them side by side, and each trial is a run in MLflow below that of
    the search, in the experiment DATASET-tuning. The first trial is what params.yaml says. Where the split has folds,
    a trial is given up after the first fold by which half of the others were better. A search that was interrupted
    goes on where it was left, until there are as many trials as asked for; a change of data, seed, code, libraries or
    other params begins another one. Prints the winner's line for params.yaml. Needs the extra `tune`.

    Examples
    --------
    ::

        digits tune digits svm --trials 30
        digits tune mnist logistic_regression --trials 10 --write

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    family
        Name of the family.
    trials
        Number of trials, those of before included.
    write
        Put the winner into params.yaml, if it is better than what stands there.
    json
        Print what was found as JSON.
    """
    project = Project.find()
    if family not in (known := project.params(dataset).fit.families):
        raise ParamsError(f"no family {family!r} in {dataset}'s params; it has {', '.join(known)}")
    settings = Settings.load(project.root)
    leave_as_ctrl_c_does()
    with events_shown():
        tuned = _tuned(project, dataset, family, trials=trials, settings=settings)
    from digits.steps import tuning

    better = tuned.before is None or tuned.accuracy > tuned.before
    if write and better:
        tuning.write(project, dataset, tuned.family)
    line = tuning.lines(tuned.family)
    if json:
        print_json({**tuned._asdict(), "family": family, "params": line, "written": write and better})
        return
    print_line(line)
    before = "unknown" if tuned.before is None else f"{tuned.before:.2%}"
    print_line(f"# validation {tuned.accuracy:.2%}, before {before}, {tuned.trials} trials")


def _tuned(project: Project, dataset: str, family: str, *, trials: int, settings: Settings) -> Tuned:
    from flows.servers.private import prefect_server, quiet_console

    with (
        prefect_server(project, settings=settings) as server,
        worker_pool(settings.workers, timeout_s=settings.fit_minutes * 60),
    ):
        from flows.tune import tune_with

        quiet_console()
        server.wait_until_healthy()
        return tune_with(settings)(dataset, family, trials)
