"""The search for a family's hyper-parameters: what is tried next, and what has been found. Optuna does both.

A search is kept in a SQLite file, under a name that holds everything but the values that are looked for: data, seed,
code, libraries and the params that stay as they are. Another one of these is another search, so that trials which
cannot be compared never meet.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digits.data.split import Split
from digits.errors import DigitsError, ParamsError
from digits.experiments.code import ensure_unchanged
from digits.experiments.fingerprint import fingerprint
from digits.experiments.fitting import fitting
from digits.experiments.metrics import score
from digits.models.family import Family, Search

__all__ = ["Study", "Suggestion", "score_fold"]

#: So many trials are done before one that is worse than half of them so far is given up.
_BEFORE_PRUNING = 5
_DIGITS = 3


def score_fold(split: Split, *, family: Family, seed: int, number: int) -> tuple[float, float]:
    """Fit a family to the training rows of one fold; return accuracy and log loss on the fold's validation rows.

    Raises what `fitting` does.
    """
    images, labels = split.snapshot.images(), np.asarray(split.snapshot.labels())
    fold, classes = split.folds()[number], np.unique(labels)
    with fitting(split, family=family):
        estimator = family.build(seed=seed).fit(images[fold.train], labels[fold.train])
        proba = np.zeros((len(fold.validation), len(classes)))
        proba[:, np.searchsorted(classes, estimator.classes_)] = estimator.predict_proba(images[fold.validation])
    metrics = score(labels[fold.validation], proba, classes=classes.tolist())
    return metrics.accuracy, metrics.log_loss


@dataclass(frozen=True)
class Suggestion:
    """One trial: the family with the values to try, and these alone."""

    family: Family
    params: Mapping[str, Any]
    trial: Any

    @property
    def number(self) -> int:
        """Which one of the study it is, from 0."""
        return int(self.trial.number)


class Study:
    """The search for a family's hyper-parameters on one split; made again, it goes on where it was left.

    Parameters
    ----------
    path
        The SQLite file.
    family
        The family as params.yaml has it: the first to be tried.
    split, seed
        What is fitted, and how.

    Raises
    ------
    ParamsError
        The family has nothing to look for.
    DigitsError
        Optuna is not installed.
    """

    def __init__(self, path: Path, *, family: Family, split: Split, seed: int) -> None:
        self.family = family
        self._snapshot = split.snapshot
        self._suggesting = threading.Lock()  # asked twice at once, Optuna may hand out the first trial twice
        self._space = {name: _distribution(search) for name, search in family.search_space().items()}
        if not self._space:
            raise ParamsError(f"{family.name} has no hyper-parameters to look for; tune its members")
        optuna = _optuna()
        path.parent.mkdir(parents=True, exist_ok=True)
        fixed = fingerprint(family, data=split.digest, seed=seed)
        self._code = fixed.code
        kept = {name: value for name, value in fixed.params.items() if name not in self._space}
        storage = f"sqlite:///{path}"
        self._study = optuna.create_study(
            storage=storage,
            study_name=f"{family.name} {replace(fixed, params=kept).digest[:16]}",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING),
        )
        # Seeded by what is there already: going on with the first seed would try the first values again.
        self._study.sampler = optuna.samplers.TPESampler(seed=seed + len(self._study.trials))
        self._end_abandoned(optuna)
        if self._before() is None:
            self._study.enqueue_trial(self._today())

    def verify(self) -> None:
        """Raise unless images and code are those that the search is named after.

        Raises
        ------
        MissingError
            The snapshot is damaged, or another one.
        CodeChangedError
            The code that fits was changed.
        """
        self._snapshot.verify()
        ensure_unchanged(self._code)

    @property
    def done(self) -> int:
        """Number of trials that have come to an end."""
        return sum(trial.state.is_finished() and trial.value is not None for trial in self._study.trials)

    def suggest(self) -> Suggestion:
        """Return what to try next."""
        with self._suggesting:
            trial = self._study.ask(self._space)
        params = {name: _rounded(value) for name, value in trial.params.items()}
        trial.set_user_attr("params", params)
        return Suggestion(self._with(params), params, trial)

    def is_hopeless(self, suggestion: Suggestion, *, accuracies: list[float]) -> bool:
        """Tell the mean over the folds so far; return whether half of the trials were better at this point."""
        suggestion.trial.report(float(np.mean(accuracies)), len(accuracies))
        return bool(suggestion.trial.should_prune())

    def tell(self, suggestion: Suggestion, *, accuracies: list[float], hopeless: bool = False) -> None:
        """Tell how a trial ended: with accuracies, given up after some folds, or without any as failed."""
        states = _optuna().trial.TrialState
        if hopeless or not accuracies:
            self._study.tell(suggestion.trial, state=states.PRUNED if hopeless else states.FAIL)
        else:
            self._study.tell(suggestion.trial, float(np.mean(accuracies)))

    def best(self) -> tuple[Family, float, float | None]:
        """Return the best family, its accuracy, and that of the values of params.yaml, where these were tried.

        A tie goes to the earlier trial.

        Raises
        ------
        DigitsError
            Every trial failed.
        """
        if not (complete := self._complete()):
            raise DigitsError(f"no trial of {self.family.name} came to an end; MLflow has the reasons")
        best = max(complete, key=lambda trial: (trial.value, -trial.number))
        return self._with(best.user_attrs["params"]), best.value, self._before()

    def _before(self) -> float | None:
        today = self._today().items()
        return next((trial.value for trial in self._complete() if today <= trial.user_attrs["params"].items()), None)

    def _complete(self) -> list[Any]:
        return list(self._study.get_trials(states=[_optuna().trial.TrialState.COMPLETE]))

    def _today(self) -> dict[str, Any]:
        """Return the values of params.yaml that lie within the space; the others are left to the search."""
        values = self.family.model_dump()
        return {name: values[name] for name, search in self.family.search_space().items() if search.holds(values[name])}

    def _with(self, params: Mapping[str, Any]) -> Family:
        return type(self.family).model_validate({**self.family.model_dump(), **params})

    def _end_abandoned(self, optuna: Any) -> None:
        """End the trials of a process that was killed: whoever makes a study holds its lock, so nobody does them."""
        for trial in self._study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _distribution(search: Search) -> Any:
    optuna = _optuna()
    if search.choices:
        return optuna.distributions.CategoricalDistribution(search.choices)
    kinds = optuna.distributions
    whole = isinstance(search.low, int) and isinstance(search.high, int)
    return (kinds.IntDistribution if whole else kinds.FloatDistribution)(search.low, search.high, log=search.log)


def _rounded(value: Any) -> Any:
    """Return a number as people write it: what is tried is what stands in params.yaml afterwards."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise DigitsError("optuna is not installed; `pip install 'digits[tune]'`") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
