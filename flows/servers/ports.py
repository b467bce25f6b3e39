"""Ports of this machine: one that is free; whether one is, and who has it if not."""

from __future__ import annotations

import socket
from contextlib import suppress

import psutil

from digits.errors import ServerError
from digits.servers import LOOPBACK

__all__ = ["check_free", "free_port"]


def free_port() -> int:
    """Return a port on loopback that nobody listens on, and that the system gives to nobody else for a minute.

    A connection that its listener has closed first keeps the port: only who asks for it by number may listen on it.
    """
    with socket.create_server((LOOPBACK, 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address):
            listener.accept()[0].close()
        return int(address[1])


def check_free(port: int, *, variable: str, name: str) -> None:
    """Raise `ServerError`, with who holds it, unless the port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the past do not count
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise ServerError(
                f"port {port} for {name} is taken by {_holder(port)}; end that, or set {variable} to a free port"
            ) from error


def _holder(port: int) -> str:
    """Return who listens on a port, as far as this user may know."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and getattr(connection.laddr, "port", None) == port
                and connection.pid
            ):
                process = psutil.Process(connection.pid)
                return f"process {process.pid} ({' '.join(process.cmdline())[:80] or process.name()})"
    return "a process of somebody else"
