"""Commands of the data steps: ingest, validate, split."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from digits.cli.output import print_json, print_line
from digits.data.report import REPORT
from digits.errors import ContractViolation, ParamsError
from digits.experiments.code import ensure_unchanged, reachable
from digits.params import Section
from digits.project import Project
from digits.settings import Settings
from digits.steps import data as steps

__all__ = ["ingest", "split", "validate"]


@contextmanager
def _unchanged(params: Callable[[], Section]) -> Iterator[None]:
    """Raise when params or code were changed while a step ran: DVC would record today's for yesterday's result."""
    before = params()
    yield
    if params() != before:
        raise ParamsError("params.yaml was changed while the step ran; run again")
    code = reachable(steps.__name__, below="digits")
    ensure_unchanged(module for module in code if module.startswith("digits.data."))


def ingest(dataset: str, *, json: bool = False) -> None:
    """Ingest a dataset's images from their source into ``data/snapshots/DATASET``.

    Examples
    --------
    ::

        digits ingest digits
        DIGITS_MNIST_DIR=~/mnist digits ingest mnist

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print the snapshot as JSON.
    """
    project = Project.find()
    with _unchanged(lambda: project.params(dataset).ingest):
        snapshot = steps.ingest(project, dataset, settings=Settings.load(project.root))
    if json:
        print_json({"path": str(snapshot.path), "digest": snapshot.digest, "n_samples": snapshot.n_samples})
    else:
        shape = f"{snapshot.height} x {snapshot.width}"
        print_line(f"{dataset}: {snapshot.n_samples:,} images of {shape}, digest {snapshot.digest[:12]}")


def validate(dataset: str, *, json: bool = False) -> None:
    """Hold a dataset's snapshot against its contract; leaves with 1 and names the rule when one is violated.

    Examples
    --------
    ::

        digits validate digits
        digits validate digits --json

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print the report as JSON.
    """
    project = Project.find()
    report = project.validation(dataset) / REPORT
    try:
        with _unchanged(lambda: project.params(dataset).validate_):
            checked = steps.validate(project, dataset)
    except ContractViolation:
        if json:
            sys.stdout.write(report.read_text(encoding="utf-8"))
        raise
    if json:
        sys.stdout.write(report.read_text(encoding="utf-8"))
    elif aside := len(checked.quarantined):
        print_line(
            f"{dataset}: {aside} images are set aside in {project.quarantine(dataset)}; the others keep the contract"
        )
    else:
        print_line(f"{dataset}: all {len(checked.rules)} rules hold; see {project.docs(dataset) / 'index.html'}")


def split(dataset: str, *, json: bool = False) -> None:
    """Split a dataset's validated rows into train, validation and test.

    Examples
    --------
    ::

        digits split digits

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print the counts as JSON.
    """
    project = Project.find()
    with _unchanged(lambda: project.params(dataset).split):
        made = steps.split(project, dataset)
    counts = {
        "development": len(made.development()),
        "validation": len(made.validation()),
        "folds": len(made.folds()),
        "test": len(made.test()),
    }
    if json:
        print_json({"path": str(made.path), "digest": made.digest, **counts})
    else:
        print_line(f"{dataset}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
