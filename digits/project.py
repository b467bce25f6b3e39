"""The project: a checkout with its ``params.yaml`` and the places where everything lies."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import yaml
from pydantic import Field, ValidationError, create_model, model_validator

from digits.data.bounds import ValidateParams
from digits.data.sources import IngestParams
from digits.data.split import SplitParams
from digits.errors import ParamsError
from digits.experiments.assessment import EvaluateParams
from digits.models.families import FAMILIES
from digits.models.family import Family
from digits.models.networks import Network
from digits.params import Section
from digits.registry.gate import RegisterParams

__all__ = ["DatasetParams", "FitParams", "Project"]

PARAMS = "params.yaml"


if TYPE_CHECKING:
    Families = Section
else:
    #: A key per family, so that a fault is named with its path; those that are not named are not fitted.
    Families = create_model(
        "Families", __base__=Section, **{name: (family | None, None) for name, family in FAMILIES.items()}
    )


class FitParams(Section):
    """Section ``fit`` of ``params.yaml``: the seed, and each family with its hyper-parameters."""

    seed: int = Field(ge=0)
    named: Families = Field(alias="families")

    @property
    def families(self) -> dict[str, Family]:
        """The families to fit, by name."""
        return {name: family for name in FAMILIES if (family := getattr(self.named, name)) is not None}

    @model_validator(mode="after")
    def _members_are_fitted(self) -> Self:
        for name, family in self.families.items():
            missing = set(family.members) - set(self.families)
            if missing:
                raise ValueError(f"families.{name}.members names {', '.join(sorted(missing))}, not among the families")
            nested = [member for member in family.members if member not in missing and self.families[member].members]
            if nested:
                raise ValueError(f"families.{name}.members names {', '.join(nested)}, an ensemble itself")
        threads = {family.threads for family in self.families.values() if isinstance(family, Network)}
        if len(threads) > 1:
            raise ValueError(f"the networks' threads are {sorted(threads)}; TensorFlow has one number per process")
        if not self.families:
            raise ValueError(f"families names none; there are {', '.join(FAMILIES)}")
        return self


class DatasetParams(Section):
    """Everything that the results of one dataset depend on; a section per step."""

    ingest: IngestParams
    validate_: ValidateParams = Field(default_factory=ValidateParams, alias="validate")
    split: SplitParams
    fit: FitParams
    evaluate: EvaluateParams = EvaluateParams()
    register_: RegisterParams = Field(alias="register")


@dataclass(frozen=True)
class Project:
    """A checkout.

    Attributes
    ----------
    root
        The folder that holds ``params.yaml``.
    """

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """Return the project that `start` (the current folder by default) lies in.

        Raises
        ------
        ParamsError
            There is none.
        """
        folder = (start or Path.cwd()).resolve()
        for candidate in (folder, *folder.parents):
            if (candidate / PARAMS).is_file():
                return cls(root=candidate)
        raise ParamsError(f"no {PARAMS} in {folder} or above it; run digits inside a checkout of the project")

    def params(self, dataset: str) -> DatasetParams:
        """Return the params of a dataset.

        Raises
        ------
        ParamsError
            The dataset is not in ``params.yaml``, or the file holds an unknown key, a wrong type or a value out of
            range; the message names the key's path.
        """
        datasets = self._read()
        if dataset not in datasets:
            raise ParamsError(f"no dataset {dataset!r} in {PARAMS}; it has {', '.join(datasets)}")
        try:
            return DatasetParams.model_validate(datasets[dataset])
        except ValidationError as error:
            raise ParamsError(_one_line(error, dataset=dataset)) from error

    def datasets(self) -> tuple[str, ...]:
        """Return the names of all datasets in ``params.yaml``."""
        return tuple(self._read())

    def snapshot(self, dataset: str) -> Path:
        """Folder of a dataset's snapshot."""
        return self.root / "data" / "snapshots" / dataset

    def validation(self, dataset: str) -> Path:
        """Folder of a dataset's validation report."""
        return self.root / "data" / "validations" / dataset

    def docs(self, dataset: str) -> Path:
        """Folder of a dataset's Data Docs."""
        return self.root / "data" / "docs" / dataset

    def quarantine(self, dataset: str) -> Path:
        """Folder of the images that were set aside."""
        return self.root / "data" / "quarantine" / dataset

    def split(self, dataset: str) -> Path:
        """Folder of a dataset's split."""
        return self.root / "data" / "splits" / dataset

    def candidates(self, dataset: str) -> Path:
        """Folder of a dataset's candidates, one folder per family."""
        return self.root / "data" / "candidates" / dataset

    def evaluation(self, dataset: str) -> Path:
        """Folder of a dataset's evaluation."""
        return self.root / "data" / "evaluations" / dataset

    @property
    def state(self) -> Path:
        """Folder of what belongs to this machine alone: the private Prefect server, downloads, logs."""
        return self.root / ".state"

    @property
    def tracking_uri(self) -> str:
        """The local MLflow store, where no server is named."""
        return f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def tracking_artifacts(self) -> Path:
        """Folder of the local MLflow store's artifacts."""
        return self.root / "mlflow" / "artifacts"

    def git_tags(self) -> dict[str, str]:
        """Return the tags that name the code of a run: commit, and whether files differ from it; empty without git."""
        try:
            sha = self._git("rev-parse", "HEAD")
            dirty = bool(self._git("status", "--porcelain", "--untracked-files=no"))
        except (OSError, subprocess.CalledProcessError):
            return {}
        return {"git.sha": sha, "git.dirty": str(dirty).lower()}

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def _read(self) -> dict[str, Any]:
        try:
            content = yaml.safe_load((self.root / PARAMS).read_text(encoding="utf-8"))
            datasets = content["datasets"]
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            message = str(error).replace("\n", " ")
            raise ParamsError(f"cannot read {self.root / PARAMS}: {message}; it needs a mapping `datasets`") from error
        unknown = set(content) - {"datasets"}
        if unknown or not isinstance(datasets, dict):
            raise ParamsError(
                f"{PARAMS} holds {', '.join(sorted(unknown)) or 'no mapping'} at its top; wanted `datasets`"
            )
        return datasets


def _one_line(error: ValidationError, *, dataset: str) -> str:
    """Return the first fault with the path of its key, and how many more there are."""
    first, *others = error.errors()
    path = ".".join(["datasets", dataset, *map(str, first["loc"])])
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        known = _keys_beside(first["loc"])
        return f"{PARAMS}: {path} is not a known key{f'; known are {known}' if known else ''}{more}"
    message = first["msg"].removeprefix("Value error, ")
    found = "" if isinstance(first["input"], dict) else f" is {first['input']!r}"
    return f"{PARAMS}: {path}{found}: {message}{more}"


def _keys_beside(path: tuple[int | str, ...]) -> str:
    """Return the keys that the section at `path` may hold, but for its last part; empty where that is not plain."""
    section: Any = DatasetParams
    for part in path[:-1]:
        keys = {field.alias or name: field.annotation for name, field in section.model_fields.items()}
        options = (keys.get(str(part)), *get_args(keys.get(str(part))))
        section = next((item for item in options if isinstance(item, type) and issubclass(item, Section)), None)
        if section is None:
            return ""
    return ", ".join(field.alias or name for name, field in section.model_fields.items())
