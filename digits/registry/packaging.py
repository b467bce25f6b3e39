"""A candidate as MLflow packages it: files, signature, input example, requirements."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import digits
from digits.experiments.code import code_digests, ensure_unchanged, reachable, source_of
from digits.experiments.leaderboard import Row
from digits.experiments.logged_model import create_logged_model, finalize, logged_model_of
from digits.experiments.tags import CANDIDATE_FOLDER
from digits.files import sha256_of_folder

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.tracking import MlflowClient

    from digits.data.snapshot import Snapshot

__all__ = ["CODE_FILES", "MODEL_FILES", "Package", "digest_of_code", "digest_of_package", "log_model"]

SERVED = Path(__file__).with_name("served.py")
PACKAGE = Path(digits.__file__).parent
MODEL, ARTIFACT, DIGEST = "model", "model", "sha256"

#: What loading a package writes into it where the store is a folder: Python beside its code, MLflow beside the model.
_WRITTEN_LATER = frozenset({"__pycache__", "registered_model_meta"})

#: Where in a package the model's own files lie, and the code.
MODEL_FILES, CODE_FILES = f"artifacts/{ARTIFACT}", "code"

#: What the served model imports. This package's own code travels with the model: on public indexes others may own its
#: name.
_SERVED_BY = (
    "mlflow",
    "keras",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pydantic",
    "scikit-learn",
    "scipy",
    "skops",
    "tensorflow",
)

#: Number of images in the input example: enough to see, few enough to show.
_EXAMPLES = 2


class Package(NamedTuple):
    """A model as MLflow keeps it: its address and id, the SHA-256 over all of its files, and that over its code."""

    source: str
    model_id: str
    digest: str
    code: str


def log_model(row: Row, *, snapshot: Snapshot, client: MlflowClient) -> Package:
    """Log the candidate's files, and the code that serves them, as those of its run's model.

    A model that has files already, which some version may serve, is left alone: the run gets another one.

    Raises
    ------
    CodeChangedError
        The code was edited since this process has begun.
    """
    import mlflow
    from mlflow.models import Model

    run_id = str(row.candidate.run_id)
    model_id = logged_model_of(client.get_run(run_id))
    if model_id is None or client.list_logged_model_artifacts(model_id):
        model_id = create_logged_model(client, run_id, name=row.family, files=CANDIDATE_FOLDER)
    place = client.get_logged_model(model_id).artifact_location
    with TemporaryDirectory() as work:
        # Not `log_model`: it would open the finished run again, and try the example, which loads TensorFlow.
        mlflow.pyfunc.save_model(
            Path(work) / MODEL,
            mlflow_model=Model(artifact_path=place, run_id=run_id, model_id=model_id),
            python_model=str(SERVED),
            artifacts={ARTIFACT: str(row.candidate.model)},
            model_config={DIGEST: row.candidate.digest},
            signature=_signature(row, snapshot=snapshot),
            input_example=np.asarray(snapshot.images()[:_EXAMPLES]),
            code_paths=[str(_copied_code(Path(work)))],
            pip_requirements=[f"{name}=={version(name)}" for name in _SERVED_BY],
        )
        ensure_unchanged(_imported_by_models(below="digits"))  # what was packaged is what its tag says, and is whole
        client.log_model_artifacts(model_id, str(Path(work) / MODEL))
        digest = digest_of_package(Path(work) / MODEL)
    finalize(client, model_id)
    return Package(source=f"models:/{model_id}", model_id=model_id, digest=digest, code=digest_of_code())


def digest_of_package(folder: Path) -> str:
    """Return the SHA-256 over the files by which MLflow serves a model, as they were logged."""
    return sha256_of_folder(folder, without=_WRITTEN_LATER)


@cache
def digest_of_code() -> str:
    """Return the SHA-256 over the code that reads a model's files and predicts, as this process runs it."""
    return hashlib.sha256(json.dumps(code_digests(_code_of_models())).encode()).hexdigest()


def _code_of_models() -> frozenset[str]:
    return _imported_by_models(below=("digits.data", "digits.models"))


def _imported_by_models(*, below: str | tuple[str, ...]) -> frozenset[str]:
    models = [f"digits.models.{path.stem}" for path in (PACKAGE / "models").glob("*.py")]
    return frozenset[str]().union(*(reachable(module, below=below) for module in models))


def _copied_code(folder: Path) -> Path:
    """Copy what of this package models need, and nothing else of it, into a folder, and return the copy's place."""
    copy, modules = folder / PACKAGE.name, _imported_by_models(below="digits")
    packages = {name.rpartition(".")[0] for name in modules}
    for path in set(map(source_of, modules | packages)):
        place = copy / path.relative_to(PACKAGE)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return copy


def _signature(row: Row, *, snapshot: Snapshot) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    outputs = [ColSpec("long", "digit"), *(ColSpec("double", f"probability_{label}") for label in row.test.classes)]
    images = TensorSpec(np.dtype(np.uint8), (-1, snapshot.height, snapshot.width))
    return ModelSignature(inputs=Schema([images]), outputs=Schema(outputs))
