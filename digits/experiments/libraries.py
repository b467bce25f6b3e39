"""The libraries that a result depends on: which versions are installed, loaded, and wanted by the lock."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from digits.experiments.code import libraries_of

__all__ = ["library_versions", "stale_libraries", "unlocked_libraries"]

#: Import name → distribution, where they differ.
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "cv2": "opencv-python-headless"}

#: What checks, limits or draws, and computes nothing that is remembered.
_NOT_COMPUTING = frozenset({"matplotlib", "pydantic", "threadpoolctl"})


def library_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return distribution → version of the libraries that `modules` compute with, and Python's; sorted but for it."""
    imported = libraries_of(modules) - _NOT_COMPUTING
    if "sklearn" in imported:
        imported.add("scipy")  # whose optimisers and distances scikit-learn's fits are made of
    found = dict(_installed(name) for name in sorted(imported))
    return {"python": ".".join(platform.python_version_tuple()[:2]), **found}


def stale_libraries(libraries: Mapping[str, str]) -> list[str]:
    """Return those distributions of which this process has loaded another version than `libraries` names."""
    imports = {distribution: name for name, distribution in _DISTRIBUTIONS.items()}
    return [
        name
        for name, wanted in libraries.items()
        if (loaded := getattr(sys.modules.get(imports.get(name, name)), "__version__", None)) is not None
        and not f"{wanted}.".startswith(f"{loaded}.")
    ]


def unlocked_libraries(libraries: Mapping[str, str], *, lock: Path) -> list[str]:
    """Return those distributions of which the lock, a requirements file, names another version than `libraries`."""
    lines = [line.partition("\\")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines()]
    pinned = [Requirement(line) for line in lines if "==" in line and not line.startswith(("#", "-"))]
    pins = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in pinned
        if pin.marker is None or pin.marker.evaluate()
    }
    return [name for name, found in libraries.items() if pins.get(canonicalize_name(name), found) != found]


def _installed(name: str) -> tuple[str, str]:
    """Return the distribution that an import comes from, and its version."""
    distribution = _DISTRIBUTIONS.get(name, name)
    try:
        return distribution, version(distribution)
    except PackageNotFoundError:
        others = packages_distributions().get(name, [])
        return (others[0], version(others[0])) if others else (name, "not installed")
