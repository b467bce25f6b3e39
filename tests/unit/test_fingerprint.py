"""A fingerprint changes with what the bits of a candidate depend on, and with nothing else."""

from __future__ import annotations

import ast
import gc
import time
from pathlib import Path

import pytest

import digits
from digits.experiments import code
from digits.experiments.code import reachable
from digits.experiments.fingerprint import fingerprint
from digits.experiments.libraries import library_versions, stale_libraries, unlocked_libraries
from digits.models.families import FAMILIES

SVM, TREE, CNN = FAMILIES["svm"](), FAMILIES["decision_tree"](), FAMILIES["cnn"]()


def test_the_same_inputs_give_the_same_fingerprint() -> None:
    """Nothing of the day, the machine's name or the process is in it."""
    first, second = (fingerprint(FAMILIES["svm"](), data="d", seed=0) for _ in range(2))
    assert first.digest == second.digest


def test_code_is_read_whatever_the_garbage_collector_calls() -> None:
    """Cleaning up may make a syntax tree, as a traceback does: in Python 3.11 one that was begun before then fails."""

    class Loud:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            _deep(12)

    def _deep(calls: int) -> None:
        _deep(calls - 1) if calls else ast.parse("a = [b, (c, d)]")

    modules = sorted(reachable("digits.steps.promotion", below="digits"))[:3]
    digests = [code._digest(module) for module in modules]
    for module, digest in zip(modules, digests, strict=True):
        for _ in range(3):
            Loud()
        try:
            assert code._digest(module) == digest
        finally:
            gc.collect()  # not in the middle of what the next test does


PLAIN = '''"""Words."""
import numpy as np
def f(a: int = 1) -> int:
    return a in {1, 2}
'''


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("Words.", "Other words.", False),
        ("import numpy as np\n", "\n\nimport numpy as np  # why\n\n\n", False),
        ("    return", '    """Say so."""\n    return', False),
        ("{1, 2}", "{1, 3}", True),
        ("= 1", "= 2", True),
        ("= 1", "= 1.0", True),
        ("numpy as", "numpy.ma as", True),
        ("(a", "(*, a", True),
        ("a in", "a not in", True),
    ],
)
def test_only_what_code_does_counts(
    old: str, new: str, changed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Comments, docstrings and empty lines change no digest; a constant, a default or an operator does."""
    module = tmp_path / "digits" / "thing.py"
    module.parent.mkdir()
    monkeypatch.setattr(code, "_PACKAGE", module.parent)
    module.write_text(PLAIN, encoding="utf-8")
    before = code._digest("digits.thing")
    module.write_text(PLAIN.replace(old, new), encoding="utf-8")
    assert (code._digest("digits.thing") != before) == changed


def test_code_that_was_written_after_the_process_began_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs may be what was there before: no result of it is remembered as that of the new code."""
    module = "digits.data.split"
    assert code.changed_code([module]) == set()
    known = code.code_digests([module])
    code._code_digest.cache_clear()
    monkeypatch.setattr(digits, "STARTED", 0)
    try:
        assert code.code_digests([module]) != known
        assert code.changed_code([module]) == {module}
    finally:
        code._code_digest.cache_clear()


def test_a_library_that_was_replaced_under_a_process_is_named() -> None:
    """What a process has loaded is what it computes with, whatever is installed by now."""
    libraries = fingerprint(CNN, data="d", seed=0).libraries
    assert stale_libraries(libraries) == []
    assert stale_libraries({**libraries, "numpy": "0.1"}) == ["numpy"]


def test_a_library_that_the_lock_does_not_name_so_is_named(tmp_path: Path) -> None:
    """The lock's line for this Python and system counts; what it does not name at all is nobody's affair."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "numpy==1.0 ; python_version < '3' \\\n    --hash=sha256:00\nnumpy==2.0 ; python_version >= '3' \\\n"
        "    --hash=sha256:11\nscikit_learn==1.7.2 \\\n    --hash=sha256:22\n",
        encoding="utf-8",
    )
    found = {"python": "3.11", "numpy": "2.0", "scikit-learn": "1.7.2", "mine": "1"}
    assert unlocked_libraries(found, lock=lock) == []
    assert unlocked_libraries({**found, "numpy": "2.1", "scikit-learn": "1.8"}, lock=lock) == ["numpy", "scikit-learn"]


def test_the_libraries_that_are_installed_are_those_of_the_lock(root: Path) -> None:
    """What `make setup` installs is what every fit depends on."""
    libraries = fingerprint(CNN, data="d", seed=0).libraries
    assert {"tensorflow", "keras", "numpy"} <= set(libraries)
    assert unlocked_libraries(libraries, lock=root / "requirements.lock") == []


def test_a_family_of_ones_own_depends_on_what_it_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However it is imported, and whatever library it brings."""
    for name, text in {
        "digits/models/__init__.py": "",
        "digits/models/mine.py": "import cv2\nfrom . import other\nfrom .third import f\nfrom ..data import more\n",
        "digits/models/other.py": "import httpx",
        "digits/models/third.py": "import pydantic",
        "digits/data/__init__.py": "",
        "digits/data/more.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(code, "_PACKAGE", tmp_path / "digits")
    code._imports.cache_clear()
    found = reachable("digits.models.mine", below=("digits.data", "digits.models"))
    assert found == {f"digits.{name}" for name in ("models.mine", "models.other", "models.third", "data.more")}
    versions = library_versions(found)
    code._imports.cache_clear()
    assert set(versions) == {"python", "opencv-python-headless", "httpx"}


def test_scikit_learn_brings_scipy() -> None:
    """Its solvers are SciPy's: another version of it is another fit."""
    libraries = fingerprint(FAMILIES["logistic_regression"](), data="d", seed=0).libraries
    assert {"scikit-learn", "scipy", "numpy"} <= set(libraries)


def test_every_input_counts() -> None:
    """Data, params, seed, family and members each change it."""
    prints = [
        fingerprint(SVM, data="d", seed=0),
        fingerprint(SVM, data="e", seed=0),
        fingerprint(SVM, data="d", seed=1),
        fingerprint(FAMILIES["svm"](C=3.5), data="d", seed=0),
        fingerprint(TREE, data="d", seed=0),
        fingerprint(SVM, data="d", seed=0, members={"svm": "x"}),
        fingerprint(SVM, data="d", seed=0, members={"svm": "y"}),
    ]
    assert len({item.digest for item in prints}) == len(prints)


def test_a_family_depends_on_its_own_code_and_libraries_alone() -> None:
    """The code of networks does not count for a tree, nor HOG for a network; TensorFlow counts for networks alone."""
    tree, cnn = fingerprint(TREE, data="d", seed=0), fingerprint(CNN, data="d", seed=0)
    assert "digits.models.features" in tree.code
    assert "digits.models.networks" not in tree.code
    assert "digits.models.features" not in cnn.code
    assert "digits.models.networks" in cnn.code
    assert "digits.cli" not in " ".join([*tree.code, *cnn.code])
    assert "tensorflow" in cnn.libraries
    assert "tensorflow" not in tree.libraries
    assert "scikit-learn" in tree.libraries


@pytest.mark.parametrize(
    ("module", "families"),
    [
        ("linear", {"logistic_regression", "sgd"}),
        ("trees", {"decision_tree", "random_forest", "extra_trees"}),
        ("boosting", {"gradient_boosting"}),
        ("neighbors", {"k_nearest_neighbors"}),
        ("svm", {"svm"}),
        ("mlp", {"mlp"}),
        ("networks", {"dense_network", "cnn", "rnn"}),
    ],
)
def test_an_edit_of_a_module_fits_its_own_families_again(module: str, families: set[str]) -> None:
    """Beside the ensembles that they are members of, whose fingerprints hold theirs."""
    counts = {
        name
        for name, family in FAMILIES.items()
        if family.section == "families" and f"digits.models.{module}" in fingerprint(family(), data="d", seed=0).code
    }
    assert counts == families


def test_half_an_edit_is_a_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Code that is changed, cannot be parsed or is gone is not the code that was counted; a comment is nothing."""
    module = tmp_path / "digits" / "thing.py"
    module.parent.mkdir()
    module.write_text("A = 1\n", encoding="utf-8")
    monkeypatch.setattr(code, "_PACKAGE", module.parent)
    monkeypatch.setattr(digits, "STARTED", module.stat().st_ctime_ns)
    code.code_digests(["digits.thing"])
    time.sleep(0.05)  # the clock of files ticks more slowly
    for text, changed in (("A = 1  # one\n", False), ("A = 2\n", True), ("A = (\n", True), ("A = '\0'\n", True)):
        module.write_text(text, encoding="utf-8")
        assert code.changed_code(["digits.thing"]) == ({"digits.thing"} if changed else set()), text
    module.unlink()
    assert code.changed_code(["digits.thing"])


def test_imports_are_followed() -> None:
    """What a module imports, directly or not, is reached, below the package asked for and no further."""
    found = reachable("digits.experiments.evaluation", below="digits.experiments")
    assert {"digits.experiments.metrics", "digits.experiments.statistics", "digits.experiments.plots"} <= found
    assert all(name.startswith("digits.experiments.") for name in found)
