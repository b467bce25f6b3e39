"""What DVC remembers: a data step runs only when its stage in ``dvc.yaml`` has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from digits.errors import MissingError

__all__ = ["remembered"]


def remembered(root: Path, *, stage: str, step: Callable[[], object]) -> bool:
    """Call `step` if `stage` has changed since DVC last recorded it, and record what it wrote.

    The stage is not run through its command: an error keeps its type, and nothing is imported twice.

    Parameters
    ----------
    root
        The checkout.
    stage
        Name of the stage, such as ``ingest@digits``.
    step
        Does what the stage's command does.

    Returns
    -------
    bool
        Whether `step` was called.
    """
    # DVC's progress bars follow the levels of its loggers; what goes wrong is raised.
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with Repo(str(root)) as repo:
            if not repo.status(targets=[stage]):
                return False
            step()
            repo.commit(stage, force=True)
    except DvcException as error:
        raise MissingError(f"DVC cannot handle stage {stage}: {error}; see `dvc status {stage}`") from error
    return True
