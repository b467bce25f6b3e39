#!/bin/sh
# What the servers need before they start: tables as this version wants them, and buckets. Doing it twice does no harm.
set -eu
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
