"""The order of the steps as Prefect flows; composition only.

Whoever runs one finds the tools set up as under `digits`: a container of the docker pool begins here, with no command.
"""

from digits.settings import prepare_environment

prepare_environment()
