from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from digits.errors import MissingError
from digits.models import artifact
from digits.models.families import FAMILIES

X, y = load_digits().images.astype(np.uint8), load_digits().target.astype(np.uint8)


@pytest.fixture(scope="module")
def fitted() -> Any:
    """Return a small forest: arrays, trees and many shared objects."""
    return FAMILIES["extra_trees"].model_validate({"trees": 3}).build(seed=0).fit(X[:200], y[:200])


@pytest.fixture
def model(fitted: Any, tmp_path: Path) -> Path:
    """Return the folder of the saved forest."""
    artifact.save(fitted, tmp_path / "model")
    return tmp_path / "model"


def members_of(archive: Path) -> dict[str, bytes]:
    """Return the files inside an archive."""
    with ZipFile(archive) as source:
        return {name: source.read(name) for name in source.namelist()}


def rewrite(archive: Path, contents: dict[str, bytes]) -> None:
    """Write other files into an archive."""
    with ZipFile(archive, "w") as target:
        for name, content in contents.items():
            target.writestr(name, content)


def test_files_are_a_function_of_the_estimator(fitted: Any, model: Path, tmp_path: Path) -> None:
    """Saving twice, and saving what was loaded, writes the same bytes, without a date or an address."""
    artifact.save(fitted, tmp_path / "again")
    artifact.save(artifact.load(model), tmp_path / "loaded")

    assert artifact.digest(tmp_path / "again") == artifact.digest(model)
    assert artifact.digest(tmp_path / "loaded") == artifact.digest(model)
    with ZipFile(model / "model.skops") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_lay_in_memory_before_is_not_saved(model: Path) -> None:
    """The gaps between the fields of a tree's nodes are zero, whatever the tree's memory held before."""
    found = 0
    for name, content in members_of(model / "model.skops").items():
        if name.endswith(".npy") and (array := np.load(io.BytesIO(content))).dtype.names:
            field = np.zeros(array.dtype.itemsize, bool)
            for kind, offset, *_ in array.dtype.fields.values():
                field[offset : offset + kind.itemsize] = True
            # The bytes of the file, since loading leaves the gaps to chance again.
            saved = np.frombuffer(content[-array.nbytes :], np.uint8).reshape(-1, array.dtype.itemsize)
            assert not field.all()
            assert not saved[:, ~field].any()
            found += 1
    assert found == 3


def test_digest_follows_contents_and_names(model: Path) -> None:
    """A changed byte and a file more each change the digest."""
    before = artifact.digest(model)
    (model / "more").write_bytes(b"")
    more = artifact.digest(model)
    (model / "more").write_bytes(b"x")

    assert len({before, more, artifact.digest(model)}) == 3


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in {"voting", "stacking", "cnn", "rnn"}])
def test_no_file_holds_a_pickle(name: str, tmp_path: Path) -> None:
    """Every array in a model file can be read with pickles forbidden, and what is not an array is JSON or HDF5."""
    quick = {"trees": 2} if name in {"random_forest", "extra_trees"} else {"rounds": 1}
    params = quick if quick.keys() <= FAMILIES[name].model_fields.keys() else {}
    params |= {"epochs": 1} if "epochs" in FAMILIES[name].model_fields else {}
    params |= {"batch_size": 50} if "batch_size" in FAMILIES[name].model_fields else {}
    artifact.save(FAMILIES[name].model_validate(params).build(seed=0).fit(X[:150], y[:150]), tmp_path / name)

    for archive in (tmp_path / name).iterdir():
        for member, content in members_of(archive).items():
            if member.endswith(".npy"):
                assert np.load(io.BytesIO(content), allow_pickle=False).dtype != object
            elif member.endswith(".json"):
                assert isinstance(json.loads(content), dict)
            else:
                assert member.endswith(".h5")
                assert content.startswith(b"\x89HDF")


def test_stranger_types_are_refused(tmp_path: Path, fitted: Any) -> None:
    """A file that wants a type or function which no model needs is not loaded, and the type is named."""
    stranger = make_pipeline(FunctionTransformer(json.loads), fitted)
    artifact.save(stranger, tmp_path / "model")

    with pytest.raises(MissingError, match=r"damaged \(UntrustedTypesFoundException: .*json.*; fit it again"):
        artifact.load(tmp_path / "model")


def test_trusted_types_are_all_there() -> None:
    """Every type that is trusted can be imported: the list names nothing that is gone."""
    for name in artifact.TRUSTED_TYPES:
        module, _, kind = name.rpartition(".")
        assert isinstance(getattr(__import__(module, fromlist=[kind]), kind), type)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-200]), id="truncated"),
        pytest.param(lambda path: path.write_bytes(b"PK" + bytes(500)), id="no archive"),
        pytest.param(lambda path: rewrite(path, {"other.json": b"{}"}), id="no schema"),
        pytest.param(lambda path: rewrite(path, {"schema.json": b"[1,"}), id="half a schema"),
        pytest.param(lambda path: rewrite(path, {"schema.json": b"[1]"}), id="another schema"),
        pytest.param(
            lambda path: rewrite(path, {"schema.json": members_of(path)["schema.json"]}), id="arrays are missing"
        ),
    ],
)
def test_damaged_file_is_one_clear_error(damage: Any, model: Path) -> None:
    """Whatever is wrong with a model file, the error is one line that names it and says what to do."""
    damage(model / "model.skops")

    with pytest.raises(MissingError, match=r"is damaged .*; fit it again") as caught:
        artifact.load(model)
    assert "\n" not in str(caught.value)


def test_no_model_is_said_so(tmp_path: Path) -> None:
    """An empty folder holds no model, neither to load nor to take a digest of."""
    for read in (artifact.load, artifact.digest):
        with pytest.raises(MissingError, match=r"no model in .*: wanted model.skops; fit it again"):
            read(tmp_path)


def test_member_that_is_missing_is_missed(tmp_path: Path, fitted: Any) -> None:
    """An ensemble without one of its members is not loaded."""
    voting = FAMILIES["voting"].model_validate({"members": ["one", "two"]}).build(seed=0)
    proba = fitted.predict_proba(X[200:400])
    voting.fit_members_proba(np.stack([proba, proba]), y[200:400]).attach([("one", fitted), ("two", fitted)])
    artifact.save(voting, tmp_path / "voting")
    (tmp_path / "voting" / "members" / "two" / "model.skops").unlink()

    with pytest.raises(MissingError, match=r"no model in .*members/two"):
        artifact.load(tmp_path / "voting")


def test_failed_save_leaves_the_old_model(fitted: Any, model: Path) -> None:
    """An estimator that cannot be saved does not cost the model that was there."""
    before = artifact.digest(model)

    with pytest.raises(TypeError, match="generator"):
        artifact.save(make_pipeline(FunctionTransformer(kw_args={"key": (n for n in ())}), fitted), model)
    assert artifact.digest(model) == before
