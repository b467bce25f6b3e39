"""The command that shows how the steps grow with the number of images."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from digits.cli.display import events_shown
from digits.cli.output import print_json, print_line
from digits.errors import DigitsError
from digits.project import Project
from digits.settings import Settings
from digits.steps import scale as steps

__all__ = ["scale"]

#: A tenth of MNIST, MNIST, and ten times as much.
IMAGES = (7_000, 70_000, 700_000)


def scale(
    *,
    images: Annotated[
        tuple[int, ...], Parameter(consume_multiple=True, negative="", validator=Number(gte=100))
    ] = IMAGES,
    dataset: str = "mnist",
    limit: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    json: bool = False,
) -> None:
    """Measure how ingest, validate, features and the linear families grow with the number of images.

    The images are the dataset's own, again and again, each time distorted otherwise as the networks' training images
    are; the params' seed decides how. They are written in files as MNIST's are, in a temporary project whose steps then
    run one after the other, each with one thread in a process of its own; the linear families learn from no `copies`.
    Times are of the step alone, after its libraries were loaded; memory is private memory, without the pages of mapped
    files. 700,000 images need 1.2 GB of room for temporary files (TMPDIR) and 1.9 GB of memory, for the fits; all of it
    takes four minutes of a processor.

    Examples
    --------
    ::

        digits bench scale
        digits bench scale --images 7000 21000 --limit 1.1
        digits bench scale --dataset digits --images 1000 10000 --json

    Parameters
    ----------
    images
        The numbers of images.
    dataset
        Another dataset of params.yaml whose images are distorted, square ones.
    limit
        Leave with 1 when a step's processor time grows by more than this times linear from one number of images to the
        next, or the peak memory of ingest, validate or features to more than this times that of the fewest images of
        7,000 or more.
    json
        Print the figures as JSON.
    """
    project = Project.find()
    with events_shown():
        found = steps.scale(project, dataset, images=images, settings=Settings.load(project.root))
    if json:
        print_json(found.as_dict())
    else:
        print_line(found.as_markdown())
    if limit is not None and (complaints := found.complaints(limit=limit)):
        raise DigitsError(f"{'; '.join(complaints)}; wanted {limit:g} at most")
