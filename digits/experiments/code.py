"""The code and the libraries that a result depends on, read from the syntax trees of this package's modules.

Comments and docstrings do not count: they change no result.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from uuid import uuid4

import digits
from digits.errors import CodeChangedError

__all__ = ["changed_code", "code_digests", "ensure_unchanged", "library_versions", "reachable", "stale_libraries"]

_PACKAGE = Path(__file__).parents[1]

#: Held while garbage collection pauses for a syntax tree.
_parsing = Lock()

#: Import name → distribution, for the libraries that compute.
_LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "cv2": "opencv-python-headless",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "skops": "skops",
}


def code_digests(modules: Iterable[str]) -> dict[str, str]:
    """Return module → SHA-256 of its code, for modules of this package given by their full names.

    A file is read once: the code that runs is the one that was there at first. Of one that was written after this
    process had begun, nobody knows which code runs: its digest is nobody's, and `changed_code` names it.
    """
    return {module: _code_digest(module) for module in sorted(modules)}


def changed_code(modules: Iterable[str]) -> set[str]:
    """Return those of `modules` whose code is no longer what this process runs; half an edit is a change."""
    return {module for module in set(modules) if _has_changed(module)}


def ensure_unchanged(modules: Iterable[str]) -> None:
    """Raise `CodeChangedError` unless the code of `modules` is what this process runs."""
    if changed := changed_code(modules):
        raise CodeChangedError(f"{', '.join(sorted(changed))} was changed after this process had begun; run again")


def _has_changed(module: str) -> bool:
    try:
        if _source(module) is not None and not _is_new(module):
            return False  # most are asked about many times, and not written meanwhile
        return _digest(module) != _code_digest(module)
    except (SyntaxError, ValueError, OSError):
        return True


def library_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return distribution → version of the numerical libraries that `modules` import, and Python's."""
    imported = {name for module in modules for name in _imports(module) if name in _LIBRARIES}
    if "sklearn" in imported:
        imported.add("scipy")  # whose optimisers and distances scikit-learn's fits are made of
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{_LIBRARIES[name]: version(_LIBRARIES[name]) for name in sorted(imported)},
    }


def stale_libraries(libraries: Mapping[str, str]) -> list[str]:
    """Return those distributions of which this process has loaded another version than `libraries` names."""
    loaded = {distribution: sys.modules.get(name) for name, distribution in _LIBRARIES.items()}
    return [
        name
        for name, wanted in libraries.items()
        if (module := loaded.get(name)) is not None and not f"{wanted}.".startswith(f"{module.__version__}.")
    ]


def reachable(module: str, *, below: str) -> frozenset[str]:
    """Return `module` and every module below the package `below` that it imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current not in found and current.startswith(f"{below}."):
            found.add(current)
            waiting += _imports(current)
    return frozenset(found)


@cache
def _imports(module: str) -> frozenset[str]:
    """Return what `module` imports: full names inside this package, top-level names outside it."""
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    inside = {name for name in names if name.startswith("digits.") and _source(name) is not None}
    outside = {name.partition(".")[0] for name in names} - {"digits"}
    return frozenset(inside | outside)


@cache
def _code_digest(module: str) -> str:
    """Return the digest of the module as this process runs it."""
    if _is_new(module):
        return hashlib.sha256(f"written after this process began: {uuid4()}".encode()).hexdigest()
    return _digest(module)


def _is_new(module: str) -> bool:
    """Return whether the module's file was written after this process had begun."""
    source = _source(module)
    # Not the time of its content, which an editor or git may set: that of its last change on this disk.
    return source is not None and source.stat().st_ctime_ns > digits.STARTED


def _digest(module: str) -> str:
    """Return the SHA-256 of the module's syntax tree, without comments, docstrings and positions."""
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _tree(module: str) -> ast.Module:
    source = _source(module)
    if source is None:
        return ast.Module(body=[], type_ignores=[])
    text = source.read_text(encoding="utf-8")
    with _parsing, _without_collection():
        return ast.parse(text)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Collect no garbage in the block.

    In Python 3.11 a syntax tree cannot be made while another one is: `SystemError`, "AST constructor recursion depth
    mismatch". What cleans up may make one, as whatever prints a traceback does, or let another thread run that does.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _source(module: str) -> Path | None:
    """Return the file of a module of this package, or None when there is none of that name."""
    base = _PACKAGE.parent.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None
