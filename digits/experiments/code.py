"""The code that a result depends on, read from the syntax trees of this package's modules.

Comments and docstrings do not count: they change no result.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from uuid import uuid4

import digits
from digits.errors import CodeChangedError, MissingError

__all__ = ["changed_code", "code_digests", "ensure_unchanged", "libraries_of", "reachable", "source_of"]

_PACKAGE = Path(__file__).parents[1]

#: Where a node of a syntax tree holds statements, or what holds them; and what a docstring stands in.
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)

#: Held while garbage collection pauses for a syntax tree.
_parsing = Lock()


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


def libraries_of(modules: Iterable[str]) -> set[str]:
    """Return the top-level names of what `modules` import that is neither of this project nor of Python."""
    names = {name for module in modules for name in _imports(module)}
    return {name for name in names if "." not in name} - sys.stdlib_module_names


def reachable(module: str, *, below: str | tuple[str, ...]) -> frozenset[str]:
    """Return `module` and every module below the package `below`, or several, that it imports, directly or not."""
    packages = tuple(f"{package}." for package in ((below,) if isinstance(below, str) else below))
    found: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current not in found and current.startswith(packages):
            found.add(current)
            waiting += _imports(current)
    return frozenset(found)


def source_of(module: str) -> Path:
    """Return the file of a module of this package.

    Raises
    ------
    MissingError
        There is none of that name.
    """
    if (source := _source(module)) is None:
        raise MissingError(f"there is no module {module}")
    return source


@cache
def _imports(module: str) -> frozenset[str]:
    """Return what `module` imports: full names inside this package, top-level names outside it."""
    names: set[str] = set()
    for node in _statements(_tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module)
            names.add(origin)
            if _is_package(origin):  # what is taken from a module is none itself
                names |= {f"{origin}.{alias.name}" for alias in node.names}
    inside = {name for name in names if name.startswith("digits.") and _source(name) is not None}
    outside = {name.partition(".")[0] for name in names} - {"digits"}
    return frozenset(inside | outside)


def _origin(node: ast.ImportFrom, module: str) -> str:
    """Return the full name of what an import in `module` takes its names from."""
    if not node.level:
        return str(node.module)
    inside = module.split(".") + (["__init__"] if _is_package(module) else [])
    return ".".join([*inside[: -node.level], *([node.module] if node.module else [])])


def _is_package(module: str) -> bool:
    """Return whether `module` is a package of ours."""
    source = _source(module) if module.partition(".")[0] == "digits" else None
    return source is not None and source.name == "__init__.py"


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
    for node in (tree, *_statements(tree)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements below a node, however deep; no expression holds one."""
    for name in _BODIES:
        for child in getattr(node, name, ()):
            yield child
            yield from _statements(child)


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
