"""Measuring the families against what people run instead."""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Sequence

from digits.data.split import Split
from digits.dataset_params import FitParams
from digits.errors import DigitsError, ParamsError
from digits.events import report
from digits.experiments.workers import WorkerPool
from digits.project import Project
from digits.reference.benchmark import Benchmark, Machine, Race, Row
from digits.reference.measured import Measured, Probabilities, combined, measure, measure_plain
from digits.reference.plain import PLAIN
from digits.settings import ONE_THREAD, Settings, environment_without
from digits.steps.data import load_split
from digits.steps.race import COMMAND

__all__ = ["benchmark"]

#: Accuracy on MNIST's test rows → the fastest family whose validation accuracy is well above it.
RACES = {0.99: "logistic_regression", 0.9935: "svm"}


def benchmark(project: Project, dataset: str, names: Sequence[str], *, n_seeds: int, settings: Settings) -> Benchmark:
    """Measure families and the plain scripts for the same, one after the other in one worker process.

    Parameters
    ----------
    project, dataset
        Whose families.
    names
        Of the families; none means all.
    n_seeds
        Number of seeds, counted from that of the params.
    settings
        The time limit of one fit.

    Raises
    ------
    ParamsError
        There is no such family.
    MissingError
        The dataset has no split yet.
    FitFailed
        A fit raised or took too long, or there are too few rows for a family.
    """
    params, split = project.params(dataset).fit, load_split(project, dataset)
    if unknown := [name for name in names if name not in params.families]:
        raise ParamsError(f"no family {', '.join(unknown)} in {dataset}'s params; it has {', '.join(params.families)}")
    wanted = [name for name in params.families if name in (names or params.families)]
    machine = Machine.here()
    ours: dict[str, list[Measured]] = {name: [] for name in wanted}
    with WorkerPool(1, timeout_s=60 * settings.fit_minutes) as pool:
        for seed in range(params.seed, params.seed + n_seeds):
            for name, measured in _measured(split, params, wanted, seed=seed, pool=pool).items():
                ours[name].append(measured)
        plain = {name: _plain(split, name, seed=params.seed, pool=pool) for name in wanted if name in PLAIN}
    rows = [Row(family=name, ours=ours[name], plain=plain.get(name)) for name in wanted]
    racers = RACES.items() if dataset == "mnist" else ()
    races = [_raced(project, dataset, family, target=target) for target, family in racers if family in wanted]
    return Benchmark(dataset=dataset, machine=machine, rows=rows, races=races)


def _measured(
    split: Split, params: FitParams, wanted: Sequence[str], *, seed: int, pool: WorkerPool
) -> dict[str, Measured]:
    """Return family → what it gave with one seed; members that are not wanted themselves are fitted all the same."""
    members = {member for name in wanted for member in params.families[name].members}
    done: dict[str, tuple[Measured, Probabilities | None]] = {}
    for name, family in params.families.items():
        if not family.members and (name in wanted or name in members):
            report("measure", subject=name, state="running", detail=f"seed {seed}")
            done[name] = pool.run(measure, split=split, family=family, seed=seed, validated=name in members)
            _tell(name, done[name][0])
    for name in wanted:
        if family_members := params.families[name].members:
            known = [(measured, proba) for measured, proba in map(done.__getitem__, family_members) if proba]
            done[name] = combined(split, family=params.families[name], seed=seed, members=known), None
            _tell(name, done[name][0])
    return {name: done[name][0] for name in wanted}


def _plain(split: Split, name: str, *, seed: int, pool: WorkerPool) -> Measured:
    report("plain", subject=name, state="running")
    measured = pool.run(measure_plain, split=split, family=name, seed=seed)
    _tell(name, measured, step="plain")
    return measured


def _tell(name: str, measured: Measured, *, step: str = "measure") -> None:
    detail = f"{measured.accuracy:.2%}, {measured.fit_seconds:.1f} s and {measured.predict_seconds:.1f} s"
    report(step, subject=name, state="done", detail=detail)


def _raced(project: Project, dataset: str, family: str, *, target: float) -> Race:
    before, start = _children_seconds(), time.perf_counter()
    done = subprocess.run(
        [*COMMAND, str(project.root), dataset, family],
        env=environment_without(()) | ONE_THREAD,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise DigitsError(f"the race of {family} left with {done.returncode}; see above")
    return Race(
        target=target,
        accuracy=json.loads(done.stdout),
        family=family,
        seconds=seconds,
        processor_seconds=_children_seconds() - before,
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
