"""The only place where text becomes HTML: elements built from values, whatever a model wrote in them.

Ground floor: knows no model, no tree and no prediction.

>>> element("p", "a < b & ", element("b", "c", title='"'), class_="said")
'<p class="said">a &lt; b &amp; <b title="&quot;">c</b></p>'
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

from rtk.errors import RTKError

VOID = frozenset({"br", "hr", "img"})
ELEMENTS = VOID | {
    "a", "b", "bdi", "blockquote", "caption", "code", "dd", "details", "div", "dl", "dt", "em", "figcaption", "figure",
    "h1", "h2", "h3", "h4", "h5", "h6", "i", "kbd", "li", "ol", "p", "pre", "s", "samp", "section", "small", "span",
    "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}  # fmt: skip
"""What may be built: structure and text, nothing that runs, loads, submits or styles the page around it."""

ATTRIBUTES = frozenset(
    {
        "alt", "class", "colspan", "dir", "height", "href", "lang", "open", "role", "rowspan", "scope", "src", "start",
        "style", "tabindex", "title", "width",
    }
)  # fmt: skip
_MORE_ATTRIBUTES = re.compile(r"aria-[a-z]+|data-(?!commandlinker)[a-z0-9-]+")  # JupyterLab runs commandlinker's
_ADDRESS = re.compile(r"#[^\s\\]*|https://[^\s\\]+|data:image/png;base64,[A-Za-z0-9+/=]+|(?!//)[^\s\\:]*")
_STYLE = re.compile(r"(?:[\w\s:;.,%#*/+-]|\b(?:var|calc|color-mix|max|min|minmax|repeat|rgb)\(|\))*")  # loads nothing
_UNUSUAL = re.compile(r"[^\t\n -~]")
JOINERS = "\u200c\u200d"  # letters of some scripts and parts of emoji hang together by them


class Markup(str):
    """Text that is HTML already. What is done to it as to a text (adding, slicing, f-strings) gives mere text again."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """An HTML element.

    Args:
        name: one of `ELEMENTS`.
        children: `Markup` goes in as it is, None is left out, anything else is text and is escaped.
        **attributes: `class_` and `aria_label` stand for `class` and `aria-label`. True is an attribute without a
            value; None and False leave it out.

    Raises:
        RTKError: an element, an attribute, an address or a style that could run, load or hide something.
    """
    if name not in ELEMENTS:
        raise RTKError(f"<{name}> is not built", mend=f"one of {', '.join(sorted(ELEMENTS))}")
    start = name + "".join(_attribute(word, value) for word, value in attributes.items())
    if name not in VOID:
        return Markup(f"<{start}>{fragment(*children)}</{name}>")
    if children:
        raise RTKError(f"<{name}> holds nothing", mend="put its children beside it")
    return Markup(f"<{start}>")


def fragment(*children: object) -> Markup:
    """Several pieces, one after the other; see `element`."""
    return Markup("".join(map(_child, children)))


def lines(text: object, most: int | None = None) -> Markup:
    """A text whose line breaks are seen, also where a page's style is stripped.

    Args:
        text: the text.
        most: characters of it that are shown, the rest being counted; None for all.
    """
    whole = str(text)
    shown = whole[:most]
    said = Markup("<br>".join(map(_child, visible(shown).split("\n"))))
    cut = len(whole) - len(shown)
    return fragment(said, element("small", f" … {cut:,} more character{'s' * (cut > 1)}")) if cut else said


def visible(text: object) -> str:
    """A text all of whose characters are seen: nothing in it can break, reorder or hide what stands around it.

    Control characters become their pictures; the marks that turn the direction of reading, other format characters
    and lone surrogates become `�`. Line breaks and tabs stay.
    """
    one = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNUSUAL.sub(lambda found: _seen(found[0]), one)


@lru_cache(maxsize=4096)
def _seen(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cc":
        return chr(0x2400 + ord(character)) if ord(character) < 32 else "�"
    return "�" if kind == "Cs" or (kind == "Cf" and character not in JOINERS) else character


def _child(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, Markup) else html.escape(visible(value), quote=False)


def _attribute(word: str, value: object) -> str:
    name = word.rstrip("_").replace("_", "-")
    if name not in ATTRIBUTES and not _MORE_ATTRIBUTES.fullmatch(name):
        raise RTKError(f"the attribute {name!r:.80} is not written", mend=f"one of {', '.join(sorted(ATTRIBUTES))}")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = visible(value)
    if name in ("href", "src") and not _ADDRESS.fullmatch(text):
        raise RTKError(f"{name}={text!r:.80} leads elsewhere", mend="a relative address, #…, https://…, a PNG as data:")
    if name == "style" and not _STYLE.fullmatch(text):
        raise RTKError(f"style={text!r:.80} could load something", mend="plain values, var(), calc() and colours")
    return f' {name}="{html.escape(text)}"'
