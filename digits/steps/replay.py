"""A recorded fit done once more, where its data, params and code are still there: does the same come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from digits.data.split import Split
from digits.errors import MissingError
from digits.experiments import fitting
from digits.experiments.candidate import Candidate
from digits.experiments.code import changed_code
from digits.experiments.connection import answering
from digits.experiments.explanation import Change, changes_between
from digits.experiments.fingerprint import fingerprint
from digits.experiments.recall import fetch
from digits.experiments.tags import TAG_FINGERPRINT
from digits.experiments.tracking import Tracking
from digits.experiments.workers import InProcess, Workers
from digits.models.family import Family
from digits.project import Project
from digits.settings import Settings
from digits.steps.candidates import family_of
from digits.steps.data import load_split

__all__ = ["Comparison", "Replay", "replay"]


@dataclass(frozen=True)
class Comparison:
    """One thing that a fit gives, as it was recorded and as it came out again, as short texts."""

    item: str
    recorded: str
    replayed: str

    @property
    def identical(self) -> bool:
        """Whether both are the same."""
        return self.recorded == self.replayed


@dataclass(frozen=True)
class Replay:
    """What came of a replay.

    Attributes
    ----------
    dataset, family
        Of the recorded fit.
    obstacles
        What was recorded but is not available here and now; when there is any, nothing was fitted.
    comparisons
        What came out, beside what was recorded.
    """

    dataset: str
    family: str
    obstacles: Sequence[Change] = ()
    comparisons: Sequence[Comparison] = ()

    @property
    def identical(self) -> bool:
        """Whether the fit was done again, and gave the same to the last bit."""
        return not self.obstacles and all(item.identical for item in self.comparisons)


@answering()
def replay(project: Project, run_id: str, *, settings: Settings, workers: Workers | None = None) -> Replay:
    """Do the fit of an MLflow run once more, in a temporary folder; nothing of the project or of MLflow changes.

    Parameters
    ----------
    project
        The checkout whose data and code are used, as they are.
    run_id
        The run of the fit.
    settings
        Where the tracking server is.
    workers
        Who does the fit; this process by default.

    Raises
    ------
    MissingError
        There is no such run, or it holds no candidate.
    """
    uri = settings.mlflow_tracking_uri or project.tracking_uri
    memory = Tracking.holding(uri, run_id=run_id, artifacts=project.tracking_artifacts)
    with TemporaryDirectory() as work:
        recorded, tags = fetch(memory, run_id, path=Path(work) / "recorded")
        obstacles: list[Change] = []
        rows = _rows(project, recorded, obstacles=obstacles)
        family = _family(recorded, origin=_origin(tags), obstacles=obstacles)
        members = _members(recorded, memory=memory, work=Path(work), obstacles=obstacles)
        if rows is None or family is None or obstacles:
            return Replay(recorded.dataset, recorded.family, obstacles=obstacles)
        again = (workers or InProcess()).run(
            fitting.fit,
            split=rows,
            family=family,
            seed=recorded.fingerprint.seed,
            fingerprint=recorded.fingerprint,
            path=Path(work) / "replayed",
            members=members,
        )
        if changed := changed_code(recorded.fingerprint.code):
            edited = [
                Change("code", f"{module} was changed while the fit was done again") for module in sorted(changed)
            ]
            return Replay(recorded.dataset, recorded.family, obstacles=edited)
        return Replay(recorded.dataset, recorded.family, comparisons=_compared(recorded, again))


def _rows(project: Project, recorded: Candidate, *, obstacles: list[Change]) -> Split | None:
    """Return the split that was recorded, if it is the one that is there."""
    wanted = recorded.fingerprint.data
    try:
        rows = load_split(project, recorded.dataset)
        rows.snapshot.verify()
    except MissingError as error:
        obstacles.append(Change("data", f"split {wanted[:12]}: {error}"))
        return None
    if rows.digest != wanted:
        found = f"split {rows.digest[:12]} of snapshot {rows.snapshot.digest[:12]}"
        obstacles.append(Change("data", f"found {found}, wanted split {wanted[:12]}"))
    return rows


def _family(recorded: Candidate, *, origin: str | None, obstacles: list[Change]) -> Family | None:
    """Return the family with the recorded params, if it still takes them, and its code and libraries are the same."""
    then = recorded.fingerprint
    try:
        family = family_of(then)
    except MissingError as error:
        obstacles.append(Change("params", str(error)))
        return None
    today = fingerprint(family, data=then.data, seed=then.seed, members=then.members)
    where = f"; {origin}" if origin else ""
    obstacles += [
        Change(change.component, change.detail + (where if change.component == "code" else ""))
        for change in changes_between(then, today)
    ]
    return family


def _origin(tags: Mapping[str, str]) -> str | None:
    """Return where git has the recorded code, in words."""
    if "git.sha" not in tags:
        return None
    sha = tags["git.sha"]
    if tags.get("git.dirty") == "true":
        return f"it was {sha} with changes on top that were not committed"
    return f"`git checkout {sha}` has it"


def _members(recorded: Candidate, *, memory: Tracking, work: Path, obstacles: list[Change]) -> list[Candidate]:
    """Return the members that an ensemble was made of, brought from MLflow."""
    members = []
    for name, digest in recorded.fingerprint.members.items():
        for run in memory.finished(TAG_FINGERPRINT, digest):
            try:
                members.append(fetch(memory, str(run.info.run_id), path=work / "members" / name)[0])
                break
            except MissingError:
                continue
        else:
            obstacles.append(Change("members", f"MLflow has lost {name} with fingerprint {digest[:12]}"))
    return members


def _compared(recorded: Candidate, replayed: Candidate) -> list[Comparison]:
    figures = [candidate.validation.flat() for candidate in (recorded, replayed)]
    changed = [name for name in figures[0] if figures[0][name] != figures[1].get(name)]
    metrics = [Comparison(f"validation {name}", *(repr(each[name]) for each in figures)) for name in changed]
    same = f"{len(figures[0])} figures"
    return [
        *(metrics or [Comparison("validation metrics", same, same)]),
        Comparison("validation probabilities", recorded.proba_digest, replayed.proba_digest),
        Comparison("model", recorded.digest, replayed.digest),
    ]
