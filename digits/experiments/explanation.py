"""Why a family is fitted again: what of its fingerprint has changed since the last fit that is known.

Compares; it knows neither where fits are remembered nor where they lie.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from digits.experiments.fingerprint import Fingerprint

__all__ = ["Change", "Component", "Explanation", "changes_between"]

Component = Literal["data", "params", "seed", "code", "library", "members", "artifact", "fit"]

_SHORT = 12


@dataclass(frozen=True)
class Change:
    """One reason to fit a family again.

    Attributes
    ----------
    component
        What has changed: a component of the fingerprint; ``artifact`` where the fit is known but what it gave is not
        there any more; ``fit`` where no fit is known.
    detail
        What exactly, in a few words.
    """

    component: Component
    detail: str


@dataclass(frozen=True)
class Explanation:
    """What a run does with a family, and why.

    Attributes
    ----------
    family
        Name of the family or the ensemble.
    changes
        The reasons to fit it; none when its last fit is reused.
    """

    family: str
    changes: Sequence[Change] = ()

    @property
    def action(self) -> Literal["reuse", "train"]:
        """What a run does: reuse the fit that is remembered, or train."""
        return "train" if self.changes else "reuse"


def changes_between(before: Fingerprint, after: Fingerprint) -> list[Change]:
    """Return what differs between two fingerprints of a family; nothing if and only if their digests are the same.

    Parameters
    ----------
    before
        That of the last fit.
    after
        That of a fit today.
    """
    changes = []
    if before.data != after.data:
        changes.append(Change("data", f"split {before.data[:_SHORT]} -> {after.data[:_SHORT]}"))
    changes += [
        Change("params", f"{name}: {_changed(old, new)}") for name, old, new in _differing(before.params, after.params)
    ]
    if before.seed != after.seed:
        changes.append(Change("seed", f"{before.seed} -> {after.seed}"))
    changes += [
        Change("code", f"{name.replace('.', '/')}.py {_happened(old, new)}")
        for name, old, new in _differing(before.code, after.code)
    ]
    changes += [
        Change("library", f"{name} {_changed(old, new)}")
        for name, old, new in _differing(before.libraries, after.libraries)
    ]
    changes += [
        Change("members", f"{name} {_happened(old, new)}")
        for name, old, new in _differing(before.members, after.members)
    ]
    return changes


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str | None, str | None]]:
    """Return name, old and new value of what differs, in the order of the names; None stands for one that is absent.

    Values are compared as the fingerprint's digest sees them: as JSON.
    """
    old, new = (
        {name: json.dumps(value, sort_keys=True) for name, value in values.items()} for values in (before, after)
    )
    names = sorted(set(old) | set(new))
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def _changed(old: str | None, new: str | None) -> str:
    if old is None:
        return f"added, {_bare(new)}"
    return f"gone, was {_bare(old)}" if new is None else f"{_bare(old)} -> {_bare(new)}"


def _happened(old: str | None, new: str | None) -> str:
    if old is None:
        return "added"
    return "gone" if new is None else "changed"


def _bare(value: str | None) -> str:
    """Return JSON without the quotes around text."""
    return str(value).strip('"')
