"""The reference systems done again, beside what was published and what the pipeline's best reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from digits.data.split import Split
from digits.errors import MissingError, ParamsError
from digits.events import report
from digits.experiments.connection import answering
from digits.experiments.evaluation import Evaluation
from digits.experiments.plots import save_png
from digits.experiments.tracking import Tracking
from digits.experiments.views import run_address
from digits.project import Project
from digits.reference.system import Champion, Options, Outcome, System
from digits.reference.systems import SYSTEMS
from digits.settings import Settings
from digits.steps.candidates import family_of
from digits.steps.data import load_split
from digits.steps.memory import tracking

__all__ = ["EXPERIMENT", "Referred", "reference"]

#: Name of the experiment in MLflow.
EXPERIMENT = "reference"


@dataclass(frozen=True)
class Referred:
    """One line of the table; accuracies in ``[0, 1]``.

    Attributes
    ----------
    name, title, dataset
        The system.
    published, published_text
        What its tutorial says; None and empty where it says nothing of this digit.
    accuracy
        What it reaches here, under its own protocol.
    champion, champion_accuracy
        The pipeline's best family and what it reaches under the same protocol; None where the pipeline has not run.
    run_id
        The run in MLflow.
    statement
        What else came of it.
    """

    name: str
    title: str
    dataset: str
    published: float | None
    published_text: str
    accuracy: float
    champion: str | None
    champion_accuracy: float | None
    run_id: str
    statement: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@answering()
def reference(project: Project, names: Sequence[str], *, digit: int, settings: Settings) -> list[Referred]:
    """Do reference systems again and log each as a run of the experiment ``reference``.

    Parameters
    ----------
    project
        Whose snapshots, splits and evaluations are used.
    names
        Of the systems; none means all.
    digit
        The one that the detectors look for.
    settings
        Where the tracking server is.

    Raises
    ------
    ParamsError
        There is no such system, or the split tests on other rows than its tutorial.
    MissingError
        A dataset has no split yet.
    """
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise ParamsError(f"no reference system {', '.join(unknown)}; there are {', '.join(SYSTEMS)}")
    systems = [SYSTEMS[name] for name in names or SYSTEMS]
    splits = {dataset: load_split(project, dataset) for dataset in {system.dataset for system in systems}}
    for system in systems:
        _ensure_tested_on_the_same(system, splits[system.dataset])
    champions = {dataset: _champion(project, split) for dataset, split in splits.items()}
    memory = tracking(project, EXPERIMENT, settings=settings)
    tags, done = project.git_tags(), []
    for system in systems:
        split, best = splits[system.dataset], champions[system.dataset]
        params = project.params(system.dataset).evaluate
        options = Options(digit=digit, claim=params.claim, confidence=params.confidence)
        done.append(_done(system, split, options=options, best=best, memory=memory, tags=tags))
    if not names:  # the note is a table of all
        memory.describe(_note(done, experiment_id=memory.experiment_id))
    return done


def _ensure_tested_on_the_same(system: System, split: Split) -> None:
    """Raise where a figure on the split's test rows is none under the tutorial's protocol."""
    n_samples = split.snapshot.n_samples
    if system.test_rows and not np.array_equal(split.test(), np.arange(n_samples - system.test_rows, n_samples)):
        tested = f"{system.name} was tested on the last {system.test_rows:,} rows of {system.dataset}"
        wanted = f"datasets.{system.dataset}.split.test: {{take: last, rows: {system.test_rows}}}"
        raise ParamsError(f"{tested}, the split has others; set {wanted}, or name other systems")


def _done(
    system: System,
    split: Split,
    *,
    options: Options,
    best: Champion | None,
    memory: Tracking,
    tags: Mapping[str, str],
) -> Referred:
    report("redo", subject=system.name, state="running")
    params = {**system.params, **{f"option.{name}": value for name, value in asdict(options).items()}}
    run_id = memory.start_reference_run(system.name, params=params, snapshot=split.snapshot, tags=tags)
    try:
        with memory.finishing(run_id):
            outcome = system.again(split, options)
            accuracy, family = system.champion(split, best, options) if best else (None, None)
            published = system.published if system.digit in {None, options.digit} else None
            known = {"accuracy": outcome.accuracy, "published": published, "champion_accuracy": accuracy}
            _log(outcome, known=known, run_id=run_id, champion=family, memory=memory)
    except BaseException as error:
        report("redo", subject=system.name, state="failed", detail=str(error))
        raise
    report("redo", subject=system.name, state="done", detail=f"{outcome.accuracy:.2%}")
    return Referred(
        name=system.name,
        title=system.title.format(digit=options.digit),
        dataset=system.dataset,
        published=published,
        published_text="" if published is None else system.published_text,
        accuracy=outcome.accuracy,
        champion=family,
        champion_accuracy=accuracy,
        run_id=run_id,
        statement=outcome.statement,
    )


def _champion(project: Project, split: Split) -> Champion | None:
    """Return the best of the last evaluation; None where there is none."""
    dataset = split.snapshot.dataset
    try:
        evaluation = Evaluation.load(
            project.evaluation(dataset), candidate=partial(project.candidate, dataset), split=split
        )
    except MissingError:
        return None
    best = evaluation.best
    prints = [row.candidate.fingerprint for row in evaluation.rows]
    alone = next((each for each in prints if not each.members), None)
    if alone is None:
        return None
    return Champion(best.family, best.test, single=family_of(alone), seed=alone.seed)


def _log(
    outcome: Outcome, *, known: Mapping[str, float | None], run_id: str, champion: str | None, memory: Tracking
) -> None:
    figures = {name: value for name, value in known.items() if value is not None} | dict(outcome.metrics)
    with TemporaryDirectory() as work:
        for name, figure in outcome.figures.items():
            save_png(figure, Path(work) / name)
        for name, text in outcome.texts.items():
            (Path(work) / name).write_text(text, encoding="utf-8")
        memory.log_reference(
            run_id, figures=figures, folder=Path(work), tags={} if champion is None else {"champion": champion}
        )


def _note(done: Sequence[Referred], *, experiment_id: str) -> str:
    """Return the table of what was done last, in Markdown."""
    lines = ["| system | | published | here | pipeline's best | |", "|---|---|---|---|---|---|"]
    for item in done:
        best = "" if item.champion_accuracy is None else f"{item.champion_accuracy:.2%}"
        name = f"[{item.name}]({run_address(experiment_id, item.run_id)})"
        lines.append(
            f"| {name} | {item.title} | {item.published_text} | {item.accuracy:.2%} | {best} | {item.champion or ''} |"
        )
    return "\n".join(["The systems of five tutorials, done again beside the pipeline's best.", "", *lines])
