"""Data Docs that can be read without a network: nothing in them is loaded from another host, nothing calls home.

Great Expectations' own pages load scripts, styles and pictures from a dozen hosts and show next to nothing without
them. Each page's results are kept, the rest is left behind; a small style, and a first page with every rule and the
first pictures that break it, take its place.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from digits.data.expectations import Judge
from digits.data.quarantine import picture
from digits.data.report import RuleResult, ValidationReport
from digits.data.rules import ROW_RULES
from digits.data.snapshot import Snapshot
from digits.files import replaced_folder
from digits.pages import PAGE_STYLE

__all__ = ["INDEX", "write_docs"]

INDEX = "index.html"

_RESULTS_CLASS = "col-md-10"
_LEFT_BEHIND = ("script", "style", "link", "img", "iframe", "footer")
_VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")


def write_docs(path: Path, *, report: ValidationReport, judge: Judge, snapshot: Snapshot) -> None:
    """Replace the folder `path` by Data Docs: ``index.html`` and a page per table that was judged."""
    pages = dict(sorted(judge.pages().items()))
    with replaced_folder(path) as work:
        for name, page in pages.items():
            title = f"{report.dataset}: {name}, judged by Great Expectations"
            (work / f"{name}.html").write_text(_page(title, _results(page), names=pages), encoding="utf-8")
        title = f"{report.dataset}: the contract is {'kept' if report.success else 'broken'}"
        body = _summary(report) + _table(report, snapshot=snapshot)
        (work / INDEX).write_text(_page(title, body, names=pages), encoding="utf-8")


def _page(title: str, body: str, *, names: Iterable[str]) -> str:
    links = "".join(f'<a href="{name}.html">{name}</a>' for name in names)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<style>{PAGE_STYLE}</style>\n</head>\n<body>\n'
        f'<nav><a href="{INDEX}">all rules</a>{links}</nav>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n'
    )


def _summary(report: ValidationReport) -> str:
    aside = {reason for one in report.quarantined for reason in one.reasons}
    broken = sum(rule.passed is False and rule.name not in aside for rule in report.rules)
    words = f"{len(report.rules)} rules, {broken or 'none'} broken"
    if aside:
        words += f"; {len(report.quarantined):,} images set aside for {', '.join(sorted(aside))}"
    return f"<p>{words}. Snapshot <code>{escape(report.snapshot)}</code></p>\n"


def _table(report: ValidationReport, *, snapshot: Snapshot) -> str:
    aside = {reason for one in report.quarantined for reason in one.reasons}
    rows = "\n".join(_row(rule, aside=rule.name in aside, snapshot=snapshot) for rule in report.rules)
    heads = "".join(f"<th>{head}</th>" for head in ("", "Rule", "Wanted", "Found"))
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _row(rule: RuleResult, *, aside: bool, snapshot: Snapshot) -> str:
    status = {
        True: '<span class="good">&#10003; kept</span>',
        False: f'<span class="bad">&#10007; {"set aside" if aside else "broken"}</span>',
        None: "not looked at",
    }[rule.passed]
    shown = "".join(_figures(rule, snapshot=snapshot)) if rule.name in ROW_RULES else ""
    return (
        f'<tr id="{rule.name}"><td>{status}</td><td><strong>{rule.name}</strong><br>{escape(rule.meaning)}</td>'
        f"<td>{escape(rule.wanted)}</td><td>{escape(rule.found)}{'<br>' if shown else ''}{shown}</td></tr>"
    )


def _figures(rule: RuleResult, *, snapshot: Snapshot) -> Iterator[str]:
    images, labels = snapshot.images(), snapshot.labels()
    for number, row in enumerate(rule.rows):
        data = base64.b64encode(picture(images[row], max_value=snapshot.max_value)).decode()
        title = escape(rule.files[number]) if rule.files else f"row {row}"
        yield (
            f'<figure title="{title}"><img alt="{title}" src="data:image/png;base64,{data}">'
            f"<figcaption>row {row}<br>label {labels[row]}</figcaption></figure>"
        )


def _results(page: str) -> str:
    """Return the results of a page of Great Expectations, without anything that loads, runs or hides."""
    parser = _Results()
    parser.feed(page)
    if not parser.kept:
        raise RuntimeError("a page of Great Expectations' Data Docs has no results where they used to be")
    return "".join(parser.kept)


class _Results(HTMLParser):
    """Copies the part of a page that holds the results, without links, scripts and what only a script unfolds."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.kept: list[str] = []
        self._open: list[str] = []
        self._start: int | None = None
        self._drop: int | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Copy a tag inside the results; begin to copy, or to leave out, where a tag says so."""
        attributes = dict(attrs)
        classes = (attributes.get("class") or "").split()
        depth = len(self._open)
        if tag not in _VOID:
            self._open.append(tag)
        if self._start is None:
            self._start = depth if _RESULTS_CLASS in classes else None
            return
        folded = "collapse" in classes or attributes.get("data-toggle") == "collapse"
        if self._drop is None and (folded or tag in _LEFT_BEHIND):
            self._drop = depth if tag not in _VOID else None
            return
        if self._copies() and tag != "a":
            kept = "".join(
                f' {name}="{escape(attributes[name] or "")}"'
                for name in ("id", "class", "hidden")
                if name in attributes
            )
            self.kept.append(f"<{tag}{kept}>")

    def handle_endtag(self, tag: str) -> None:
        """Copy the end of a tag inside the results; stop to copy, or to leave out, where it began."""
        if tag not in self._open:
            return
        while self._open.pop() != tag:
            pass
        depth = len(self._open)
        if self._start == depth:
            self._start = self._drop = None
        elif self._drop == depth:
            self._drop = None
        elif self._copies() and tag != "a":
            self.kept.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Copy text inside the results."""
        if self._copies() and data.strip() != "Data asset: None":
            self.kept.append(escape(data if data.strip() else " ", quote=False))

    def _copies(self) -> bool:
        return self._start is not None and self._drop is None
