"""Where a run's results are to be read, as Markdown for the Prefect UI."""

from __future__ import annotations

import logging
from pathlib import Path

from digits.experiments.connection import first_line
from digits.experiments.evaluation import Evaluation
from digits.experiments.tracking import Tracking
from digits.experiments.views import run_address
from digits.files import bytes_below
from digits.project import Project

__all__ = ["summary"]

log = logging.getLogger(__name__)

#: Folder of the Data Docs among the artifacts of a run, and the most bytes that they may have there.
DOCS, MOST = "data-docs", 5_000_000


def summary(project: Project, evaluation: Evaluation, *, memory: Tracking, parent: str, pages: str | None) -> str:
    """Return the best candidate and links to the run in MLflow, the report and the Data Docs.

    `pages` is where people open MLflow, see `Settings.mlflow_pages`. A browser opens no file of this machine from a
    page of a server: the paths stand there to be copied, and the report is also among the artifacts of the run in
    MLflow, where the Data Docs are put beside it.
    """
    best, dataset = evaluation.best, memory.dataset
    report, docs = project.report(dataset), project.docs(dataset) / "index.html"
    docs_link = f"`{docs}`"
    lines = [
        f"**{best.family}** is the best by validation accuracy, {best.validation_accuracy:.2%}; "
        f"on the test images {best.test_accuracy:.2%}.",
        "",
        "| | |",
        "|---|---|",
    ]
    if pages and pages.startswith("http"):
        page = f"{pages.rstrip('/')}/{run_address(memory.experiment_id, parent)}"
        lines += [f"| Run in MLflow | [{parent}]({page}) |"]
        lines += [f"| Report | [{report.name}]({page}/artifacts/{report.name}), `{report}` |"]
        if _put_beside(docs.parent, memory=memory, parent=parent):
            docs_link = f"[{docs.name}]({page}/artifacts/{DOCS}/{docs.name}), {docs_link}"
    else:
        lines += [f"| Run in MLflow | `{parent}`; `digits ui` opens it |", f"| Report | `{report}` |"]
    return "\n".join([*lines, f"| Data Docs | {docs_link} |"]) + "\n"


def _put_beside(folder: Path, *, memory: Tracking, parent: str) -> bool:
    """Put the Data Docs among the artifacts of the run, unless they are not here or too much; return whether."""
    from mlflow.exceptions import MlflowException

    try:
        if there := 0 < bytes_below(folder) <= MOST:
            memory.client.log_artifacts(parent, str(folder), DOCS)
    except (MlflowException, OSError) as error:  # no run fails for a link
        log.warning("the Data Docs are not put beside the run in MLflow: %s", first_line(error))
        return False
    return there
