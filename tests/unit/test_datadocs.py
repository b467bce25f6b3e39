"""Data Docs: complete, readable, and nothing in them leaves the machine."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from digits.data import rules
from digits.data.contract import ValidateParams, validate
from digits.data.snapshot import write_snapshot
from digits.errors import ContractViolation

_LOADING = ("src", "href", "srcset", "data", "action", "poster", "background")


class _Page(HTMLParser):
    """Collects what a browser would load or run, the anchors, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the addresses and scripts of a tag."""
        self.loads += [value or "" for name, value in attrs if name in _LOADING]
        self.scripts += [tag] if tag in ("script", "iframe", "object", "embed") else []
        self.scripts += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        """Collect text."""
        self.text.append(data)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Data Docs of a small snapshot whose name needs escaping, with a blank image from such a file."""
    folder = tmp_path_factory.mktemp("docs")
    images = np.zeros((20, 8, 8), np.uint8)
    images[:, 1:7, 2:6] = np.random.default_rng(0).integers(8, 17, (20, 6, 4))
    images[4] = 0
    snapshot = write_snapshot(
        folder / "s",
        dataset="<mine>",
        batches=[(images, np.tile(np.arange(10, dtype=np.uint8), 2))],
        max_value=16,
        description={"files": ["<b>&.png"] * 20},
    )
    params = ValidateParams(height=8, width=8, max_value=16)
    (folder / "docs").mkdir()
    (folder / "docs" / "old.html").write_text("of an earlier run", encoding="utf-8")
    with pytest.raises(ContractViolation):
        validate(snapshot, params=params, path=folder / "v", docs=folder / "docs")
    return folder / "docs"


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def test_docs_load_nothing_from_outside_and_run_nothing(docs: Path) -> None:
    """Every address is a page of the folder or data in the page; there is no script, and no address in a style.

    MLflow shows one page at a time, so each has its style.
    """
    pages = sorted(docs.glob("*.html"))
    assert [page.name for page in pages] == ["classes.html", "images.html", "index.html", "snapshot.html"]
    for path in pages:
        page = _read(path)
        assert page.scripts == []
        for address in page.loads:
            assert address.startswith("data:") or (docs / address) in pages, address
    for path in docs.iterdir():
        assert not re.search(r"https?://|url\(|@import|//\w+\.\w+", path.read_text(encoding="utf-8")), path.name


def test_docs_are_small_and_replace_the_old_ones(docs: Path) -> None:
    """What an earlier run left is gone, and the whole folder is a few kilobytes."""
    assert not (docs / "old.html").exists()
    assert sum(path.stat().st_size for path in docs.iterdir()) < 100_000


def test_first_page_names_every_rule_and_shows_the_first_offenders(docs: Path) -> None:
    """Each rule has its row; the broken one shows its picture, its row and its file, escaped."""
    text = (docs / "index.html").read_text(encoding="utf-8")
    for rule in rules.RULES:
        assert f'<tr id="{rule}">' in text
    assert text.count("broken</span>") == 1
    assert text.count("<figure") == 1
    assert 'alt="&lt;b&gt;&amp;.png"' in text
    assert "&lt;mine&gt;: the contract is broken" in text
    assert "<mine>" not in text


def test_pages_of_great_expectations_keep_their_results(docs: Path) -> None:
    """Its own verdict on every rule about images is there, in words and with a sign, tags balanced."""
    path = docs / "images.html"
    text, words = path.read_text(encoding="utf-8"), " ".join(" ".join(_read(path).text).split())
    for rule in rules.ROW_RULES:
        assert f"{rule}: " in words
    assert "Successful Expectations 8" in words
    assert "1 unexpected values found. 5% of 20 total rows." in words
    for tag in ("div", "table", "tr", "td", "span", "tbody", "thead"):
        assert text.count(f"<{tag}>") + text.count(f"<{tag} ") == text.count(f"</{tag}>"), tag
