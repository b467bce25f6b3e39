"""What is damaged is named with the command that mends it, and that command does mend it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - every test here needs it
import numpy as np
import pytest
from PIL import Image

from digits.errors import MissingError
from digits.experiments.evaluation import read_evaluation

FAMILY = "logistic_regression"
DEAD = "http://127.0.0.1:9/api/2.0/mlflow-artifacts/artifacts/model"


@pytest.fixture(scope="module")
def trained(make_checkout: Callable[..., Any]) -> Any:
    """Return a checkout after a run with one family; every test leaves it mended."""
    checkout = make_checkout({FAMILY: {}})
    done = checkout.digits("run", "digits")
    assert done.returncode == 0, done.stderr
    return checkout


@pytest.fixture
def picture(trained: Any, tmp_path: Path) -> str:
    """Return a picture of a digit."""
    image = np.load(trained.root / "data/snapshots/digits/images.npy")[0]
    path = tmp_path / "digit.png"
    Image.fromarray(np.pad(np.kron(image * 15, np.ones((12, 12))).astype(np.uint8), 20)).save(path)
    return str(path)


@pytest.fixture
def stored(trained: Any) -> Path:
    """Return the model file of the version in production."""
    version = _client(trained).get_model_version_by_alias("digits-classifier", "production")
    files = _client(trained).get_model_version_download_uri("digits-classifier", version.version)
    return Path(files.removeprefix("file://")) / "artifacts/model/model.skops"


@pytest.fixture
def _dead_store(trained: Any) -> Iterator[None]:
    """Let the files of every version and of every run lie on a server that does not answer."""
    columns = (("model_versions", "version", "storage_location"), ("runs", "run_uuid", "artifact_uri"))
    before = {}
    with sqlite3.connect(trained.root / "mlflow/mlflow.db") as database:
        for table, key, column in columns:
            before[table] = database.execute(f"SELECT {column}, {key} FROM {table}").fetchall()  # noqa: S608
            database.execute(f"UPDATE {table} SET {column} = ?", (DEAD,))  # noqa: S608
    yield
    with sqlite3.connect(trained.root / "mlflow/mlflow.db") as database:
        for table, key, column in columns:
            database.executemany(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", before[table])  # noqa: S608


def _client(checkout: Any) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow/mlflow.db'}")


def _versions(checkout: Any) -> list[int]:
    found = _client(checkout).search_model_versions("name = 'digits-classifier'")
    return sorted(int(item.version) for item in found)


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "gone"])
def test_a_damaged_version_is_replaced_by_the_command_that_is_named(
    trained: Any, picture: str, stored: Path, gone: bool
) -> None:
    """Production stays with the same candidate, whose new version serves where the damaged one did."""
    before = _versions(trained)
    if gone:
        shutil.rmtree(stored.parent)
    else:
        stored.write_bytes(stored.read_bytes()[:-10])
    refused = trained.digits("predict", "digits", picture)
    assert refused.returncode == 1
    assert "are missing" in refused.stderr if gone else "were changed" in refused.stderr
    assert "register it again with `digits run digits`" in refused.stderr
    again = trained.digits("register" if gone else "run", "digits")
    assert again.returncode == 0, again.stderr
    assert f"digits-classifier version {before[-1] + 1} @production" in again.stdout
    assert _client(trained).get_model_version("digits-classifier", str(before[-1])).tags["stage"] == "Archived"
    read = trained.digits("predict", "digits", picture)
    assert read.returncode == 0, read.stderr
    assert trained.digits("register", "digits").returncode == 0
    assert _versions(trained) == [*before, before[-1] + 1]


@pytest.mark.usefixtures("_dead_store")
def test_a_store_that_does_not_answer_is_no_damage(trained: Any, picture: str, tmp_path: Path) -> None:
    """Files that cannot be read are an error of the server: nothing is registered or fitted twice."""
    before, folder = _versions(trained), trained.root / f"data/candidates/digits/families/{FAMILY}"
    for command in (("register", "digits"), ("predict", "digits", picture), ("fit", "digits", FAMILY)):
        if command[0] == "fit":
            shutil.move(folder, tmp_path / FAMILY)
        done = trained.digits(*command, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
        assert done.returncode == 1
        assert "cannot be" in done.stderr.splitlines()[-1]
        assert "store of" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
    assert _versions(trained) == before
    assert not folder.exists()
    shutil.move(tmp_path / FAMILY, folder)


def test_a_damaged_candidate_is_not_registered(trained: Any, stored: Path) -> None:
    """`register` names what is damaged and the fit that mends it, which then is registered."""
    model = trained.root / f"data/candidates/digits/families/{FAMILY}/model/model.skops"
    model.write_bytes(model.read_bytes()[:-10])
    shutil.rmtree(stored.parent)
    before = _versions(trained)
    refused = trained.digits("register", "digits")
    assert refused.returncode == 1
    assert "its model's files are damaged; run `digits fit digits logistic_regression`" in refused.stderr
    assert _versions(trained) == before
    mended = trained.digits("fit", "digits", FAMILY, "--json")
    assert json.loads(mended.stdout)["reused"] is True
    assert trained.digits("register", "digits").returncode == 0
    assert len(_versions(trained)) == len(before) + 1


def test_a_lost_score_is_made_again(trained: Any) -> None:
    """`evaluate` assesses again a candidate whose metrics are gone, or whose predictions are not those it gave."""
    scores = trained.root / f"data/evaluations/digits/scores/{FAMILY}"
    before = {path.name: path.read_bytes() for path in scores.iterdir()}
    (scores / "metrics.json").unlink()
    proba = np.load(scores / "test_proba.npy")
    np.save(scores / "test_proba.npy", np.roll(proba, 1, axis=1))
    done = trained.digits("evaluate", "digits")
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in scores.iterdir()} == before


@pytest.mark.parametrize("part", ["leaderboard", "failed", "confidence", "split", "params"])
def test_an_evaluation_that_lacks_a_part_is_none(tmp_path: Path, part: str) -> None:
    """What another version wrote, or somebody changed, is no evaluation: one error that says what to run."""
    content: dict[str, Any] = {"leaderboard": [], "failed": {}, "confidence": 0.95, "split": "0", "params": {}}
    del content[part]
    (tmp_path / "evaluation.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(MissingError, match=rf"no evaluation in .*{part}.*run `digits run"):
        read_evaluation(tmp_path)
