"""Fixtures that every kind of test may use."""

from __future__ import annotations

import compileall
import gc
import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
import psutil
import pytest
import yaml
from numpy.typing import NDArray
from xdist.scheduler import LoadFileScheduling

from digits.data import idx
from digits.data.sources import MnistSource
from digits.experiments.tracking import Tracking
from digits.files import only_one
from digits.processes import name_of
from digits.project import Project
from digits.servers import MARK
from digits.settings import GARBAGE_THRESHOLD, ONE_THREAD, Settings
from digits.steps.memory import tracking
from tests import forked
from tests.versions import State, evaluated
from tests.web import WEB

ROOT = Path(__file__).parents[1]

# What runs beside other tests computes with one thread: more of them only wait for each other.
os.environ.update(ONE_THREAD)

# As in a command: looking for garbage among the libraries' millions of objects takes a second each time.
gc.set_threshold(GARBAGE_THRESHOLD)

# A test's connection to a store ends with each question: what other processes, or `kept`, do to the file is seen.
os.environ["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"


def pytest_configure(config: pytest.Config) -> None:
    """Compile the packages once: where Python is told to write no bytecode, each command of each test would do it."""
    if not hasattr(config, "workerinput"):
        for name in ("digits", "flows", "tasks"):
            compileall.compile_dir(ROOT / name, quiet=1)


#: What all processes of a session share: name → the code of a process that starts it, tells its number and where it is,
#: and waits for its end.
SHARED = {
    "prefect": """
import sys
from pathlib import Path
from digits.files import replaced_file
from flows.servers.private import private_server

with private_server(Path(sys.argv[1])) as server:
    server.wait_until_healthy()
    with replaced_file(Path(sys.argv[2])) as told:
        told.write_text(f"{server.process.pid} {server.url}")
    server.process.wait()
""",
    "forks": """
import os, signal, sys
from pathlib import Path
from digits.files import replaced_file
from tests import forked

address = forked.serve(home=Path(sys.argv[1]))
with replaced_file(Path(sys.argv[2])) as told:
    told.write_text(f"{os.getpid()} {address}")
signal.pause()
""",
}

#: File → the group of files that share what is dear to make, `_stocked` or `ran`: a group stays with one process, as
#: every other file does.
GROUPS = {
    **dict.fromkeys(("approval", "registry", "registry_later", "registry_stores"), "versions"),
    **dict.fromkeys(
        ("bench", "explain", "gc", "line", "mlflow_ui", "reference", "replay", "tune", "when_things_fail"), "runs"
    ),
}

#: What takes minutes, the longest first: begun last, it would run while the other processes have nothing.
LONG = ("two_doors", "runs", "versions", "kill", "servers", "team", "cluster")


class _Groups(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _group(Path(nodeid.partition("::")[0]))


def _group(file: Path) -> str:
    name = file.stem.removeprefix("test_")
    return GROUPS.get(name, name)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Groups:
    """Let groups of files stay together."""
    return _Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes minutes first."""
    items.sort(key=lambda item: LONG.index(group) if (group := _group(item.path)) in LONG else len(LONG))


@pytest.fixture(autouse=True)
def _no_server() -> Iterator[None]:
    """Forget the store, which MLflow keeps and leaves in the environment, also before the next module's fixtures."""
    _forget_store()
    yield
    _forget_store()


def _forget_store() -> None:
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of this checkout."""
    return ROOT


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Return the folder with the four files of MNIST, or skip."""
    folder = os.environ.get("DIGITS_MNIST_DIR")
    if not folder:
        pytest.skip("DIGITS_MNIST_DIR is not set")
    return Path(folder)


@dataclass(frozen=True)
class SmallMnist:
    """A dataset of 50 made images, published as MNIST is: four IDX files and a card with their MD5s."""

    card: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @property
    def params(self) -> MnistSource:
        """Section ``ingest`` for this dataset."""
        return MnistSource(path=self.card)

    def files(self) -> dict[str, bytes]:
        """Return the decompressed files, name → bytes: 30 training rows, then 20 test rows."""
        parts = {"train": slice(0, 30), "t10k": slice(30, 50)}
        kinds = {"images-idx3": self.images, "labels-idx1": self.labels}
        return {
            f"{part}-{kind}-ubyte": idx.encode(array[rows])
            for part, rows in parts.items()
            for kind, array in kinds.items()
        }

    def write(self, folder: Path, *, compress: bool = True) -> None:
        """Write the four files into a folder, as ``.gz`` or plain."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, payload in self.files().items():
            path = folder / (f"{name}.gz" if compress else name)
            path.write_bytes(gzip.compress(payload) if compress else payload)

    def write_card(self, *, mirrors: Sequence[str] = ()) -> None:
        """Write the card, with these mirrors."""
        files = {
            name: {"name": name, "md5": hashlib.md5(payload, usedforsecurity=False).hexdigest()}
            for name, payload in self.files().items()
        }
        parts = [
            {"n_samples": n, "images": files[f"{part}-images-idx3-ubyte"], "labels": files[f"{part}-labels-idx1-ubyte"]}
            for part, n in (("train", 30), ("t10k", 20))
        ]
        words = {"title": "Small", "homepage": "https://example.org", "licence": "CC0", "citation": "nobody"}
        content = {**words, "parts": parts, "mirrors": list(mirrors), "openml": {"name": "small", "version": 1}}
        self.card.mkdir(exist_ok=True)
        (self.card / "source.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def openml(self, *_: Any, **__: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the rows as OpenML gives them: floats in two dimensions, and labels that are text."""
        return self.images.reshape(50, 784).astype(np.float64), self.labels.astype(str).astype(object)


@pytest.fixture
def small_mnist(tmp_path: Path) -> SmallMnist:
    """Return 50 made images that are published as MNIST is."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    small = SmallMnist(card=tmp_path / "small-card", images=images, labels=np.arange(50, dtype=np.uint8) % 10)
    small.write_card()
    return small


SMALL = {
    "logistic_regression": {},
    "decision_tree": {"components": 10},
    "k_nearest_neighbors": {},
    "voting": {"members": ["logistic_regression", "k_nearest_neighbors"]},
}


#: Those of which `stocked` has versions: the second better than the first, the third as good, the last worse. All but
#: one read pixels, which takes no time: each promotion examines two.
FAMILIES: dict[str, Any] = {
    "decision_tree": {"components": 10},
    "logistic_regression": {"features": "pixels"},
    "sgd": {"features": "pixels"},
    "extra_trees": {"trees": 2, "features": "pixels"},
}

#: What a command may change in a checkout.
CHANGEABLE = ("params.yaml", "dvc.lock", "requirements.lock", "data", "mlflow", "reports", "digits")


@dataclass
class Checkout:
    """A copy of the project in which nothing has run yet, and an environment with an empty home."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    first: subprocess.CompletedProcess[str] | None = None
    server: Path | None = None

    @property
    def database(self) -> Path:
        """The file in which its runs and versions are recorded: that of the server in the folder `server`, if any."""
        return self.server / "server.db" if self.server else self.root / "mlflow" / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Folder of the files of its runs and versions."""
        return (self.server or self.root / "mlflow") / "artifacts"

    @property
    def project(self) -> Project:
        """The project, for what needs no process of its own."""
        return Project(root=self.root)

    def memory(self) -> Tracking:
        """Return the dataset digits's experiment in the local store."""
        return tracking(self.project, "digits", settings=Settings.load(self.root))

    def digits(self, *arguments: str, folder: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `digits` in the checkout, or in a folder of it, forked from loaded libraries."""
        return forked.run(
            arguments,
            code=self.root,
            folder=self.root / folder,
            environment={**self.environment, **environment},
            timeout=280,
        )

    def dvc(self, *arguments: str) -> str:
        """Run a command of DVC in the checkout, forked as by `digits`, and return what it prints; it has to succeed."""
        done = forked.run(
            arguments, code=self.root, folder=self.root, environment=self.environment, timeout=280, program="dvc"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *arguments: str, program: str = "digits", **environment: str) -> forked.Command:
        """Start a command in the checkout, forked as by `digits`, and return it while it runs."""
        given = {**self.environment, **environment}
        return forked.Command(arguments, code=self.root, environment=given, program=program)

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """Return the command line that calls `digits` with these arguments."""
        return [sys.executable, "-c", "from digits.cli import main; main()", *arguments]

    def evaluate(self, families: dict[str, Any]) -> None:
        """Fit and evaluate families: all in this process."""
        from digits.steps import candidates, evaluation

        self.families(families)
        memory = self.memory()
        fitted = [candidates.fit(self.project, "digits", name, memory=memory) for name in families]
        evaluation.evaluate(self.project, "digits", fitted=fitted, failed={}, memory=memory)

    def register(self, families: Iterable[str]) -> list[int]:
        """Register families that are evaluated, and return the numbers of their versions."""
        from digits.steps import registration

        memory = self.memory()
        each = [evaluated(self, name, memory=memory) for name in families]
        return [registration.register(self.project, "digits", memory=memory, evaluation=one).version for one in each]

    def params(self, dataset: str = "digits", **sections: dict[str, Any]) -> None:
        """Change sections of a dataset in params.yaml: the given keys, the others stay."""
        path = self.root / "params.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, values in sections.items():
            content["datasets"][dataset][name] |= values
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def pause(self, deployment: str) -> None:
        """Take a deployment's schedules away: a run of its own would be in the way of one that is asked for."""
        path = self.root / "prefect.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for schedule in {item["name"]: item for item in content["deployments"]}[deployment]["schedules"]:
            schedule["active"] = False
        path.write_text(yaml.safe_dump(content), encoding="utf-8")

    def families(self, families: dict[str, Any], dataset: str = "digits") -> None:
        """Change which families and ensembles are fitted, and with what."""
        sections: dict[str, Any] = {"families": {}, "ensembles": {}}
        for name, params in families.items():
            sections["ensembles" if "members" in params else "families"][name] = params
        self.params(dataset, fit=sections)


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this session share, for databases that hold nothing but their tables."""
    folder = tmp_path_factory.getbasetemp().parent / "tables"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def prefect_state(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a Prefect server, with a database whose tables are there: to make them takes 13 seconds."""
    folder = tmp_path_factory.mktemp("prefect")
    with only_one(tables / "prefect.lock"):
        if not (tables / "prefect.db").exists():
            environment = {**os.environ, "PREFECT_HOME": str(tables), "DO_NOT_TRACK": "1"}
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            subprocess.run(command, env=environment, check=True, capture_output=True)
    shutil.copy(tables / "prefect.db", folder)
    return folder


@pytest.fixture(scope="session")
def mlflow_store(tables: Path) -> Path:
    """Return the database of an MLflow store that holds nothing: to make its tables takes a second."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = tables / "mlflow.db"
    with only_one(tables / "mlflow.lock"):
        if not store.exists():
            made = store.with_suffix(".new")
            SqlAlchemyStore(f"sqlite:///{made}", str(tables / "artifacts"))
            made.rename(store)
    return store


@pytest.fixture(scope="session")
def prefect_url(prefect_state: Path, request: pytest.FixtureRequest) -> str:
    """Return the address of a real Prefect server, which all processes of this session share."""
    return _shared("prefect", prefect_state, config=request.config)


@pytest.fixture(scope="session")
def _forks(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> None:
    """Let commands be forked from the process that all of this session share."""
    forked.use(_shared("forks", tmp_path_factory.mktemp("home"), config=request.config))


def _shared(name: str, folder: Path, *, config: pytest.Config) -> str:
    """Start something of `SHARED` in a folder, unless it is there, and return where it is."""
    told = _session_folder(config) / name
    with only_one(told.with_suffix(".lock")):
        if not told.exists():
            command = [sys.executable, "-c", SHARED[name], str(folder), str(told)]
            with told.with_suffix(".log").open("w") as log:  # not this one's output, which whoever reads it waits for
                process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
            while not told.exists():
                assert process.poll() is None, told.with_suffix(".log").read_text(encoding="utf-8")
                time.sleep(0.1)
    return told.read_text(encoding="utf-8").split()[1]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what the processes of this session have shared."""
    if not hasattr(session.config, "workerinput"):
        for name in SHARED:
            if (told := _session_folder(session.config) / name).exists():
                os.kill(int(told.read_text(encoding="utf-8").split()[0]), signal.SIGTERM)


def _session_folder(config: pytest.Config) -> Path:
    """Return a folder of this session alone, common to all of its processes."""
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    return base.parent if hasattr(config, "workerinput") else base


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a PATH on which DVC's stages find a `python` that forks `python -m digits`."""
    folder = tmp_path_factory.mktemp("programs")
    with forked.on_path(folder):
        yield f"{folder}:{Path(sys.executable).parent}"


@pytest.fixture(scope="session")
def make_checkout(
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    prefect_url: str,
    mlflow_store: Path,
    programs: str,
    _forks: None,
) -> Callable[..., Checkout]:
    """Return a function that makes a checkout with a few fast families, with or without an empty MLflow store."""

    def make(families: dict[str, Any] | None = None, *, store: bool = True) -> Checkout:
        folder = tmp_path_factory.mktemp("checkout")
        for name in ("params.yaml", "dvc.yaml", "prefect.yaml", ".dvcignore", "requirements.lock"):
            shutil.copy(root / name, folder / name)
        shutil.copytree(root / "digits", folder / "digits")  # compiled as it is
        shutil.copytree(root / "data" / "sources", folder / "data" / "sources")
        if store:
            (folder / "mlflow").mkdir()
            shutil.copy(mlflow_store, folder / "mlflow/mlflow.db")
        (folder / ".dvc").mkdir()
        (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n", encoding="utf-8")
        home = tmp_path_factory.mktemp("home")
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "DIGITS_MNIST_DIR") if name in os.environ}
        environment = {
            **kept,
            "PATH": f"{programs}:{kept.get('PATH', '')}",
            "HOME": str(home),
            "PREFECT_API_URL": prefect_url,
            "PREFECT_HOME": str(home / ".prefect"),
            "DIGITS_WORKERS": "1",  # to start another one costs more than it wins where fits take no time
        }
        checkout = Checkout(root=folder, environment=environment)
        # A gate that these few families clear: what is tested is the line, not how good they are.
        gate = {"minimum_accuracy": 0.9, "minimum_recall": 0.8, "maximum_log_loss": 1.0, "minimum_robust_accuracy": {}}
        checkout.families(families or SMALL)
        folds = {"take": "folds", "folds": 2, "shuffle": False}  # less to fit each time
        checkout.params(promote=gate, evaluate={"corrupted_images": 20}, split={"validation": folds})
        return checkout

    return make


@pytest.fixture
def make_manager() -> Iterator[Callable[[Path], str]]:
    """Return a function that starts what is marked as the manager of the servers in a folder, and returns its name."""
    with ExitStack() as held:

        def start(folder: Path) -> str:
            environment = {**os.environ, MARK: str(folder.resolve())}
            process = held.enter_context(subprocess.Popen(["sleep", "600"], env=environment))
            held.callback(process.kill)
            while not psutil.Process(process.pid).environ():  # it is about to become `sleep`
                time.sleep(0.001)
            return name_of(process.pid)

        yield start


@pytest.fixture(scope="module")
def tracking_server(
    tmp_path_factory: pytest.TempPathFactory, mlflow_store: Path, _forks: None
) -> Iterator[Callable[..., tuple[str, forked.Command]]]:
    """Return a function that starts a real MLflow server on one port and one store, and returns its process."""
    from mlflow.server import constants as variables

    from flows.servers.ports import free_port

    port, made, started = free_port(), tmp_path_factory.mktemp("tracking"), list[forked.Command]()

    def start(folder: Path = made) -> tuple[str, forked.Command]:
        if not (folder / "server.db").exists():
            shutil.copy(mlflow_store, folder / "server.db")
        # What `mlflow server` calls, and the variables that it tells its options by.
        environment = {
            "PATH": os.environ["PATH"],
            variables.BACKEND_STORE_URI_ENV_VAR: f"sqlite:///{folder / 'server.db'}",
            variables.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            variables.ARTIFACTS_DESTINATION_ENV_VAR: str(folder / "artifacts"),
            variables.SERVE_ARTIFACTS_ENV_VAR: "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        process = forked.Command(
            ["mlflow.server.fastapi_app:app", "--port", str(port)],
            code=ROOT,
            folder=folder,
            environment=environment,
            program="uvicorn",
        )
        started.append(process)
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            with suppress(httpx.HTTPError):
                if WEB.get(f"{url}/health").status_code == 200:
                    return url, process
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        raise AssertionError("the MLflow server does not start")

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    """Return a fresh checkout."""
    return make_checkout()


@pytest.fixture(scope="session")
def ran(make_checkout: Callable[..., Checkout]) -> Checkout:
    """Return a checkout after its first run, with what the run printed; whoever changes it puts it right again."""
    checkout = make_checkout(store=False)
    checkout.first = checkout.digits("run", "digits", "--json")
    assert checkout.first.returncode == 0, checkout.first.stderr
    return checkout


@contextmanager
def keeping(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Put right again what the block changes in these files and folders of a folder; the first one copies them."""
    copies = folder.with_name(f"{folder.name}-copy")
    if not copies.exists():
        copies.mkdir()
        for name in names:
            if (source := folder / name).exists():
                (shutil.copytree if source.is_dir() else shutil.copy2)(source, copies / name)
    yield
    for copy in copies.iterdir():
        _restore(folder / copy.name, copy)


@pytest.fixture
def kept(ran: Checkout) -> Iterator[Checkout]:
    """Return the checkout that ran; what a test changes in it is put right again."""
    with keeping(ran.root, CHANGEABLE):
        yield ran


@pytest.fixture(scope="session")
def _stocked(make_checkout: Callable[..., Checkout]) -> Checkout:
    """Return a checkout whose registry holds what `stocked` says; no server and no process was needed for it."""
    from digits.steps import data

    _forget_store()
    checkout = make_checkout()
    # Any figures will do: what is tested is how a challenger is held against the champion.
    loose = {"minimum_accuracy": 0.5, "minimum_recall": 0.3, "maximum_log_loss": 10.0}
    checkout.params(
        promote={**loose, "maximum_calibration_error": 1.0, "cheaper_by": 1000}, evaluate={"corrupted_images": 5}
    )
    settings = Settings.load(checkout.root)
    data.ingest(checkout.project, "digits", settings=settings)
    data.validate(checkout.project, "digits")
    data.split(checkout.project, "digits")
    checkout.evaluate(FAMILIES)
    assert checkout.register(FAMILIES) == [1, 2, 3, 4]
    return checkout


@pytest.fixture
def stocked(_stocked: Checkout) -> Iterator[Checkout]:
    """Return a checkout with four versions; what a test changes in it is put right again.

    Version 1 is in production, 2 is better, 3 as good as 2, 4 worse than 1 and staged.
    """
    with keeping(_stocked.root, CHANGEABLE):
        yield _stocked


@pytest.fixture(scope="module")
def _stocked_server(_stocked: Checkout, tracking_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return the same checkout with the same versions on an MLflow server, which serves their files too."""
    folder = tmp_path_factory.mktemp("server")
    url, _ = tracking_server(folder)
    checkout = replace(_stocked, server=folder, environment={**_stocked.environment, "MLFLOW_TRACKING_URI": url})
    with patch.dict(os.environ, {"MLFLOW_TRACKING_URI": url}):
        assert checkout.register(FAMILIES) == [1, 2, 3, 4]
    return checkout


@pytest.fixture(params=["SQLite", "server"])
def stocked_either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """Return the four versions of `stocked` in the local store, then on an MLflow server.

    What a test does with them is put right again, what it does to files that were there before is not.
    """
    checkout = request.getfixturevalue("_stocked" if request.param == "SQLite" else "_stocked_server")
    if checkout.server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", checkout.environment["MLFLOW_TRACKING_URI"])
    before = State.of(checkout)
    yield checkout
    before.restore(checkout)


def _restore(target: Path, source: Path) -> None:
    """Make `target` what `source` is, each file in its place: connections to a database stay connected to it."""
    wanted, found = _written(source), _written(target)
    for name in sorted(found.keys() - wanted.keys(), reverse=True):  # what is in a folder before the folder
        (target / name).rmdir() if found[name] is None else (target / name).unlink()
    for name in sorted(wanted):
        if wanted[name] is None:
            (target / name).mkdir(exist_ok=True)
        elif found.get(name) != wanted[name]:
            shutil.copy2(source / name, target / name)


def _written(path: Path) -> dict[str, tuple[int, int] | None]:
    """Return each file there, or below, by its place: when it was written and its size, as a copy has; folders: None.

    For thousands of files, each of which is asked about once.
    """
    if not path.exists():
        return {}
    if not path.is_dir():
        return {"": (path.stat().st_mtime_ns, path.stat().st_size)}
    found: dict[str, tuple[int, int] | None] = {"": None}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(path / folder) as entries:
            for entry in entries:
                name, is_folder = f"{folder}{entry.name}", entry.is_dir()
                found[name] = None if is_folder else (entry.stat().st_mtime_ns, entry.stat().st_size)
                waiting += [f"{name}/"] if is_folder else []
    return found
