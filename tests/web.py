"""Questions to servers on loopback, by a client that loads no certificates: they cost more than the question."""

from __future__ import annotations

import time
from http import HTTPStatus

import httpx

__all__ = ["WEB"]


class _Patient(httpx.HTTPTransport):
    """Asks again a server that is busy, as Prefect's own clients do: one whose database is locked answers 503."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        for _ in range(60):
            if response.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            response.close()
            time.sleep(0.5)
            response = super().handle_request(request)
        return response


#: Keeps no connection: a server may have been killed since the last question.
WEB = httpx.Client(
    transport=_Patient(verify=False, limits=httpx.Limits(max_keepalive_connections=0)),
    timeout=60,
)
