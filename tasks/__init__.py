"""The steps as Prefect tasks: retries, run names, artifacts. What a step does stands in ``digits``."""
