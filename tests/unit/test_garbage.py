"""Which runs of an experiment nothing refers to."""

from __future__ import annotations

from mlflow.entities import Run, RunData, RunInfo, RunTag  # noqa: TID253 - real runs

from digits.experiments.garbage import unreferenced


def _run(name: str, *, at: int, status: str = "FINISHED", system: str = "", **tags: str) -> Run:
    times = {"start_time": at, "end_time": at}
    info = RunInfo(
        run_id=name,
        experiment_id="1",
        user_id="",
        status=status,
        lifecycle_stage="active",
        run_name=system or name,
        **times,
    )
    return Run(info, RunData(tags=[RunTag(key.replace("__", "."), value) for key, value in tags.items()]))


def _pipeline(name: str, *, at: int, evaluated: str = "", status: str = "FINISHED") -> Run:
    return _run(name, at=at, status=status, kind="pipeline", evaluated=evaluated)


def _fit(name: str, *, at: int = 0, parent: str = "", members: str = "", status: str = "FINISHED") -> Run:
    tags = {"kind": "candidate", "fingerprint": f"print-{name}", "members": members}
    return _run(name, at=at, status=status, **tags, **({"mlflow__parentRunId": parent} if parent else {}))


def _gone(
    runs: list[Run], *, newest: int = 1, fingerprints: set[str] | None = None, run_ids: set[str] | None = None
) -> list[str]:
    found = unreferenced(runs, fingerprints=fingerprints or set(), run_ids=run_ids or set(), newest=newest)
    return [run.info.run_id for run in found]


def test_old_pipelines_go_with_their_fits() -> None:
    """The newest pipeline run stays, with the fits that it made; failed ones are no exception."""
    runs = [_pipeline("new", at=3), _pipeline("old", at=1), _fit("a", parent="new"), _fit("b", parent="old")]
    assert _gone([*runs, _fit("c", parent="old", status="FAILED")]) == ["old", "b", "c"]


def test_what_a_recent_pipeline_evaluated_stays() -> None:
    """A fit of an old pipeline run that the newest one reused is referred to."""
    runs = [_pipeline("old", at=1), _fit("a", parent="old"), _pipeline("new", at=2, evaluated="a")]
    assert _gone(runs) == ["old"]


def test_what_was_done_since_stays() -> None:
    """A fit without a pipeline run stays while one that began before it does; with too few of these, all do."""
    alone = [_fit("before", at=1), _fit("since", at=3)]
    assert _gone([_pipeline("new", at=2), *alone]) == ["before"]
    assert _gone(alone) == []


def test_what_is_in_use_stays() -> None:
    """Fits of today's params, sources of versions, and what is running."""
    runs = [_fit("today"), _fit("version"), _fit("running", status="RUNNING"), _fit("else")]
    assert _gone(runs, newest=0, fingerprints={"print-today"}, run_ids={"version"}) == ["else"]


def test_members_of_an_ensemble_that_stays_stay() -> None:
    """And those of one that goes, go."""
    runs = [
        _fit("kept", members="print-a print-b"),
        _fit("a"),
        _fit("b"),
        _fit("lost", members="print-c"),
        _fit("c"),
    ]
    assert _gone(runs, newest=0, run_ids={"kept"}) == ["lost", "c"]


def test_of_each_reference_system_the_newest_stay() -> None:
    """A system that was done again often loses its old runs; another one none."""
    runs = [_run(f"lenet-{at}", at=at, system="lenet", kind="reference") for at in (1, 3, 2)]
    assert _gone([*runs, _run("svc", at=0, system="svc", kind="reference")], newest=2) == ["lenet-1"]


def test_the_runs_of_others_stay() -> None:
    """A run that somebody logged into the experiment by hand is not this project's to remove."""
    assert _gone([_run("notebook", at=0), _run("other", at=0, kind="search")]) == []
