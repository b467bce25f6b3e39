"""The look that every page shares: light or dark as the reader's system is, nothing loaded from another host."""

from __future__ import annotations

__all__ = ["PAGE_STYLE"]

PAGE_STYLE = """\
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5c6676; --line: #d9dee6; --paper: #fff; --band: #f4f6f9;
  --good: #18794e; --bad: #c4320a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b2; --line: #333b47; --paper: #14181f;
  --band: #1c222b; --good: #4cc38a; --bad: #ff8b66; } }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .5rem 0; } h5 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
h6 { font-size: .95rem; margin: 1rem 0 .2rem; }
a { color: inherit; } nav a { margin-right: 1rem; }
p, nav { color: var(--soft); } code { font-size: .85em; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem .6rem; border-bottom: 1px solid var(--line); }
thead th { background: var(--band); font-weight: 600; }
td table { width: auto; margin-top: .5rem; } td table td { padding: .1rem .6rem; }
.good, .text-success, .fa-check-circle { color: var(--good); } .bad, .text-danger { color: var(--bad); }
.good, .bad { font-weight: 600; white-space: nowrap; }
.fa-check-circle::before { content: "\\2713"; } .fa-times::before { content: "\\2717"; }
i { font-style: normal; white-space: nowrap; }
.badge { background: var(--band); border: 1px solid var(--line); border-radius: .3rem; padding: 0 .3rem; }
figure { display: inline-block; margin: .4rem .6rem 0 0; font-size: .8rem; text-align: center; }
figure img { display: block; width: 56px; height: 56px; image-rendering: pixelated; border: 1px solid var(--line); }
"""
