"""Looking for a family's hyper-parameters: trials on validation data alone, and the winner's lines in params.yaml."""

from __future__ import annotations

import io
from typing import Any

from digits.data.split import Split
from digits.errors import DigitsError, FitFailed, ParamsError
from digits.events import report
from digits.experiments.tracking import Tracking
from digits.experiments.tuning import Study, score_fold
from digits.experiments.workers import WorkerDied, Workers
from digits.files import replaced_file
from digits.models.family import Family
from digits.project import PARAMS, Project

__all__ = ["experiment", "lines", "study", "trial", "write"]


def experiment(dataset: str) -> str:
    """Return the name of the experiment in MLflow that holds the searches for a dataset."""
    return f"{dataset}-tuning"


def study(project: Project, dataset: str, family: str, *, split: Split) -> Study:
    """Open the search for a family, or go on with it.

    Raises
    ------
    ParamsError
        The dataset has no such family, or the family nothing to look for.
    """
    params = project.params(dataset).fit
    if family not in params.families:
        raise ParamsError(f"no family {family!r} in {dataset}'s params; it has {', '.join(params.families)}")
    path = project.state / "tune" / f"{dataset}.db"
    return Study(path, family=params.families[family], split=split, seed=params.seed)


def trial(search: Study, *, split: Split, seed: int, workers: Workers, memory: Tracking, parent: str) -> None:
    """Try one set of values: fit fold after fold, and give up where half of the trials were better by then.

    A fit that fails costs its trial alone, whose run in MLflow says so. Raises what `Study.verify` does.
    """
    search.verify()
    suggestion = search.suggest()
    name, accuracies = f"{suggestion.family.name} {suggestion.number}", []
    report("try", subject=name, state="running")
    hopeless = False
    try:
        with memory.trial(suggestion.number, params=suggestion.params, parent=parent) as figures:
            for number in range(n_folds := len(split.folds())):
                accuracy, log_loss = _scored(workers, split=split, family=suggestion.family, seed=seed, number=number)
                accuracies.append(accuracy)
                figures |= {f"fold_{number}_accuracy": accuracy, f"fold_{number}_log_loss": log_loss}
                hopeless = search.is_hopeless(suggestion, accuracies=accuracies) and number + 1 < n_folds
                if hopeless:
                    break
            search.verify()
            figures["validation_accuracy"] = sum(accuracies) / len(accuracies)
    except FitFailed as error:
        search.tell(suggestion, accuracies=[])
        report("try", subject=name, state="failed", detail=str(error))
        return
    search.tell(suggestion, accuracies=accuracies, hopeless=hopeless)
    values = ", ".join(f"{key} {value}" for key, value in suggestion.params.items())
    given_up = f", given up after {len(accuracies)} of {n_folds} folds" if hopeless else ""
    report("try", subject=name, state="done", detail=f"{figures['validation_accuracy']:.2%}{given_up}: {values}")


def _scored(workers: Workers, **fold: Any) -> tuple[float, float]:
    """Score a fold; where a worker died, once more."""
    try:
        return workers.run(score_fold, **fold)
    except WorkerDied:
        return workers.run(score_fold, **fold)


def lines(family: Family) -> str:
    """Return the line of a family for params.yaml."""
    stream = io.StringIO()
    _yaml().dump({family.name: _flow(family)}, stream)
    return stream.getvalue().strip()


def write(project: Project, dataset: str, family: Family) -> None:
    """Put a family's values into params.yaml; everything else stays as it is written, comments too."""
    yaml, path = _yaml(), project.root / PARAMS
    content = yaml.load(path.read_text(encoding="utf-8"))
    content["datasets"][dataset]["fit"]["families"][family.name] = _flow(family)
    with replaced_file(path) as work:
        yaml.dump(content, work)


def _flow(family: Family) -> Any:
    """Return what differs from the family's defaults as a mapping within braces."""
    from ruamel.yaml.comments import CommentedMap

    values = CommentedMap(family.model_dump(mode="json", exclude_defaults=True))
    values.fa.set_flow_style()
    return values


def _yaml() -> Any:
    try:
        from ruamel.yaml import YAML
    except ImportError as error:
        raise DigitsError("ruamel.yaml is not installed; `pip install 'digits[tune]'`") from error
    yaml = YAML()
    yaml.width = 10_000  # a line stays a line
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
