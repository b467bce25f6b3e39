"""What goes wrong costs as little as it can: one family, one try, one line."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import socket
import socketserver
import sqlite3
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mlflow  # noqa: TID253 - these tests need it
import prefect
import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from digits.errors import ParamsError, ServerError
from digits.experiments.conditions import n_conditions
from digits.experiments.tags import KIND_CANDIDATE, KIND_PIPELINE, TAG_KIND, TAG_PARENT, TAG_PROCESS
from digits.files import only_one
from digits.project import Project
from digits.servers import LocalServers
from digits.settings import SERVERS, Settings
from digits.steps.candidates import fit
from digits.steps.memory import tracking
from flows.dead_pipelines import FLOW_RUN, end_dead_pipelines
from flows.servers.private import Server, prefect_server, private_server
from tests.web import WEB


def test_one_familys_failure_costs_that_family(checkout: Any) -> None:
    """A family that cannot be fitted is shown with its reason, and its ensemble; the others are registered."""
    families = {
        "decision_tree": {"components": 10},
        "k_nearest_neighbors": {"neighbors": 5000},
        "voting": {"members": ["decision_tree", "k_nearest_neighbors"]},
    }
    checkout.families(families)
    checkout.params(promote={"minimum_accuracy": 0.999})
    done = checkout.digits("run", "digits")
    assert done.returncode == 0, done.stderr
    assert "k_nearest_neighbors" in done.stdout
    assert "5000" in done.stdout
    assert "digits-classifier version 1 @staging: decision_tree" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    refused = checkout.digits("predict", "digits", "any.png")
    assert refused.returncode == 1
    assert "no production version" in refused.stderr


#: Appended to the code of a checkout: what four classifiers of scikit-learn say of that many images is broken.
BROKEN = """
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier


def _break(classifier, when, how):
    whole = classifier.predict_proba

    def predict_proba(self, X):
        proba = whole(self, X)
        return how(proba) if when(len(proba)) else proba

    classifier.predict_proba = predict_proba


_break(KNeighborsClassifier, lambda count: count > 1000, lambda proba: proba[:-1])
_break(DecisionTreeClassifier, lambda count: count > 1000, lambda proba: proba * float("nan"))
_break(SGDClassifier, lambda count: count > 1000, lambda proba: 7 * proba)
_break(HistGradientBoostingClassifier, lambda count: count == 500, lambda proba: proba[:1])
"""


def test_probabilities_that_are_none_cost_that_family(checkout: Any) -> None:
    """Wrong rows, NaN and sums of 7, in a fit or for harmed images, are named; the others are registered."""
    names = ("logistic_regression", "k_nearest_neighbors", "decision_tree", "sgd")
    boosting = {"rounds": 2, "components": 10}
    voting = {"members": ["logistic_regression", "gradient_boosting"]}
    checkout.families({**{name: {} for name in names}, "gradient_boosting": boosting, "voting": voting})
    checkout.params(evaluate={"corrupted_images": 50})
    code = checkout.root / "digits/models/feature_family.py"
    code.write_text(code.read_text(encoding="utf-8") + BROKEN, encoding="utf-8")
    done = checkout.digits("run", "digits", "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert [row["family"] for row in json.loads(done.stdout)] == ["logistic_regression"]
    failed = json.loads((checkout.root / "data/evaluations/digits/evaluation.json").read_text(encoding="utf-8"))[
        "failed"
    ]
    n_harmed = 50 * n_conditions()
    assert f"shape ({n_harmed - 1}, 10), wanted ({n_harmed}, 10)" in failed.pop("k_nearest_neighbors")
    assert "not finite" in failed.pop("decision_tree")
    assert "sum to 7, wanted 1" in failed.pop("sgd")
    assert "shape (1, 10), wanted (500, 10)" in failed.pop("gradient_boosting")
    assert failed.pop("voting").startswith("its member gradient_boosting is not fitted")
    assert not failed


def test_a_violated_contract_ends_the_run(checkout: Any, prefect_url: str) -> None:
    """The rule is named in one line, the exit code is not zero, Prefect shows the run as failed, nothing is fitted."""
    checkout.params(validate={"rows": [5000, 6000]})
    began = datetime.now(tz=UTC).isoformat()
    done = checkout.digits("run", "digits")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "row-count" in next(line for line in done.stderr.splitlines() if line.startswith("digits: "))
    assert not (checkout.root / "data" / "candidates").exists()
    query = {"flow_runs": {"start_time": {"after_": began}, "state": {"type": {"any_": ["FAILED"]}}}}
    failed = WEB.post(f"{prefect_url}/flow_runs/filter", json=query).raise_for_status().json()
    assert sum("row-count" in run["state"]["message"] for run in failed) == 1


@contextmanager
def _something_else() -> Iterator[int]:
    """Yield a port at which something answers that does not speak HTTP."""

    class Greeting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"220 mail.example.org ready\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def _without_database() -> Iterator[str]:
    """Yield the address of what answers as a Prefect server whose database is not there: it is healthy, no more."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"/api/health": "true", "/api/admin/version": f'"{prefect.__version__}"'}
            body = known.get(self.path, '{"exception_message": "Internal Server Error"}').encode()
            self.send_response(200 if self.path in known else 500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_an_unreachable_server_is_one_line(checkout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Prefect or MLflow address where nobody answers is named, with what to do; so is what is not there yet."""
    with _something_else() as port:
        for url in ("http://127.0.0.1:9/api", "http://localhost:abc/api", f"http://127.0.0.1:{port}/api"):
            with pytest.raises(ServerError, match=f"no Prefect server answers at {url}"):
                Server(url=url).wait_until_healthy(seconds=1)
    done = checkout.digits("run", "digits", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no Prefect server answers at http://127.0.0.1:9/api" in done.stderr
    with _without_database() as url:
        done = checkout.digits("deploy", PREFECT_API_URL=url)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "does not do as asked (GET /api/work_pools/digits: 500 Internal Server Error)" in done.stderr
    done = checkout.digits("predict", "digits", "any.png", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "MLFLOW_TRACKING_URI" in done.stderr
    project = Project(root=checkout.root)
    memory = tracking(project, "digits", settings=Settings.load(checkout.root))
    with pytest.raises(ParamsError, match="no family 'perceptron' in digits's params"):
        fit(project, "digits", "perceptron", memory=memory)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://")
    with pytest.raises(ServerError, match="MLFLOW_TRACKING_URI"):
        tracking(project, "digits", settings=Settings.load(checkout.root))
    done = checkout.digits("leaderboard", "digits")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "run `digits run digits`" in done.stderr


@contextmanager
def _cut_at(said: bytes, url: str) -> Iterator[str]:
    """Yield another address of a server, at which nobody answers any more once somebody says these bytes there."""
    host, _, port = url.removeprefix("http://").removesuffix("/api").partition(":")
    ends: list[socket.socket] = []
    cut = threading.Event()

    def pass_on(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and not cut.is_set():
                if said in data:
                    cut.set()
                    door.close()
                    break
                to.sendall(data)
        for end in ends if cut.is_set() else (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                near = door.accept()[0]
                far = socket.create_connection((host, int(port)))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}/api"
    for end in ends:
        end.close()


def test_a_prefect_server_that_goes_away_at_the_end_of_a_run_is_one_line(kept: Any, prefect_url: str) -> None:
    """The run's work is done: its leaderboard is printed all the same, and the line says what was lost."""
    with _cut_at(b'"COMPLETED"', prefect_url) as url:
        done = kept.digits("run", "digits", "--json", PREFECT_API_URL=url, PREFECT_CLIENT_MAX_RETRIES="0")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    address, line = url.removesuffix("/api"), done.stderr.splitlines()[-1]
    assert line.startswith(f"digits: the Prefect server at {address} does not do as asked (POST /api/flow_runs/")
    assert [row["family"] for row in json.loads(done.stdout)] == [
        row["family"] for row in json.loads(kept.first.stdout)
    ]


def test_a_misspelt_dataset_waits_for_nobody(checkout: Any) -> None:
    """`run` says that there is no such dataset at once: while another run holds the lock, and without a server."""
    with only_one(checkout.root / ".state/run.lock"):
        done = checkout.digits("run", "typo", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert (done.returncode, done.stderr) == (1, "digits: no dataset 'typo' in params.yaml; it has digits, mnist\n")


def test_a_fit_has_its_time_limit_as_a_command(kept: Any) -> None:
    """`digits fit`, and through it `dvc repro`, gives up what takes longer than DIGITS_FIT_MINUTES, in one line."""
    kept.families({"mlp": {"epochs": 10_000}})
    done = kept.digits("fit", "digits", "mlp", DIGITS_FIT_MINUTES="0.05")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "digits: took longer than 0.05 min; raise DIGITS_FIT_MINUTES",
    )
    assert _running(kept.memory().client) == []


#: How somebody leaves → what is fitted then, longer than anybody waits: networks once, which bring a library of theirs.
LONG: dict[str, dict[str, Any]] = {
    "an interrupt": {name: {"epochs": 1000} for name in ("mlp", "dense_network", "cnn", "rnn")},
    "a terminal that is closed": {
        **{name: {"trees": 2000} for name in ("random_forest", "extra_trees")},
        "gradient_boosting": {"rounds": 10_000},
        "mlp": {"epochs": 10_000},
    },
}


@pytest.mark.parametrize("how", LONG)
def test_whoever_leaves_leaves_nothing_behind(make_checkout: Any, prefect_state: Path, how: str) -> None:
    """While families are fitted and others wait, either ends the run at once, with its workers and its server."""
    checkout = make_checkout(LONG[how])
    _give_tables(checkout.root / ".state/prefect", prefect_state)
    environment = {name: value for name, value in checkout.environment.items() if name != "PREFECT_API_URL"}
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        checkout.command("run", "digits"),
        cwd=checkout.root,
        env={**environment, "DIGITS_WORKERS": "2", "TERM": "xterm"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the terminal it will lose
    )
    os.close(follower)
    screen = _Screen(leader)
    try:
        _await(process, lambda: "split    digits" in screen.text)
        client = mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow/mlflow.db'}")
        _await(process, lambda: len(_running(client)) == 3)  # the pipeline's, and two families'
        time.sleep(2)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 3
        start = time.monotonic()
        if how == "an interrupt":
            process.send_signal(signal.SIGINT)
        else:
            screen.close()
        # 120: Python's own, where there is no terminal left to flush to.
        assert process.wait(timeout=60) == (130 if how == "an interrupt" else 120), screen.text
        assert time.monotonic() - start < 20
    finally:
        process.kill()
    if how == "an interrupt":
        assert "interrupted" in screen.text
        assert "Traceback" not in screen.text
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert _running(client) == []
    assert client.search_model_versions("name = 'digits-classifier'") == []


def test_a_run_whose_container_is_gone_is_ended_once_prefect_knows(checkout: Any, prefect_url: str) -> None:
    """Nobody can look at a process on another host; that its flow has crashed there, Prefect is told by its worker."""
    memory, elsewhere = checkout.memory(), {TAG_PROCESS: "elsewhere/1/1.00"}
    flow = WEB.post(f"{prefect_url}/flows/", json={"name": "train"}).json()["id"]
    runs = {}
    for state in ("CRASHED", "RUNNING"):
        body = {"flow_id": flow, "state": {"type": state}}
        number = WEB.post(f"{prefect_url}/flow_runs/", json=body).raise_for_status().json()["id"]
        tags = {TAG_KIND: KIND_PIPELINE, FLOW_RUN: number}
        runs[state] = memory.client.create_run(memory.experiment_id, tags={**tags, **elsewhere}).info.run_id
    fit = {TAG_KIND: KIND_CANDIDATE, TAG_PARENT: runs["CRASHED"], **elsewhere}
    runs["fit"] = memory.client.create_run(memory.experiment_id, tags=fit).info.run_id
    assert memory.reconcile() == []
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        assert end_dead_pipelines(memory) == [runs["CRASHED"], runs["fit"]]
    assert memory.client.get_run(runs["fit"]).info.status == "KILLED"
    assert memory.client.get_run(runs["RUNNING"]).info.status == "RUNNING"


def test_whoever_waits_for_a_private_server_takes_the_servers_that_came_up(
    checkout: Any, prefect_url: str, make_manager: Callable[[Path], str]
) -> None:
    """A command that was typed while `digits up` was at work, or after it was killed there, starts no second server."""
    folder = checkout.root / SERVERS
    up = LocalServers(make_manager(folder), prefect_api_url=prefect_url, mlflow_tracking_uri=None)
    up.write(folder)
    project, settings = checkout.project, Settings.load(checkout.root)
    assert settings.prefect_api_url is None
    found: list[str] = []

    def ask() -> None:
        with prefect_server(project, settings=settings) as server:
            found.append(server.url)

    with patch.dict(os.environ), ThreadPoolExecutor(1) as threads:
        with pytest.raises(ServerError, match="was ended before its servers were healthy"):
            ask()
        with only_one(project.prefect_lock):
            waiting = threads.submit(ask)
            time.sleep(0.5)
            replace(up, ready=True).write(folder)
            assert not waiting.done()
        waiting.result(30)
    assert found == [prefect_url]


def test_a_private_server_ends_with_the_next_one(root: Path, tmp_path: Path) -> None:
    """The server of a run that was killed is ended before another one starts in its folder, with its own database."""
    code = (
        "import time; from pathlib import Path; from flows.servers.private import private_server\n"
        f"with private_server(Path({str(tmp_path)!r})): time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    children = psutil.Process(process.pid).children
    _await(process, lambda: any("prefect" in child.cmdline() for child in children()))
    (stale,) = children()
    process.kill()
    process.wait()
    assert stale.is_running(), "what ends a run ends its server too"
    try:
        # The next one writes its address into the environment.
        others = {"PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////nowhere/prefect.db"}
        with patch.dict(os.environ, others), private_server(tmp_path) as server:
            assert server.process
            started = psutil.Process(server.process.pid)
            _await(server.process, lambda: bool(started.environ()))  # a program that has just begun shows none yet
            environment = started.environ()
            assert environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"].endswith(f"{tmp_path}/prefect.db")
            assert not stale.is_running() or stale.status() == psutil.STATUS_ZOMBIE
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            stale.kill()


def _give_tables(state: Path, other: Path) -> None:
    """Give a private Prefect server the database of another one, whose tables took seconds to make."""
    state.mkdir(parents=True)
    with (
        closing(sqlite3.connect(other / "prefect.db")) as source,
        closing(sqlite3.connect(state / "prefect.db")) as copy,
    ):
        source.backup(copy)


def _await(process: subprocess.Popen[Any], condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, while the process lives."""
    while not condition():
        assert process.poll() is None
        time.sleep(0.2)


def _running(client: Any) -> list[Any]:
    experiment = client.get_experiment_by_name("digits").experiment_id
    return list(client.search_runs([experiment], filter_string="attributes.status = 'RUNNING'"))


class _Screen:
    """Reads what a process writes on its terminal, until the terminal is closed."""

    def __init__(self, leader: int) -> None:
        self.text = ""
        self._leader = leader
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(self._leader, 65536):
                self.text += chunk.decode(errors="replace")

    def close(self) -> None:
        """Close the terminal: whoever has it is told so, and can write no more."""
        os.close(self._leader)
