"""A store of MLflow that cannot be opened."""

from __future__ import annotations

import pytest

from digits.errors import ServerError
from digits.experiments.connection import connect


@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        ("sqlite:////proc/nowhere/x.db", "No such file or directory: '/proc/nowhere'"),
        ("mysql+pymysql://me:secret@localhost/digits", "No module named 'pymysql'"),
        ("http://me:secret@127.0.0.1:9/mlflow", "no MLflow server listens at http://127.0.0.1:9/mlflow ("),
        ("postgresql+typo://me:secret@localhost/digits", "Can't load plugin"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line(uri: str, fault: str) -> None:
    """What is not there, a folder, a driver, a plugin or a server, is named, without the address's password."""
    with pytest.raises(ServerError) as caught:
        connect(uri)
    assert fault in str(caught.value)
    assert "MLFLOW_TRACKING_URI" in str(caught.value)
    assert "secret" not in str(caught.value)
