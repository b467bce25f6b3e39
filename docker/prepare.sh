#!/bin/sh
# What the servers need before they start: tables as this version wants them, and buckets. Doing it twice does no harm.
set -eu
python - <<'PYTHON'
import os
import sys

import psycopg

prefect = {name: os.environ[f"PREFECT_SERVER_DATABASE_{name.upper()}"] for name in ("host", "port", "user", "password")}
faults = []
for user, given in {"mlflow": {}, "prefect": prefect}.items():
    try:
        psycopg.connect(dbname=user, connect_timeout=10, **given).close()
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        mend = "is PostgreSQL up, and the database there?"
        if "authentication" in reason:
            mend = f"{user.upper()}_DB_PASSWORD has to be the one that PostgreSQL has: docs/operations.md, Rotate credentials"
        faults.append(f"prepare: PostgreSQL does not let the user {user} into the database {user} ({reason}); {mend}")
sys.exit("\n".join(faults) or None)
PYTHON
mlflow db upgrade postgresql+psycopg:///mlflow
python -m mlflow.server.auth db upgrade --url postgresql+psycopg:///mlflow_auth
prefect server database upgrade --yes
python - <<'PYTHON'
import boto3

store = boto3.client("s3")
there = {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}
for name in ("mlflow", "dvc"):
    if name not in there:
        store.create_bucket(Bucket=name)
PYTHON
