"""The fingerprint of a candidate: everything that its bits depend on, and nothing else.

Two fits with the same fingerprint give the same candidate, so the second need not happen. The code that counts is
the family's module, what it imports from ``digits.models``, directly or not, and what every fit goes through; comments
and docstrings do not count. The libraries that count are the numerical ones which that code imports.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from digits.experiments.code import code_digests, reachable
from digits.experiments.libraries import library_versions
from digits.models.family import Family

__all__ = ["Fingerprint", "fingerprint"]

#: The code that every fit goes through, whatever its family.
_COMMON = (
    "digits.data.snapshot",
    "digits.data.split",
    "digits.experiments.fitting",
    "digits.experiments.metrics",
    "digits.experiments.probabilities",
    "digits.models.artifact",
)


@dataclass(frozen=True)
class Fingerprint:
    """The components of a fingerprint, kept beside the candidate so that a change can be explained.

    Attributes
    ----------
    data
        Digest of the split, and through it of the snapshot.
    family
        Name of the family.
    params
        Its hyper-parameters.
    seed
        The seed of the fit.
    code
        Module → SHA-256 of its code without comments and docstrings.
    libraries
        Distribution → version, and Python's.
    members
        For an ensemble: family → fingerprint of the member.
    """

    data: str
    family: str
    params: Mapping[str, Any]
    seed: int
    code: Mapping[str, str]
    libraries: Mapping[str, str]
    members: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over all components, 64 hexadecimal digits."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def fingerprint(family: Family, *, data: str, seed: int, members: Mapping[str, str] | None = None) -> Fingerprint:
    """Return the fingerprint of a candidate before it is fitted.

    Parameters
    ----------
    family
        The family with its hyper-parameters.
    data
        Digest of the split.
    seed
        The seed of the fit.
    members
        For an ensemble: family → fingerprint of each member.
    """
    modules = reachable(type(family).__module__, below=("digits.data", "digits.models")) | set(_COMMON)
    return Fingerprint(
        data=data,
        family=family.name,
        params=family.model_dump(mode="json"),
        seed=seed,
        code=code_digests(modules),
        libraries=library_versions(modules),
        members=dict(members or {}),
    )
