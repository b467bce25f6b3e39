"""Processes that a supervisor keeps alive until it is told to end: supervisord, set up for one folder.

Nothing here knows what the processes do, but that a flow run outlives its worker. Each carries the name of the folder
in its environment, as do all that they start: so what is left of them is found, also when the supervisor was killed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from digits.files import replaced_file
from digits.servers import MARK
from digits.settings import environment_without

__all__ = ["Supervisor"]

#: What the supervisor tells each process of itself.
_NAME = "SUPERVISOR_PROCESS_NAME"

STOP_SECONDS, KILL_SECONDS, EXEC_SECONDS, LOG_BYTES, LOG_BACKUPS = 15, 10.0, 5.0, 10_000_000, 3

#: Who starts a command, in its own place: ends what is left of it, then becomes it.
_IN_PLACE = (sys.executable, "-m", "flows.servers.supervision")

#: Becomes the supervisor once it is told to; where nobody is left to tell, it ends.
_ONCE_KNOWN = ("sh", "-c", 'read -r _ && exec "$0" "$@" </dev/null')

#: Processes with one of these variables outlive the one that started them: a flow run, its worker.
UNBOUND = frozenset({"PREFECT__FLOW_RUN_ID"})

_SUPERVISOR = f"""\
[supervisord]
nodaemon = true
logfile = logs/supervisor.log
logfile_maxbytes = {LOG_BYTES}
logfile_backups = {LOG_BACKUPS}
pidfile = supervisor.pid
"""

#: A process that ends is started again, after one second, two, three, …; the first to start is the last to be stopped.
_PROGRAM = f"""
[program:{{name}}]
command = {{command}}
directory = {{directory}}
priority = {{priority}}
autorestart = true
startsecs = 5
startretries = 1000
stopasgroup = true
killasgroup = true
stopwaitsecs = {STOP_SECONDS}
redirect_stderr = true
stdout_logfile = logs/{{name}}.log
stdout_logfile_maxbytes = {LOG_BYTES}
stdout_logfile_backups = {LOG_BACKUPS}
"""


@dataclass(frozen=True)
class Supervisor:
    """Supervised processes whose settings and logs lie in one folder.

    Attributes
    ----------
    folder
        The folder; what is found running belongs to it.
    """

    folder: Path

    @property
    def logs(self) -> Path:
        """Folder of one log per process, each cut off at a size."""
        return self.folder / "logs"

    @property
    def _mark(self) -> str:
        return str(self.folder.resolve())

    @contextmanager
    def start(
        self, commands: Mapping[str, Sequence[str]], *, directory: Path, environment: Mapping[str, str]
    ) -> Iterator[psutil.Process]:
        """Yield the supervisor, which starts the processes when the block has ended; it outlives this process.

        In the block it can be told of: whoever is killed there, or leaves with an error, leaves no supervisor.

        Parameters
        ----------
        commands
            Name of a process → its command line, in the order in which to start them.
        directory
            Where they run.
        environment
            What they find in their environment beside what this process does.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        parts = [_SUPERVISOR]
        for number, (name, command) in enumerate(commands.items()):
            line, where = (text.replace("%", "%%") for text in (shlex.join([*_IN_PLACE, *command]), str(directory)))
            parts.append(_PROGRAM.format(name=name, command=line, directory=where, priority=number))
        settings = self.folder / "supervisord.conf"
        with replaced_file(settings) as work:
            work.write_text("".join(parts), encoding="utf-8")
        read, write = os.pipe()
        with os.fdopen(read) as reader, os.fdopen(write, "w") as word, (self.logs / "supervisor.out").open("w") as said:
            process = subprocess.Popen(
                [*_ONCE_KNOWN, sys.executable, "-m", "supervisor.supervisord", "-c", str(settings)],
                cwd=self.folder,  # its settings name no folder: it would take a percent sign in one for a format
                env={**environment_without([]), **environment, MARK: self._mark},
                stdin=reader,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the closing of the terminal is none of its business
            )
            yield psutil.Process(process.pid)
            word.write("\n")

    def end_left(self, name: str) -> None:
        """End what the process of that name has left behind when it was killed, but for what is `UNBOUND`."""
        left = [
            process
            for process, environment in self._marked()
            if environment.get(_NAME) == name and not UNBOUND & set(environment)
        ]
        _kill(left)

    def processes(self) -> dict[str, psutil.Process]:
        """Return name → process, of those that run now and that the supervisor itself has started."""
        named = {process: environment for process, environment in self._marked() if _NAME in environment}
        numbers = {process.pid for process in named}
        found = {}
        for process, environment in named.items():
            with suppress(psutil.Error):
                if process.ppid() not in numbers and environment.keys().isdisjoint(UNBOUND):
                    found[environment[_NAME]] = process
        return found

    def find(self, variable: str) -> list[psutil.Process]:
        """Return the processes that have this variable in their environment."""
        return [process for process, environment in self._marked() if variable in environment]

    def stop(self, manager: psutil.Process | None) -> None:
        """End the supervisor and everything that it started, and whatever those have left behind.

        Parameters
        ----------
        manager
            The supervisor, if it is known; it is asked first, so that each process can end in its own way.
        """
        if manager is not None:
            with suppress(psutil.Error):
                manager.terminate()
                manager.wait(STOP_SECONDS * (1 + len(self.processes())))
        # Whoever is being killed may just have started somebody else.
        while left := [process for process, _ in self._marked()]:
            _kill(left)

    def _marked(self) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
        """Yield each process that carries the folder's name, with its environment; never this one."""
        until, mark = time.monotonic() + EXEC_SECONDS, self._mark
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # of other people's processes nothing may be asked
                environment = _environment(process, until=until)
                if environment.get(MARK) == mark and process.pid != os.getpid():
                    yield process, environment


def _environment(process: psutil.Process, *, until: float) -> dict[str, str]:
    """Return the environment of a process, once it has become the program that it is about to become.

    While it does, it has none, and no command line.
    """
    looks = 3
    while not (environment := process.environ()) and process.exe() and looks and time.monotonic() < until:
        if process.cmdline():
            looks -= 1  # it has become one since, or is one without an environment
        else:
            time.sleep(0.001)
    return environment


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=KILL_SECONDS)


def main(command: list[str]) -> None:
    """Become a process that the supervisor starts again: its port is free only when what it has left is ended."""
    mine = psutil.Process().environ()
    Supervisor(Path(mine[MARK])).end_left(mine[_NAME])
    os.execv(command[0], command)  # noqa: S606 - a command line of ours, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
