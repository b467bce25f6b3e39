"""What the straight line would do again of its data steps, without doing it."""

from __future__ import annotations

from digits.project import Project
from tasks.memory import changes

__all__ = ["stale_data_steps"]

STEPS = ("ingest", "validate", "split")


def stale_data_steps(dataset: str) -> dict[str, str]:
    """Return data step → a line with what has changed, for each that a run does again.

    A step that only reads what another one is going to write anew is not among them yet.
    """
    stages = {f"{step}@{dataset}": step for step in STEPS}
    changed = changes(Project.find().root, stages=list(stages))
    return {
        stages[stage]: f"{stages[stage]} will run again (changed: {', '.join(names)})"
        if names
        else f"{stages[stage]} will run (DVC has no record of it)"
        for stage, names in changed.items()
    }
