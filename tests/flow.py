"""The flow without its command: as a deployment runs it, with other flows of the same dataset beside it."""

import sys


def main() -> None:
    """Train the dataset that the command line names."""
    from digits.settings import prepare_environment

    prepare_environment()
    from flows.train import train

    train(sys.argv[1])
