"""Model files: an estimator in a folder, without a pickle, byte for byte a function of what it holds.

::

    model.skops        the estimator, as skops writes it
    network.keras      its Keras network, where it has one
    members/NAME/      the members of an ensemble, each a folder like this one

skops and Keras number what they write by addresses in memory, and both archives carry the time of day: `save` numbers
afresh and sets every clock to the same date, so that the same fit gives the same `digest` in any process on any day.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from sklearn.base import BaseEstimator

from digits.errors import MissingError
from digits.files import replaced_folder, sha256_of_folder
from digits.models import tensorflow_runtime
from digits.models.ensembles import Ensemble
from digits.models.keras_classifier import KerasClassifier

__all__ = ["digest", "load", "save"]

log = logging.getLogger(__name__)

MODEL, NETWORK, MEMBERS = "model.skops", "network.keras", "members"

# Everything that a model file may hold beside what skops trusts by itself: NumPy, SciPy and scikit-learn.
TRUSTED_TYPES = (
    "digits.models.ensembles.StackingEnsemble",
    "digits.models.ensembles.VotingEnsemble",
    "digits.models.features.Hog",
    "digits.models.features.Pixels",
    "digits.models.keras_classifier.KerasClassifier",
    "digits.models.mlp.FixedEpochsMLP",
    "digits.models.svm.RbfSVC",
    "digits.models.virtual.VirtualExamples",
)

# Nodes of skops' schema that cannot change: whether two of them are one object is an accident of the interpreter.
_IMMUTABLE = frozenset({"BytesNode", "FunctionNode", "JsonNode", "TupleNode", "TypeNode"})
_SCHEMA, _METADATA, _CONFIG = "schema.json", "metadata.json", "config.json"
# The first date that a zip archive can tell.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def save(estimator: BaseEstimator, folder: Path) -> None:
    """Write a fitted estimator into `folder`, replacing what is there only when everything is written.

    Parameters
    ----------
    estimator
        What a family's ``build`` gives, fitted; an ensemble takes its members along.
    folder
        Where to.
    """
    with replaced_folder(folder) as work:
        _write(estimator, work)
    log.debug("saved %s in %s", type(estimator).__name__, folder)


def load(folder: Path) -> BaseEstimator:
    """Read the estimator that `save` wrote into `folder`; it predicts bit for bit what the saved one did.

    Raises
    ------
    MissingError
        There is no model, it is damaged, or it holds a type that is none of a model's.
    """
    if not (folder / MODEL).is_file():
        raise MissingError(f"no model in {folder}: wanted {MODEL}; fit it again")
    try:
        return _read(folder)
    except MissingError:
        raise
    # What a damaged archive makes skops, Keras and zipfile raise knows no bounds; all of it means the same.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise MissingError(f"model {folder} is damaged ({type(error).__name__}: {reason}); fit it again") from error


def digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of the files of the model in `folder`, 64 hexadecimal digits.

    Raises
    ------
    MissingError
        There is no model in `folder`.
    """
    if not (folder / MODEL).is_file():
        raise MissingError(f"no model in {folder}: wanted {MODEL}; fit it again")
    return sha256_of_folder(folder)


def _write(estimator: BaseEstimator, folder: Path) -> None:
    import skops.io

    bare = copy.copy(estimator)
    if isinstance(bare, Ensemble):
        for name, member in bare.__dict__.pop("members_"):
            (folder / MEMBERS / name).mkdir(parents=True)
            _write(member, folder / MEMBERS / name)
    if isinstance(bare, KerasClassifier):
        with tempfile.NamedTemporaryFile(suffix=f".{NETWORK}") as scratch:
            estimator.model_.save(scratch.name)
            _rewrite(Path(scratch.name).read_bytes(), folder / NETWORK, edit=_canonical_network)
    _rewrite(skops.io.dumps(bare, compression=ZIP_STORED), folder / MODEL, edit=_canonical_model)


def _read(folder: Path) -> BaseEstimator:
    import skops.io

    estimator = skops.io.load(folder / MODEL, trusted=list(TRUSTED_TYPES))
    if isinstance(estimator, Ensemble):
        estimator.attach([(name, load(folder / MEMBERS / PurePosixPath(name).name)) for name in estimator.members])
    if isinstance(estimator, KerasClassifier):
        with tensorflow_runtime.LOCK:
            _, keras = tensorflow_runtime.start(threads=estimator.threads)
            estimator.model_ = keras.saving.load_model(folder / NETWORK, compile=False, safe_mode=True)
    return estimator


def _rewrite(archive: bytes, path: Path, *, edit: Callable[[ZipFile], dict[str, bytes]]) -> None:
    """Write a zip archive to `path` that holds what `edit` makes of another, with the same date on every file."""
    with ZipFile(io.BytesIO(archive)) as source:
        contents = edit(source)
    with ZipFile(path, "w", compression=ZIP_DEFLATED, compresslevel=1) as target:
        for name, content in contents.items():
            info = ZipInfo(name, date_time=_EPOCH)
            info.compress_type = ZIP_DEFLATED
            info.create_system = 3  # Unix, wherever it is written
            target.writestr(info, content, compresslevel=1)


def _canonical_network(archive: ZipFile) -> dict[str, bytes]:
    """Return the files of a ``.keras`` archive without the day on which it was saved, and with objects numbered."""
    contents = {name: archive.read(name) for name in archive.namelist()}
    metadata, config = json.loads(contents[_METADATA]), json.loads(contents[_CONFIG])
    metadata.pop("date_saved", None)
    numbers: dict[int, int] = {}
    for node in _nodes(config):
        if "shared_object_id" in node:
            node["shared_object_id"] = numbers.setdefault(node["shared_object_id"], len(numbers) + 1)
    return contents | {_METADATA: _compact(metadata), _CONFIG: _compact(config)}


def _canonical_model(archive: ZipFile) -> dict[str, bytes]:
    """Return the files of a ``.skops`` archive, with objects and files numbered in the order of the schema."""
    schema = json.loads(archive.read(_SCHEMA))
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    for fresh, node in enumerate(_nodes(schema)):
        if "__loader__" not in node:
            continue
        if "file" in node:
            old = node["file"]
            node["file"] = names.setdefault(old, f"{len(names)}{PurePosixPath(old).suffix}")
        if "__id__" in node:
            shared = node["__loader__"] not in _IMMUTABLE
            node["__id__"] = numbers.setdefault(node["__id__"], fresh) if shared else fresh
    return {_SCHEMA: _compact(schema)} | {new: _without_padding(archive.read(old)) for old, new in names.items()}


def _without_padding(content: bytes) -> bytes:
    """Return a ``.npy`` file with zeros between the fields of its records: there lies what was in memory before."""
    if not content.startswith(np.lib.format.MAGIC_PREFIX):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.frombuffer(bytearray(array.nbytes), array.dtype).reshape(array.shape)
    for name in array.dtype.names:
        clean[name] = array[name]
    target = io.BytesIO()
    np.save(target, clean, allow_pickle=False)
    return target.getvalue()


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON document, depth first, in the order of the file."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += reversed(node.values())
        elif isinstance(node, list):
            waiting += reversed(node)


def _compact(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
