"""Move MLflow's runs, registry and artifacts from a checkout's SQLite store into PostgreSQL and the object store.

``from_sqlite.py FOLDER`` reads ``FOLDER/mlflow.db`` and ``FOLDER/artifacts`` and changes neither. Where to, the
environment says, as for `prepare.sh`, which has made the tables. All rows arrive, or none.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import mlflow.store.model_registry.dbmodels.models
import mlflow.store.tracking.dbmodels.models  # noqa: F401 - names the tables
from mlflow.store.db.base_sql_model import Base
from sqlalchemy import Connection, Table, create_engine, delete, func, insert, select, text

#: The database is PGDATABASE, else the one that is called as its user: mlflow.
TARGET, BUCKET = "postgresql+psycopg:///", "mlflow"
TABLES = Base.metadata.sorted_tables  # those first that others refer to

#: Columns that hold addresses of artifacts, and how these begin in the store of a checkout.
ADDRESSES = {"artifact_location", "artifact_uri", "source", "storage_location"}
FOLDER = re.compile(r"^file://.*?/mlflow/artifacts(?=/|$)")


def main(folder: Path) -> str | None:
    """Move everything; return what is wrong, None when nothing is."""
    if not (folder / "mlflow.db").is_file():
        return f"from_sqlite: no {folder / 'mlflow.db'}; name the folder mlflow/ of a checkout"
    source, target = create_engine(f"sqlite:///{folder / 'mlflow.db'}"), create_engine(TARGET)
    with source.connect() as old, target.begin() as new:
        if fault := _fault(old, new):
            return f"from_sqlite: {fault}"
        _upload(folder / "artifacts")
        for table in reversed(TABLES):
            new.execute(delete(table))  # the experiment that a server makes when it starts
        for table in TABLES:
            _copy(table, old=old, new=new)
    return None


def _fault(old: Connection, new: Connection) -> str:
    """Return why nothing can be moved, in a few words."""
    versions = [each.scalar(text("SELECT version_num FROM alembic_version")) for each in (old, new)]
    if versions[0] != versions[1]:
        return "the tables are of different versions; run `mlflow db upgrade` on both"
    held = sum(new.scalar(select(func.count()).select_from(Base.metadata.tables[name])) for name in _MUST_BE_EMPTY)
    return f"PostgreSQL holds {held} runs and models already; wanted an empty one" if held else ""


_MUST_BE_EMPTY = ("runs", "registered_models", "logged_models")


def _upload(artifacts: Path) -> None:
    store = boto3.client("s3")
    for path in sorted(artifacts.rglob("*")):
        if path.is_file():
            store.upload_file(str(path), BUCKET, path.relative_to(artifacts).as_posix())


def _copy(table: Table, *, old: Connection, new: Connection) -> None:
    """Copy the rows of a table, and let its counter go on behind them."""
    for rows in old.execute(select(table)).mappings().partitions(1000):
        new.execute(insert(table), [_moved(row) for row in rows])
    for column in table.primary_key.columns:
        if column.type.python_type is int and (last := new.scalar(select(func.max(column)))):
            counter = func.pg_get_serial_sequence(table.name, column.name)
            new.execute(select(func.setval(counter, last)))


def _moved(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose addresses of artifacts are those behind a server."""
    return {
        name: FOLDER.sub("mlflow-artifacts:", value) if name in ADDRESSES and isinstance(value, str) else value
        for name, value in row.items()
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
