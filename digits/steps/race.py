"""A race: what a new process does on its way to a classifier. It loads nothing of the benchmark around it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from digits.project import Project
from digits.steps.data import load_split

__all__ = ["COMMAND", "race"]

#: The command of that process, but for what `race` takes.
COMMAND = (sys.executable, "-m", "digits.steps.race")


def race(root: str, dataset: str, family: str) -> None:
    """Fit a family on the development rows and print its accuracy on the test rows.

    Parameters
    ----------
    root
        Folder of the project.
    dataset
        Whose images.
    family
        Its name in the dataset's params.

    Raises
    ------
    MissingError
        The dataset has no split yet.
    """
    project = Project(root=Path(root))
    params, split = project.params(dataset).fit, load_split(project, dataset)
    images, labels = split.snapshot.images(), np.asarray(split.snapshot.labels())
    rows, test = split.development(), split.test()
    estimator = params.families[family].build(seed=params.seed).fit(images[rows], labels[rows])
    sys.stdout.write(json.dumps(float(np.mean(estimator.predict(images[test]) == labels[test]))))


if __name__ == "__main__":
    race(*sys.argv[1:])
