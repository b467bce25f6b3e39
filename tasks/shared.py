"""Where another machine finds what stages wrote: DVC's default remote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from digits.errors import MissingError
from tasks.stages import Stages, alone, named, with_stages

__all__ = ["Shared", "share"]


@dataclass(frozen=True)
class Shared:
    """Where another machine finds what stages wrote.

    Attributes
    ----------
    remote
        Name of DVC's remote.
    options
        Its address and options, without the secrets of ``.dvc/config.local``.
    outs
        Name of a stage → the digest by which DVC knows the folder that it wrote.
    """

    remote: str
    options: Mapping[str, str]
    outs: Mapping[str, str]


def share(root: Path, *, stages: Sequence[str] = ()) -> Shared:
    """Push what the steps of `stages` wrote to DVC's default remote, as far as it is missing there.

    Raises
    ------
    MissingError
        There is no default remote, or it cannot be written to.
    """

    def pushed(known: Stages) -> Shared:
        repo = next(iter(known.values())).repo
        if not (name := repo.config["core"].get("remote")):
            raise MissingError(
                "DVC has no default remote, from which the workers of the cluster take the images; "
                "run `dvc remote add --default NAME URL`"
            )
        found = {stage: named(known, stage).outs[0] for stage in stages}
        if found:
            for stage in found:
                known[stage].commit()  # whoever has cleared DVC's cache still has the files
            repo.push(targets=[f"{root / 'dvc.yaml'}:{stage}" for stage in stages])
        options = {**repo.config.load_one("repo")["remote"].get(name, {}), "url": repo.config["remote"][name]["url"]}
        return Shared(
            remote=name,
            options={key: str(value) for key, value in options.items()},
            outs={stage: out.hash_info.value for stage, out in found.items()},
        )

    with alone(root):
        return with_stages(root, pushed)
