"""The command that says what a run would reuse or train, and why."""

from __future__ import annotations

from dataclasses import asdict

from digits.cli.display import print_explanations
from digits.cli.output import print_json, print_line
from digits.project import Project
from digits.settings import Settings
from digits.steps import explain as steps
from digits.steps.memory import known_fits

__all__ = ["explain"]


def explain(dataset: str, *, json: bool = False) -> None:
    """Say what a run would reuse or train, family by family, and why; changes nothing.

    A family is trained when its data, its params, the seed, its code, a library or, for an ensemble, a member has
    changed since its last fit, when what that fit gave is missing or damaged, or when it was never fitted. Data steps
    that a run would do again are named first; they are done aside, to see whether they give other data.

    Examples
    --------
    ::

        digits explain digits
        digits explain mnist --json

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print an array with family, action and changes.
    """
    project = Project.find()
    project.params(dataset)
    from flows.explain import stale_data_steps

    stale, settings = stale_data_steps(dataset), Settings.load(project.root)
    memory = known_fits(project, dataset, settings=settings)
    explanations = steps.explain(project, dataset, memory=memory, settings=settings, stale=stale)
    if json:
        print_json(
            [
                {"family": item.family, "action": item.action, "changes": [asdict(change) for change in item.changes]}
                for item in explanations
            ]
        )
    else:
        for line in stale.values():
            print_line(line)
        print_explanations(explanations)
