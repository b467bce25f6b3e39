"""What Prefect's client raises, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from digits.errors import ServerError

__all__ = ["answering"]


@contextmanager
def answering() -> Iterator[None]:
    """Turn what a Prefect server that is gone, or refuses, raises in the block into a `ServerError` of one line."""
    from httpx import HTTPError, HTTPStatusError  # loaded by Prefect's client, so as late as that

    try:
        yield
    except (HTTPError, RuntimeError) as error:
        # That it was not reached at all, Prefect's client says in words of its own.
        fault = error if isinstance(error, HTTPError) else error.__cause__
        if not isinstance(fault, HTTPError):
            raise
        asked, said = fault.request, str(fault) or type(fault).__name__
        if isinstance(fault, HTTPStatusError):
            said = f"{fault.response.status_code} {fault.response.reason_phrase}"
        raise ServerError(
            f"the Prefect server at {asked.url.scheme}://{asked.url.netloc.decode()} does not do as asked "
            f"({asked.method} {asked.url.path}: {said}); see its log, and whether its database is there"
        ) from error
