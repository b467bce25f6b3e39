"""What `digits tune` looks for, and what it writes."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

import numpy as np
import pytest

from digits.data.snapshot import Snapshot
from digits.data.split import Split
from digits.errors import MissingError, ParamsError
from digits.experiments.tuning import Study
from digits.models.families import FAMILIES
from digits.models.family import Family
from digits.project import Project
from digits.steps.tuning import lines, trial, write

pytest.importorskip("optuna", reason="the extra `tune` is not installed")

SINGLE = [name for name, family in FAMILIES.items() if family.section == "families"]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Return a split whose rows nobody reads."""
    snapshot = Snapshot(path=tmp_path, dataset="none", digest="0" * 64, n_samples=2, height=8, width=8, max_value=16)
    return Split(path=tmp_path, snapshot=snapshot, digest="1" * 64)


def study(path: Path, family: Family, split: Split) -> Study:
    """Return the study of a family in a file."""
    return Study(path / "study.db", family=family, split=split, seed=0)


@pytest.mark.parametrize("name", SINGLE)
def test_every_family_can_be_searched(name: str, split: Split, tmp_path: Path) -> None:
    """Each suggestion is a family that params.yaml could hold; the first one is what it holds now."""
    family = FAMILIES[name]()
    search = study(tmp_path, family, split)
    suggestions = [search.suggest() for _ in range(4)]

    assert suggestions[0].family == family
    for suggestion in suggestions:
        assert FAMILIES[name].model_validate_json(suggestion.family.model_dump_json()) == suggestion.family
        assert set(suggestion.params) == set(FAMILIES[name].search_space())


def test_nothing_is_tried_on_other_images(split: Split, tmp_path: Path) -> None:
    """A search is named after its images: where they are damaged, no trial is begun."""
    search = study(tmp_path, FAMILIES["svm"](), split)
    for name in ("images.npy", "labels.npy"):
        np.save(split.snapshot.path / name, np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(MissingError, match="damaged"):
        trial(search, split=split, seed=0, workers=None, memory=None, parent="")  # type: ignore[arg-type]
    assert search.suggest().number == 0


def test_ensembles_have_nothing_to_look_for(split: Split, tmp_path: Path) -> None:
    """An ensemble is refused in one line."""
    with pytest.raises(ParamsError, match="voting has no hyper-parameters to look for; tune its members"):
        study(tmp_path, FAMILIES["voting"].model_validate({"members": ["svm", "cnn"]}), split)


def test_a_search_goes_on_where_it_was_left(split: Split, tmp_path: Path) -> None:
    """Made again, a study knows its trials; one that a killed process left open ends as failed and is done again."""
    search = study(tmp_path, FAMILIES["svm"](), split)
    search.tell(search.suggest(), accuracies=[0.9, 0.92])
    search.suggest()  # and the process dies

    again = study(tmp_path, FAMILIES["svm"](), split)
    assert again.done == 1
    better = again.suggest()
    again.tell(better, accuracies=[0.95])
    family, accuracy, before = again.best()
    assert (family, accuracy, before) == (better.family, 0.95, pytest.approx(0.91))
    assert again.done == 2


def test_other_data_or_params_are_another_search(split: Split, tmp_path: Path) -> None:
    """Trials that cannot be compared never meet; another value of what is looked for is the same search."""
    search = study(tmp_path, FAMILIES["svm"](), split)
    search.tell(search.suggest(), accuracies=[0.9])

    assert study(tmp_path, FAMILIES["svm"].model_validate({"C": 3.0}), split).done == 1
    assert study(tmp_path, FAMILIES["svm"].model_validate({"features": "pixels"}), split).done == 0
    assert study(tmp_path, FAMILIES["svm"](), Split(split.path, split.snapshot, "2" * 64)).done == 0


def test_a_trial_that_is_worse_than_half_is_given_up(split: Split, tmp_path: Path) -> None:
    """After five trials, one that lies behind after a fold need not see the others; it counts as a trial."""
    search = study(tmp_path, FAMILIES["svm"](), split)
    for accuracy in (0.9, 0.91, 0.92, 0.93, 0.94):
        good = search.suggest()
        assert not search.is_hopeless(good, accuracies=[accuracy])
        search.tell(good, accuracies=[accuracy])
    bad = search.suggest()
    assert search.is_hopeless(bad, accuracies=[0.5])
    search.tell(bad, accuracies=[0.5], hopeless=True)

    assert search.done == 6
    assert search.best()[1] == pytest.approx(0.94)


def test_writing_changes_one_line(root: Path, tmp_path: Path) -> None:
    """params.yaml keeps its comments, its order and its layout."""
    shutil.copy(root / "params.yaml", tmp_path)
    family = FAMILIES["logistic_regression"].model_validate({"C": 2.5})
    write(Project(root=tmp_path), "mnist", family)

    before, after = ((folder / "params.yaml").read_text(encoding="utf-8").splitlines() for folder in (root, tmp_path))
    changed = [line for line in difflib.ndiff(before, after) if line.startswith(("+ ", "- "))]
    assert changed == ["-         logistic_regression: {components: 200}", "+         logistic_regression: {C: 2.5}"]
    assert lines(family) == "logistic_regression: {C: 2.5}"
    assert Project(root=tmp_path).params("mnist").fit.families["logistic_regression"] == family
