"""Imported last by the process that commands are forked from: its libraries are no garbage, and nobody looks at them.

A fork copies each page of memory that is written to, and whoever looks for garbage writes to every object.
"""

import gc
from contextlib import suppress

from mlflow.utils import requirements_utils  # noqa: TID253 - what is imported here is imported once

# Which distributions there are, MLflow asks once in a process, when it first packages a model: half a second.
with suppress(AttributeError):  # a name of MLflow's own
    requirements_utils._init_modules_to_packages_map()  # type: ignore[no-untyped-call]
gc.freeze()
