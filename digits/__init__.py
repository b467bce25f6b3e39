"""What an image of a handwritten digit is, how it is recognised, and what counts as good.

Knows nothing of Prefect and DVC: those call this package (``tasks/``, ``flows/``, ``dvc.yaml``), never the reverse.
"""

import time

__version__ = "0.1.0"

#: When this process began to load the package, in nanoseconds since 1970: a file written later is not what runs here.
STARTED = time.time_ns()
