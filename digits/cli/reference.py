"""The command that does the tutorials' systems again."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from digits.cli.display import events_shown, print_references
from digits.cli.output import print_json
from digits.project import Project
from digits.settings import Settings
from digits.steps import reference as steps

__all__ = ["reference"]


def reference(
    *names: str,
    digit: Annotated[int, Parameter(validator=Number(gte=0, lte=9))] = 2,
    json: bool = False,
) -> None:
    """Do the systems of five tutorials again, and set them beside what was published and the pipeline's best.

    Each one is fitted with the params of its tutorial, and logged as a run of the experiment `reference` in MLflow,
    with its pictures and reports. All of them take a few minutes. The pipeline's best is that of the last evaluation:
    under the same protocol where it was scored on the same rows or can be fitted again in seconds, and for the
    detectors, which were cross-validated, on the test rows.

    Examples
    --------
    ::

        digits reference
        digits reference svc perceptron
        digits reference detector --digit 7 --json

    Parameters
    ----------
    names
        The systems: detector, detector_lbfgs, multinomial, sgd, sgd_raw, dense, svc, svc_claim, perceptron; all by
        default.
    digit
        The one that the detectors look for.
    json
        Print an array of the systems with their figures.
    """
    project = Project.find()
    with events_shown():
        found = steps.reference(project, names, digit=digit, settings=Settings.load(project.root))
    if json:
        print_json([item.as_dict() for item in found])
    else:
        print_references(found)
