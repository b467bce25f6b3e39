"""The command that sets every family beside what people run instead."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from digits.cli.display import events_shown
from digits.cli.output import print_json, print_line
from digits.project import Project
from digits.settings import Settings
from digits.steps import benchmark as steps

__all__ = ["mnist"]


def mnist(
    *families: str,
    seeds: Annotated[int, Parameter(validator=Number(gte=1))] = 3,
    dataset: str = "mnist",
    json: bool = False,
) -> None:
    """Measure each family's time and accuracy, and beside it the plain tutorial script for the same family.

    Both learn from the development rows and are scored on the test rows, one after the other, each with one thread.
    Times are processor seconds. The pipeline's families are fitted once per seed; the plain scripts, which take the
    longest, once. Then two new processes race to a classifier of 99 % and of 99.35 %, from their start, images
    loaded. Prints a page in Markdown, with the machine and versions: docs/benchmarks.md is one. All of it takes an
    hour and a half; name families to measure those alone.

    Examples
    --------
    ::

        digits bench mnist
        digits bench mnist svm logistic_regression --seeds 1
        digits bench mnist --json

    Parameters
    ----------
    families
        The families, ensembles too; all of them by default.
    seeds
        Number of seeds, from that of params.yaml upwards.
    dataset
        Another dataset of params.yaml, measured in the same way, without the race.
    json
        Print the figures as JSON.
    """
    project = Project.find()
    with events_shown():
        found = steps.benchmark(project, dataset, families, n_seeds=seeds, settings=Settings.load(project.root))
    if json:
        print_json(found.as_dict())
    else:
        print_line(found.as_markdown())
