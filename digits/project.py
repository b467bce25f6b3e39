"""The project: a checkout with its ``params.yaml`` and the places where everything lies."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from digits.errors import ParamsError

if TYPE_CHECKING:
    from digits.dataset_params import DatasetParams

__all__ = ["Project"]

PARAMS = "params.yaml"

#: In an image: what `git describe` said of the checkout that it was built from.
REVISION = ".revision"


#: The one in C reads ten times as fast; PyYAML may have been built without it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]  # whichever it is
    """Refuses a key that stands twice in a mapping, of which YAML would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value} stands twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _ensure_own_code(root: Path) -> None:
    """Raise where another checkout's code runs in this one: its results would be recorded as those of the code here."""
    runs, lies_here = Path(__file__).parent, root / "digits"
    if (lies_here / "__init__.py").is_file() and not lies_here.samefile(runs):
        raise ParamsError(
            f"the code that runs is that of {runs.parent}, but this is the checkout {root}; "
            f"call its own: {root}/.venv/bin/digits, which `make setup` makes, or `python -m digits` in {root}"
        )


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
            There is none, or the code that runs is not the one that lies in it.
        """
        folder = (start or Path.cwd()).resolve()
        for candidate in (folder, *folder.parents):
            if (candidate / PARAMS).is_file():
                _ensure_own_code(candidate)
                return cls(root=candidate)
        raise ParamsError(f"no {PARAMS} in {folder} or above it; run digits inside a checkout of the project")

    def section(self, dataset: str) -> Any:
        """Return the section of a dataset as it is written, without looking into it.

        Raises
        ------
        ParamsError
            The dataset is not in ``params.yaml``.
        """
        return self._read(wanted=dataset)[dataset]

    def params(self, dataset: str) -> DatasetParams:
        """Return the params of a dataset.

        Raises
        ------
        ParamsError
            The dataset is not in ``params.yaml``, or the file holds an unknown key, a wrong type or a value out of
            range; the message names the key's path.
        """
        sections = self._read(wanted=dataset)
        from digits.dataset_params import DatasetParams  # every family, and with them a second of libraries

        try:
            for name, section in sections.items():  # `dvc repro` does one dataset after the other
                if name != dataset:
                    DatasetParams.read(section, path=f"datasets.{name}")
            return DatasetParams.read(sections[dataset], path=f"datasets.{dataset}")
        except ParamsError as error:
            raise ParamsError(f"{PARAMS}: {error}") from error

    def datasets(self) -> tuple[str, ...]:
        """Return the names of all datasets in ``params.yaml``."""
        return tuple(self._read())

    def all_datasets(self) -> tuple[str, ...]:
        """Return the names of all datasets in ``params.yaml``, then of those that left it but have results."""
        left = sorted(path.name for path in (self.root / "data" / "candidates").glob("[!.]*/"))
        return tuple(dict.fromkeys([*self._read(), *left]))

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

    def candidate(self, dataset: str, family: str) -> Path:
        """Folder of the candidate of a family or an ensemble."""
        from digits.models.families import FAMILIES

        return self.root / "data" / "candidates" / dataset / FAMILIES[family].section / family

    def evaluation(self, dataset: str) -> Path:
        """Folder of a dataset's evaluation."""
        return self.root / "data" / "evaluations" / dataset

    def report(self, dataset: str) -> Path:
        """Page that tells of a dataset's last evaluation."""
        return self.root / "reports" / f"{dataset}.html"

    @property
    def state(self) -> Path:
        """Folder of what belongs to this machine alone: the private Prefect server, downloads, logs."""
        return self.root / ".state"

    @property
    def prefect_lock(self) -> Path:
        """File that whoever starts a Prefect server of this checkout holds: there is one database for it."""
        return self.state / "prefect.lock"

    def lock(self, *names: str) -> Path:
        """File that whoever writes the results of that name holds, so that nothing is made twice at once."""
        return self.state / "locks" / ".".join(names)

    @property
    def libraries(self) -> Path:
        """The file that says which versions of libraries are wanted, and by which DVC knows them."""
        return self.root / "requirements.lock"

    @property
    def tracking_uri(self) -> str:
        """The local MLflow store, where no server is named."""
        return f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def tracking_artifacts(self) -> Path:
        """Folder of the local MLflow store's artifacts."""
        return self.root / "mlflow" / "artifacts"

    def git_tags(self) -> dict[str, str]:
        """Return the tags that name the code of a run: commit, and whether files differ from it; empty without git.

        What DVC has recorded of its results does not count as a difference. In an image, which has no git, they are
        those of the checkout that it was built from.
        """
        try:
            sha = self._git("rev-parse", "HEAD")
            dirty = bool(self._git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock"))
        except (OSError, subprocess.CalledProcessError):
            return self._built_from()
        return {"git.sha": sha, "git.dirty": str(dirty).lower()}

    def _built_from(self) -> dict[str, str]:
        try:
            sha, _, dirty = (self.root / REVISION).read_text(encoding="utf-8").strip().partition("-")
        except OSError:
            return {}
        return {"git.sha": sha, "git.dirty": str(bool(dirty)).lower()}

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def _read(self, *, wanted: str = "") -> dict[str, Any]:
        """Return the sections of all datasets, among which `wanted` has to be."""
        try:
            content = yaml.load((self.root / PARAMS).read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe one
            datasets = content["datasets"]
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
            message = " ".join(str(error).split())
            raise ParamsError(f"cannot read {self.root / PARAMS}: {message}; it needs a mapping `datasets`") from error
        unknown = set(content) - {"datasets"}
        if unknown or not isinstance(datasets, dict):
            raise ParamsError(
                f"{PARAMS} holds {', '.join(sorted(map(str, unknown))) or 'no mapping'} at its top; wanted `datasets`"
            )
        if unnamed := [name for name in datasets if not isinstance(name, str)]:
            raise ParamsError(f"{PARAMS}: datasets.{unnamed[0]} is no text; write it as '{unnamed[0]}', in quotes")
        if wanted and wanted not in datasets:
            raise ParamsError(f"no dataset {wanted!r} in {PARAMS}; it has {', '.join(datasets)}")
        return datasets
