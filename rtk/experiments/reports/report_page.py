"""The page around a report: its head, which lets nothing run or load but what is in it, and its sections."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rtk._html import Markup, element, fragment
from rtk.experiments.figures import Figure
from rtk.experiments.reports.report_figures import drawn

_HERE = Path(__file__).resolve().parent
_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: its heading.
        parts: one below the other: figures, whatever shows itself as HTML, or text.
    """

    title: str
    parts: Sequence[Any]


@lru_cache(maxsize=2)
def _file(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def head(title: str) -> str:
    """The page up to its first section.

    Only the script of this page may run, by its hash; nothing is loaded from anywhere, and nothing sent.
    """
    script = _file("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    said = fragment(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{said}</title>\n<style>\n{_file('report.css')}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#answers">Skip to the answers</a>\n<header><h1>{said}</h1></header>\n<main>\n'
    )


def tail() -> str:
    """The end of the page, with its script, which filters the answers and does nothing else."""
    return f"</main>\n<script>{_file('report.js')}</script>\n</body>\n</html>\n"


def contents(titles: Iterable[tuple[str, str]]) -> Markup:
    """Links to the sections, as pairs of id and title."""
    items = (element("li", element("a", title, href=f"#{name}")) for name, title in titles)
    return Markup(f'<nav aria-label="Contents">{element("ul", *items)}</nav>\n')


def named(name: str, title: str, *parts: object) -> Markup:
    """A section that links lead to."""
    return Markup(f"{opened(name, title)}{fragment(*parts)}</section>\n")


def opened(name: str, title: str) -> str:
    """The beginning of such a section; `</section>` ends it."""
    return f'<section id="{slug(name)}" aria-labelledby="{slug(name)}-title">' + (
        f'<h2 id="{slug(name)}-title">{fragment(title)}</h2>\n'
    )


def slug(text: str) -> str:
    """A title as the id of an element."""
    found = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")
    return found if _NAME.fullmatch(found) else f"section-{found}".rstrip("-")


def shown(section: Section, name: str) -> Markup:
    """A section's parts, one below the other."""
    parts = (_part(part, section.title, f"{slug(name)}-{at}-") for at, part in enumerate(section.parts))
    return named(name, section.title, *parts)


def scrolled(title: str, *children: object) -> Markup:
    """What may be wider than a phone: it scrolls by itself, also by keys."""
    return element("div", *children, class_="scroll", tabindex="0", role="region", aria_label=title)


def _part(part: Any, title: str, prefix: str) -> Markup | None:
    if part is None or isinstance(part, Markup):
        return part
    if isinstance(part, Figure):
        return drawn(part, prefix)
    if hasattr(part, "_repr_html_"):
        return scrolled(title, Markup(part._repr_html_()))
    return element("p", part)
