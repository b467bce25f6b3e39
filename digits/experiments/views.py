"""What people see first in the MLflow UI: addresses of its pages, the view of all fits, the note of the last run.

Addresses start at the ``#``, so that they lead to the server that shows them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from digits.experiments.statistics import interval_name, percentage
from digits.experiments.tags import TAG_SPLIT

if TYPE_CHECKING:
    from digits.experiments.evaluation import Evaluation

__all__ = ["fits_address", "fits_view", "note", "run_address"]

_KEY = "leaderboard"

#: Columns of the view, beside the run's name, its age and duration; the UI orders them by name.
_COLUMNS = ("validation_accuracy", "test_accuracy", "test_log_loss", "cost_batch_seconds")


def fits_view(*, split: str = "") -> dict[str, str]:
    """Return the tag of an experiment by which `fits_address` opens the fits alone, best validation accuracy first.

    The UI keeps views that people share in such tags; these are the names that it gives them.

    Parameters
    ----------
    split
        Digest of a split: only figures that were measured on the same rows can be put in order. All fits by default.
    """
    return {
        f"mlflow.sharedViewState.{_KEY}": json.dumps(
            {
                "searchFilter": "tags.kind = 'candidate'" + (f" and tags.`{TAG_SPLIT}` = '{split}'" if split else ""),
                "orderByKey": "metrics.`validation_accuracy`",
                "orderByAsc": False,
                "startTime": "ALL",
                "lifecycleFilter": "Active",
                "modelVersionFilter": "All Runs",
                "datasetsFilter": [],
                "selectedColumns": [f"metrics.`{name}`" for name in _COLUMNS],
                "viewMaximized": True,
                "runListHidden": False,
            }
        )
    }


def run_address(experiment_id: str, run_id: str | None) -> str:
    """Return the address of a run's page."""
    return f"#/experiments/{experiment_id}/runs/{run_id}"


def fits_address(experiment_id: str) -> str:
    """Return the address of the table of all fits of an experiment, best validation accuracy first."""
    # Without the type of work the UI opens on traces of language models, whatever the experiment holds.
    return f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={_KEY}"


def note(evaluation: Evaluation, *, experiment_id: str, run_id: str | None = None) -> str:
    """Return, in Markdown, what the last evaluation says; its first line is all that the UI shows before a click.

    Parameters
    ----------
    evaluation
        It.
    experiment_id
        Of the dataset.
    run_id
        The pipeline run that was evaluated, if it was one.
    """
    best = evaluation.best
    interval = interval_name(best.test.confidence)
    pipeline = f", [the last pipeline run]({run_address(experiment_id, run_id)})" if run_id else ""
    lines = [
        f"Best: [**{best.family}**]({run_address(experiment_id, best.candidate.run_id)}), test accuracy "
        f"{best.test_accuracy:.2%} ({interval} {best.test_accuracy_low:.2%} to {best.test_accuracy_high:.2%}), "
        f"chosen by validation accuracy. [All fits]({fits_address(experiment_id)}) of these images{pipeline}.",
        "",
        f"| family | validation | test | {interval} | against the best | log loss | per image |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in evaluation.rows:
        name = f"[{row.family}]({run_address(experiment_id, row.candidate.run_id)})"
        against = "" if row is best else row.against_best
        lines.append(
            f"| {name} | {row.validation_accuracy:.2%} | {row.test_accuracy:.2%} "
            f"| {row.test_accuracy_low:.2%} to {row.test_accuracy_high:.2%} | {against} "
            f"| {row.test.log_loss:.4f} | {1e6 * row.cost.batch_seconds:,.0f} µs |"
        )
    if evaluation.n_label_errors:
        lines.append(
            f"\n{evaluation.n_label_errors} test labels are known to be wrong: {best.on_label_errors} of the "
            f"{best.mistakes} mistakes of {best.family} are on them."
        )
    claim = evaluation.claim
    lines.append(
        f"\nThe claim of {percentage(claim.accuracy)} accuracy is {claim.verdict} "
        f"(exact binomial test, p = {claim.p_value:.2g})."
    )
    lines += [f"\n{family}: {reason}" for family, reason in evaluation.failed.items()]
    return "\n".join(lines)
