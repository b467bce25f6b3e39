.DEFAULT_GOAL := help
.PHONY: help setup run mnist ui check format test images images-check lock

BIN := .venv/bin
# What the tools would otherwise send or say; the command line sets the same for itself.
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed  ## Make .venv and install the locked dependencies

run: setup  ## Run the whole line on scikit-learn's digits: a minute
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/digits run digits

mnist: setup  ## Run the whole line on MNIST (from DIGITS_MNIST_DIR, else downloaded)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/digits run mnist

ui: setup  ## Open the MLflow UI on the experiments of this checkout
	@$(BIN)/digits ui

check: setup  ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup  ## Format the code, mend what the linter can, and list the modules in docs/tree.md
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/tree.py >docs/tree.md

test: setup  ## Run the whole test suite
	$(BIN)/python -m pytest

images:  ## Build the container image of the servers and the worker (docker, podman, or buildah as root)
	@scripts/images

images-check: setup images  ## Run each service of docker/compose.yaml once inside the image (buildah, PostgreSQL)
	DIGITS_TEST_IMAGE=localhost/digits:latest $(BIN)/python -m pytest -n 0 --timeout 900 tests/integration/test_images.py

lock:  ## Resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-header --no-annotate --output-file requirements.lock

.venv/.installed: requirements.lock pyproject.toml scripts/setup
	@scripts/setup
