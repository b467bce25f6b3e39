"""Print docs/tree.md: every module with the first sentence of its docstring. `make format` writes it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# The tree, module by module

Each folder is one wing, in the order in which they may import each other ([architecture](architecture.md)); the phrase
is the one that stands at the top of the file. `make format` writes this page.
"""
FOLDERS = (
    "digits",
    "digits/data",
    "digits/models",
    "digits/experiments",
    "digits/reference",
    "digits/registry",
    "digits/steps",
    "digits/cli",
    "tasks",
    "flows",
    "flows/servers",
    "scripts",
)


def main() -> None:
    """Print the page."""
    lines = [HEAD]
    for folder in FOLDERS:
        modules = {path.name: _said(path) for path in sorted((ROOT / folder).glob("*.py"))}
        lines += [f"## {folder}/\n", modules.pop("__init__.py", ""), "\n| file | |\n|---|---|"]
        lines += [f"| `{name}` | {said} |" for name, said in modules.items()]
        lines.append("")
    print(re.sub("\n{3,}", "\n\n", "\n".join(lines)).rstrip())  # noqa: T201 - what it is for


def _said(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("``", "`")


if __name__ == "__main__":
    main()
