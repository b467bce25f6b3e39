"""Questions to servers on loopback, by a client that loads no certificates: they cost more than the question."""

from __future__ import annotations

import httpx

__all__ = ["WEB"]

#: Keeps no connection: a server may have been killed since the last question.
WEB = httpx.Client(verify=False, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))  # noqa: S501 - no TLS
