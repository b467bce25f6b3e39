"""Help pages: each command's docstring, with its examples."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable
from typing import Annotated, Any

from cyclopts import App, Parameter

__all__ = ["Commands"]

_EXAMPLES = re.compile(r"^Examples\n-+\n::\n\n(?P<lines>(?:    .*\n|\n)+)", re.MULTILINE)


class Commands(App):
    """Commands whose help pages are their docstrings.

    cyclopts leaves out a docstring's examples, and of a command that is imported when it is called shows the line alone
    that stands for it in the list of all.
    """

    # Annotated as in the base class: cyclopts reads the signature, as that of any command.
    def help_print(
        self,
        tokens: Annotated[str | Iterable[str] | None, Parameter(show=False)] = None,
        *,
        console: Annotated[Any, Parameter(parse=False)] = None,
    ) -> None:
        """Print the help page that `tokens`, by default the command line, ask for."""
        command = self.parse_commands(tokens)[1][-1]
        if command.default_command is not None:
            command.help = inspect.getdoc(command.default_command)
            command.help_epilogue = _examples(command.help)
        super().help_print(tokens, console=console)


def _examples(docstring: str) -> str | None:
    """Return the examples of a docstring in Markdown, None where it has none."""
    found = _EXAMPLES.search(f"{docstring}\n")
    return f"Examples:\n\n```sh\n{textwrap.dedent(found['lines']).strip()}\n```" if found else None
