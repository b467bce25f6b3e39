"""A params.yaml that cannot be understood gives one line with the path of the key, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from digits.errors import ParamsError
from digits.project import Project


def _project(folder: Path, root: Path, *, change: dict[str, Any]) -> Project:
    content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    for path, value in change.items():
        *parents, last = path.split(".")
        section = content
        for parent in parents:
            section = section[parent]
        section[last] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return Project(root=folder)


def test_the_projects_own_params_are_valid(root: Path) -> None:
    """Every dataset in params.yaml can be read, with all fourteen families and their members."""
    project = Project(root=root)
    assert project.datasets() == ("digits", "mnist")
    for dataset in project.datasets():
        assert len(project.params(dataset).fit.families) == 14


def test_text_that_spells_a_number_is_one(tmp_path: Path, root: Path) -> None:
    """To YAML, 1e-4 is text."""
    project = _project(tmp_path, root, change={"datasets.digits.fit.families.svm": {"C": "1e-4"}})
    assert project.params("digits").fit.families["svm"].model_dump()["C"] == 1e-4


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "datasets.digits.fit.sed",
            1,
            "datasets.digits.fit.sed is not a known key; known are seed, families, ensembles",
        ),
        ("datasets.digits.fit.seed", "x", "datasets.digits.fit.seed is 'x': Input should be a valid integer"),
        (
            "datasets.digits.fit.families.perceptron",
            {},
            "families.perceptron is not a known key; known are logistic_reg",
        ),
        (
            "datasets.digits.validate.test_rows",
            700,
            "datasets.digits: validate.test_rows is 700, but split.test takes the last 797",
        ),
        (
            "datasets.digits.split.test",
            {"take": "fraction", "fraction": 0.2},
            "datasets.digits: validate.test_rows is 797, but split.test draws them at random; take test_rows out",
        ),
        ("datasets.digits.fit.families.svm", {"C": -1}, "datasets.digits.fit.families.svm.C is -1"),
        ("datasets.digits.fit.families.svm", None, "datasets.digits.fit.families.svm is None"),
        ("datasets.digits.fit.ensembles.voting", {"members": ["svm", "me"]}, "ensembles.voting.members names me"),
        ("datasets.digits.fit.ensembles.voting", {"members": ["svm", "svm"]}, "names a family twice: svm, svm"),
        ("datasets.digits.fit.seed", True, "datasets.digits.fit.seed is 'true': Input should be a valid integer"),
        (
            "datasets.digits.fit.families.svm",
            {"C": True},
            "datasets.digits.fit.families.svm.C is 'true': Input should be a valid number",
        ),
        ("datasets.digits.fit.families.mlp", {"hidden": [True]}, "datasets.digits.fit.families.mlp.hidden.0 is 'true'"),
        ("datasets.digits.validate.rows", [True, 1797], "datasets.digits.validate.rows.0 is 'true': Input should be"),
        ("datasets.digits.ingest.path", True, "datasets.digits.ingest.path is True: Input is not a valid path"),
        (
            "datasets.digits.split.validation",
            {"take": "folds", "folds": 1},
            "datasets.digits.split.validation.folds is 1: Input should be greater than or equal to 2",
        ),
        (
            "datasets.digits.split.validation.fold",
            5,
            "datasets.digits.split.validation.fold is not a known key; known are take, folds, shuffle",
        ),
        ("datasets.digits.ingest.pth", "x", "datasets.digits.ingest.pth is not a known key; known are source, path"),
        (
            "datasets.digits.fit.families.extra_trees",
            {"max_features": "foo"},
            "datasets.digits.fit.families.extra_trees.max_features is 'foo': Input should be 'sqrt' or 'log2' or ",
        ),
        ("datasets.digits.fit.seed", 2**32, "datasets.digits.fit.seed is 4294967296: Input should be less than"),
        ("datasets.digits.split.seed", -1, "datasets.digits.split.seed is -1: Input should be greater than"),
        ("datasets.mnist.fit.sed", 1, "datasets.mnist.fit.sed is not a known key"),
        ("datasets.digits.evalute", {}, "datasets.digits.evalute is not a known key; known are ingest, validate"),
        ("datasets.digits.ingest", {"source": "web"}, "datasets.digits.ingest"),
        ("datasets.digits.promote.minimum_accuracy", 1.5, "datasets.digits.promote.minimum_accuracy is 1.5"),
        ("datasetz", {}, "datasetz"),
    ],
)
def test_bad_params_name_the_key(tmp_path: Path, root: Path, key: str, value: object, message: str) -> None:
    """An unknown key, a wrong type, a value out of range and an unknown family each name the key's path."""
    project = _project(tmp_path, root, change={key: value})
    with pytest.raises(ParamsError) as caught:
        project.params("digits")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_dataset_lists_the_known_ones(root: Path) -> None:
    """A misspelt dataset is answered with those there are."""
    with pytest.raises(ParamsError, match=r"no dataset 'minst'.*digits, mnist"):
        Project(root=root).params("minst")


def test_a_project_is_found_from_a_folder_inside_it(root: Path, tmp_path: Path) -> None:
    """Commands work anywhere in a checkout, and outside say where to go."""
    assert Project.find(root / "digits" / "data").root == root
    with pytest.raises(ParamsError, match=r"no params\.yaml"):
        Project.find(tmp_path)


def test_broken_yaml_is_one_line(tmp_path: Path) -> None:
    """A file that is no YAML, no mapping, or no text, is one line too."""
    for text in ("datasets: [", "- 1", "", "datasets: 3", "datasets: {}\n1: 2\nx: 3", "datasets: {}  # \xe9"):
        (tmp_path / "params.yaml").write_text(text, encoding="latin-1")
        with pytest.raises(ParamsError) as caught:
            Project(root=tmp_path).params("digits")
        assert "\n" not in str(caught.value)


def test_a_name_that_is_a_number_is_refused(tmp_path: Path) -> None:
    """To YAML a dataset called 5 is the number, for which no file is named."""
    (tmp_path / "params.yaml").write_text("datasets: {5: {}}", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"datasets\.5 is no text; write it as '5', in quotes"):
        Project(root=tmp_path).params("minst")


@pytest.mark.parametrize("copied", ["      seed: 0\n", "        svm: {components: 60, gamma: 0.2}\n"])
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, root: Path, copied: str) -> None:
    """Of two values for one key YAML takes the last; nobody knows which one was meant."""
    text = (root / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace(copied, copied * 2, 1), encoding="utf-8")
    with pytest.raises(ParamsError, match=rf"key {copied.partition(':')[0].strip()} stands twice.*line \d+") as caught:
        Project(root=tmp_path).params("digits")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("revision", "dirty"), [("1a2b3c", "false"), ("1a2b3c-dirty", "true")])
def test_an_image_names_the_code_that_it_was_built_from(tmp_path: Path, revision: str, dirty: str) -> None:
    """Without git, the tags of a run are those that the image's build has written down; without both, none."""
    project = Project(root=tmp_path)
    assert project.git_tags() == {}
    (tmp_path / ".revision").write_text(f"{revision}\n", encoding="utf-8")
    assert project.git_tags() == {"git.sha": "1a2b3c", "git.dirty": dirty}


def test_another_checkouts_code_is_refused(tmp_path: Path) -> None:
    """What runs would be recorded as what lies here: one line names both, and what to call instead."""
    (tmp_path / "params.yaml").write_text("datasets: {}", encoding="utf-8")
    assert Project.find(tmp_path).root == tmp_path  # a folder of data alone has no code
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/__init__.py").touch()
    with pytest.raises(ParamsError, match=rf"but this is the checkout {tmp_path}; call its own"):
        Project.find(tmp_path)
