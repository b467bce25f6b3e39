"""What an image of a handwritten digit is, how it is recognised, and what counts as good.

Knows nothing of Prefect and DVC: those call this package (``tasks/``, ``flows/``, ``dvc.yaml``), never the reverse.
"""

__version__ = "0.1.0"
