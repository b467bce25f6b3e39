"""The command that reads pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.cli.output import print_json, print_line
from digits.data.images import Frame, read_picture
from digits.data.snapshot import Snapshot
from digits.errors import ParamsError, PictureError
from digits.experiments.connection import answering
from digits.project import Project
from digits.registry.versions import Registry
from digits.settings import Settings
from digits.steps.memory import tracking

__all__ = ["predict"]


def predict(dataset: str, *images: Path, json: bool = False) -> int:
    """Read pictures of single digits with the production version of a dataset's classifier.

    Any size, colour or grey, dark on light or light on dark. A picture that cannot be read is named on stderr, the
    others are read, and the exit code is 2.

    Examples
    --------
    ::

        digits predict mnist seven.png three.jpg
        digits predict mnist *.png --json

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    images
        Files of pictures.
    json
        Print an array of image, digit and probability, in the order given.
    """
    if not images:
        raise ParamsError(f"no picture is named; wanted `digits predict {dataset} IMAGE…`")
    project = Project.find()
    project.params(dataset)
    registry = Registry(tracking(project, dataset, settings=Settings.load(project.root)))
    with answering():
        version = registry.serving()
    snapshot = Snapshot.load(project.snapshot(dataset))
    frame = Frame(height=snapshot.height, width=snapshot.width, max_value=snapshot.max_value)
    read: list[tuple[Path, NDArray[np.uint8]]] = []
    faults = 0
    for path in images:
        try:
            read.append((path, read_picture(path, frame=frame)))
        except PictureError as error:
            faults += 1
            sys.stderr.write(f"digits: {error}\n")
    results = []
    if read:
        with answering(), registry.load(version) as estimator:
            proba = estimator.predict_proba(np.stack([image for _, image in read]))
            digits = estimator.classes_[proba.argmax(axis=1)]
        results = [
            {"image": str(path), "digit": int(digit), "probability": float(row.max())}
            for (path, _), digit, row in zip(read, digits, proba, strict=True)
        ]
    if json:
        print_json(results)
    else:
        for result in results:
            print_line(f"{result['image']}: {result['digit']} ({result['probability']:.1%})")
    return PictureError.exit_code if faults else 0
