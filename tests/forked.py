"""A process in which a command's libraries are loaded, to fork commands from: to load them takes most of their time.

The command itself, its package included, is loaded by each fork from the folder that it runs in, as by a real process.
Its worker processes are forked from the same process.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from multiprocessing import forkserver, popen_forkserver
from multiprocessing.context import SpawnProcess
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from types import ModuleType
from typing import Any

import psutil

__all__ = ["Command", "on_path", "run", "serve", "use"]

#: Program → the module whose `main` it calls.
PROGRAMS = {"digits": "digits.cli", "dvc": "dvc.cli", "flow": "tests.flow", "uvicorn": "uvicorn.main"}

#: A `python` for a shell: `python -m digits` asks whoever listens at an address to fork that command.
ON_PATH = """#!{python} -SE
import json, os, socket, sys
if sys.argv[1:3] != ["-m", "digits"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as door:
    door.connect({address!r})
    door.sendall(json.dumps([sys.argv[3:], os.getcwd(), dict(os.environ)]).encode() + b"\\n")
    code, out, err = json.loads(door.makefile().read())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""

#: Nothing that starts threads.
LIBRARIES = (
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PpmImagePlugin",
    "alembic.command",
    "alembic.config",
    "anyio._backends._asyncio",
    "configobj",
    "cv2",
    "cyclopts",
    "dvc.cachemgr",
    "dvc.cli.parser",
    "dvc.data_cloud",
    "dvc.dirs",
    "dvc.lock",
    "dvc.repo.artifacts",
    "dvc.repo.datasets",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.metrics",
    "dvc.repo.open_repo",
    "dvc.repo.params",
    "dvc.repo.plots",
    "dvc.repo.stage",
    "dvc.rwlock",
    "dvc.utils.strictyaml",
    "dvc_data.hashfile.db.local",
    "dvc_data.hashfile.status",
    "encodings.cp437",
    "filelock",
    "fsspec.implementations.memory",
    "graphviz",
    "great_expectations",
    "great_expectations.render.renderer.site_builder",
    "jinja2.ext",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "mlflow.pyfunc.model",
    "mlflow.store.db.trace_analytics_backfill_75868b020152",
    "mlflow.store.db.trace_analytics_schema_75868b020152",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.tracing.export.utils",
    "mlflow.tracing.processor.base_mlflow",
    "mlflow.tracing.processor.otel",
    "networkx",
    "opentelemetry.sdk.metrics",
    "pandas",
    "pebble",
    "prefect.artifacts",
    "prefect.concurrency.services",
    "prefect.flow_engine",
    "prefect.input",
    "prefect.task_engine",
    "prefect.task_runners",
    "prefect.utilities.visualization",
    "rich._emoji_codes",
    "sklearn.pipeline",
    "skops.io",
    "tests.frozen",
)


def serve(*, home: Path) -> str:
    """Start the process that all are forked from, with an empty home, and return its address; it ends with this one."""
    from digits.settings import ONE_THREAD, prepare_environment

    for name in os.environ.keys() - {"PATH", "LANG"}:
        del os.environ[name]
    os.environ["HOME"] = str(home)
    prepare_environment(ONE_THREAD)  # libraries read it as they load
    forkserver.set_forkserver_preload(list(LIBRARIES))
    forkserver.ensure_running()
    return str(forkserver._forkserver._forkserver_address)  # type: ignore[attr-defined]


def use(address: str) -> None:
    """Fork from the process at that address."""
    server = forkserver._forkserver  # type: ignore[attr-defined]
    server._forkserver_address, server._forkserver_alive_fd = address, os.open(os.devnull, os.O_RDONLY)
    server.ensure_running = lambda: None


class Command:
    """A command that runs in a fork; as much of `subprocess.Popen` as tests need.

    Parameters
    ----------
    arguments
        What stands behind `digits`, or behind another program.
    code
        The checkout whose code it is.
    folder, environment
        Where it runs, the checkout by default, and its environment: nothing of this process's beside it.
    program
        One of `PROGRAMS`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        code: Path,
        environment: Mapping[str, str],
        folder: Path | None = None,
        program: str = "digits",
    ) -> None:
        self.arguments = list(arguments)
        self._said = Path(tempfile.mkdtemp())
        where, given = folder or code, dict(environment)
        line = [program, *self.arguments]
        call = partial(_call, line, code, where, given, self._said)
        self._process = multiprocessing.get_context("forkserver").Process(target=call)
        self._process.start()
        self.pid = int(self._process.pid or 0)

    @property
    def workers(self) -> list[psutil.Process]:
        """The worker processes that it has started and that live."""
        found = []
        for path in self._said.glob("worker.*"):
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(int(path.suffix[1:])))
        return found

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code."""
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(self.arguments, timeout or 0)
        return code

    def kill(self) -> None:
        """Kill it, if it runs."""
        self._process.kill()

    def interrupt(self) -> None:
        """Interrupt it, as Ctrl-C does."""
        os.kill(self.pid, signal.SIGINT)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and return what it wrote on stdout and on stderr; to be called once."""
        self.wait(timeout)
        said = (self._said / "1").read_text("utf-8"), (self._said / "2").read_text("utf-8")
        shutil.rmtree(self._said)
        return said


def run(
    arguments: Sequence[str],
    *,
    code: Path,
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
    program: str = "digits",
) -> subprocess.CompletedProcess[str]:
    """Call a program with these arguments in a fork, and return what became of it."""
    command = Command(arguments, code=code, folder=folder, environment=environment, program=program)
    try:
        out, err = command.communicate(timeout)
    finally:
        command.kill()
    return subprocess.CompletedProcess(command.arguments, command.wait(), out, err)


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Put a `python` into a folder that forks `python -m digits`, with the code of the folder where it is called."""

    class Call(StreamRequestHandler):
        def handle(self) -> None:
            arguments, where, environment = json.loads(self.rfile.readline())
            done = run(arguments, code=Path(where), folder=Path(where), environment=environment, timeout=280)
            self.wfile.write(json.dumps([done.returncode, done.stdout, done.stderr]).encode())

    address, script = str(folder / "door"), folder / "python"
    script.write_text(ON_PATH.format(python=sys.executable, address=address), encoding="utf-8")
    script.chmod(0o755)
    with ThreadingUnixStreamServer(address, Call) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def _call(line: list[str], code: Path, folder: Path, environment: dict[str, str], said: Path) -> None:
    """Become the command: its folder, its environment and nothing else, and its output into files."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.meta_path.insert(0, _Prefect())
    _fork_workers(said)
    for number in (1, 2):
        os.dup2(os.open(said / str(number), os.O_WRONLY | os.O_CREAT), number)
    sys.path.insert(0, str(code))
    sys.argv = line
    sys.exit(import_module(PROGRAMS[line[0]]).main())


class _Prefect(MetaPathFinder, Loader):
    """Gives Prefect, which is loaded, to whoever imports it, with the settings of the environment at that moment."""

    def __init__(self) -> None:
        names = [name for name in sys.modules if name.partition(".")[0] == "prefect"]
        self._loaded = {name: sys.modules.pop(name) for name in names}

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """Return a spec of what is loaded; there is nothing to find after that."""
        if fullname != "prefect":
            return None
        sys.meta_path.remove(self)
        sys.modules.update(self._loaded)
        self._loaded["prefect.context"].refresh_global_settings_context()
        return spec_from_loader(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return what is loaded."""
        return self._loaded[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it was done."""


def _fork_workers(said: Path) -> None:
    """Let what is to be spawned be forked from where this process was, with this one's environment all the same."""
    use(forkserver._forkserver._forkserver_address)  # type: ignore[attr-defined]

    def start(process: Any) -> popen_forkserver.Popen:
        process._target = partial(_work, said, dict(os.environ), process._target)
        return popen_forkserver.Popen(process)

    SpawnProcess._Popen = staticmethod(start)  # type: ignore[assignment]


def _work(said: Path, environment: dict[str, str], target: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Become a worker, whose number is told."""
    os.environ.clear()
    os.environ.update(environment)
    (said / f"worker.{os.getpid()}").touch()
    target(*arguments, **named)
