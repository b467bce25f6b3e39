"""Results on stdout: for machines as JSON, for people as lines."""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["print_json", "print_line"]


def print_json(content: Any) -> None:
    """Print `content` as indented JSON."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def print_line(text: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{text}\n")
