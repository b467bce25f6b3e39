"""The command that removes what nothing refers to any more."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from digits.cli.display import print_garbage
from digits.cli.output import print_json
from digits.errors import ParamsError
from digits.experiments.tags import KIND_REFERENCE
from digits.project import Project
from digits.settings import Settings
from digits.steps import garbage as steps
from digits.steps.memory import known_fits

__all__ = ["gc"]


def gc(
    dataset: str | None = None,
    *,
    newest: Annotated[int, Parameter(validator=Number(gte=0))] = 10,
    dry_run: bool = True,
    json: bool = False,
) -> None:
    """Remove the runs, their files and the candidates that nothing refers to; says what it would remove by default.

    A run stays that today's params, a registered version, the last evaluation or one of the newest pipeline runs
    refers to, and every run that the project did not make. `mlflow gc` then forgets the rows of removed runs, and
    `dvc gc` frees DVC's cache.

    Examples
    --------
    ::

        digits gc
        digits gc mnist --newest 3 --no-dry-run

    Parameters
    ----------
    dataset
        Name of the dataset, or `reference` for what `digits reference` has done; all by default, also datasets that
        have left params.yaml.
    newest
        How many of the last pipeline runs stay, with the fits that they evaluated, and those made since; and how many
        runs of each reference system.
    dry_run
        Say what would be removed, and remove nothing.
    json
        Print what was found as JSON.
    """
    project = Project.find()
    everything = (*project.all_datasets(), KIND_REFERENCE)  # the last is the experiment of `digits reference`
    if dataset is not None and dataset not in everything:
        raise ParamsError(f"no dataset {dataset!r}; there are {', '.join(everything)}")
    names = everything if dataset is None else (dataset,)
    settings = Settings.load(project.root)
    memories = {name: known_fits(project, name, settings=settings) for name in names}
    # What cannot be told of one dataset is said before anything of another is removed.
    for look in (steps.find_garbage,) if dry_run else (steps.find_garbage, steps.collect_garbage):
        found = {name: look(project, name, memory=memory, newest=newest) for name, memory in memories.items()}
    if json:
        print_json(
            {
                "removed": not dry_run,
                "garbage": [{"dataset": name, **asdict(item)} for name, items in found.items() for item in items],
            }
        )
    else:
        print_garbage(found, removed=not dry_run)
