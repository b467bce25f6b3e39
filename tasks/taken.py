"""Snapshots and splits on a machine that shares no disk with the flow: taken from DVC's remote by digest, and kept."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from dvc.exceptions import CheckoutError, DvcException
from dvc.repo import Repo

from digits.data.split import Split
from digits.errors import MissingError
from digits.files import only_one
from tasks.shared import Shared

__all__ = ["taken"]

#: Verbs of the stages, and the folders of the cache in which what they gave is kept.
_KEPT = {"ingest": "snapshots", "split": "splits"}


def taken(rows: Split, *, shared: Shared, cache: Path) -> tuple[Path, Path]:
    """Return the folders of a split's snapshot and of the split on this machine.

    What is not there is taken from DVC's remote, once for all who ask at the same time, and held against its digest.

    Parameters
    ----------
    rows
        The split as the flow knows it; its folders are the flow's.
    shared
        Where the flow has put both.
    cache
        Folder in which they are kept under their digests.

    Raises
    ------
    MissingError
        The remote cannot be read, or what it holds is not what the flow has put there.
    """
    digests = {"ingest": rows.snapshot.digest, "split": rows.digest}
    places = {verb: cache.resolve() / folder / digests[verb] for verb, folder in _KEPT.items()}
    with only_one(cache.resolve() / "lock"):
        missing = [verb for verb, place in places.items() if not place.exists()]
        if missing:
            with TemporaryDirectory(prefix=".taking.", dir=cache.resolve()) as work:
                _pull(Path(work), verbs=missing, dataset=rows.snapshot.dataset, shared=shared)
                for verb in missing:
                    places[verb].parent.mkdir(exist_ok=True)
                    (Path(work) / verb).rename(places[verb])
    return places["ingest"], places["split"]


def _pull(work: Path, *, verbs: list[str], dataset: str, shared: Shared) -> None:
    """Pull what the stages of `verbs` gave into folders of these names in `work`; DVC verifies every file."""
    for name in ("dvc", "dvc_data", "dvc_objects"):  # its progress bars follow them; what goes wrong is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with Repo.init(str(work), no_scm=True) as repo, repo.config.edit() as config:
            config["core"] |= {"remote": shared.remote, "analytics": False}
            config["cache"] = {"type": "hardlink,copy"}  # the cache goes, the files stay
            config["remote"] = {shared.remote: {**shared.options, "verify": True}}
        for verb in verbs:
            out = {"md5": shared.outs[f"{verb}@{dataset}"], "hash": "md5", "path": verb}
            (work / f"{verb}.dvc").write_text(yaml.safe_dump({"outs": [out]}), encoding="utf-8")
        with Repo(str(work)) as repo:
            repo.pull()
    except (DvcException, OSError) as error:
        lacking = isinstance(error, CheckoutError)
        reason = "it lacks files, or they are damaged" if lacking else " ".join(str(error).split())
        raise MissingError(
            f"{dataset} cannot be taken from DVC's remote {shared.options['url']} ({reason}); can this machine read it?"
        ) from error
