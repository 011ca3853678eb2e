"""Elements: whatever text goes in, a parser finds the elements that were built and the text that was given."""

import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk._html import ELEMENTS, VOID, Markup, element, fragment, lines, visible
from rtk.errors import RTKError

ANY = st.characters(exclude_categories=())  # lone surrogates, too
MARKUP = st.sampled_from(["<", ">", "&", '"', "'", "</p>", "<script>", "-->", "&lt;", "&#60;", "]]>", "\r\n", "\u202e"])
TEXT = st.lists(ANY | MARKUP, max_size=12).map("".join)
ATTRIBUTES = st.dictionaries(st.sampled_from(["class_", "title", "lang", "aria_label", "data_x"]), TEXT, max_size=3)
NESTED = st.recursive(
    TEXT,
    lambda inner: st.tuples(
        st.sampled_from(sorted(ELEMENTS - VOID)), ATTRIBUTES, st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=8,
)


class Parsed(HTMLParser):
    """The elements of a page as `(name, attributes, children)`, and anything else as it was called."""

    def __init__(self, text):
        super().__init__()
        self.root = ("", {}, [])
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root], "every element ends"

    def handle_starttag(self, tag, attrs):
        made = (tag, dict(attrs), [])
        assert len(made[1]) == len(attrs)
        self.open[-1][2].append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.open[-1][2].append(data)

    def unexpected(self, *found):
        raise AssertionError(found)

    handle_comment = handle_decl = handle_pi = unknown_decl = handle_startendtag = unexpected


def built(node):
    if isinstance(node, str):
        return node
    name, attributes, children = node
    return element(name, *map(built, children), **attributes)


def expected(node):
    """A node as a parser finds it: names with hyphens, text as it is seen, neighbouring texts as one."""
    name, attributes, children = node
    written = {key.rstrip("_").replace("_", "-"): visible(value) for key, value in attributes.items()}
    found = []
    for child in children:
        if not isinstance(child, str):
            found.append(expected(child))
        elif found and isinstance(found[-1], str):
            found[-1] += visible(child)
        elif child:
            found.append(visible(child))
    return (name, written, found)


@given(NESTED.filter(lambda node: isinstance(node, tuple)))
def test_a_parser_finds_what_was_built(node):
    """Elements, attributes and text come back as they went in, whatever characters they hold."""
    assert Parsed(built(node)).root[2] == [expected(node)]


@given(TEXT)
def test_text_is_no_markup(text):
    """Nothing in a text opens or ends an element, an attribute or a comment."""
    inside = element("p", text).removeprefix("<p>").removesuffix("</p>")
    assert not set("<>") & set(inside)
    value = element("p", title=text).removeprefix('<p title="').removesuffix('"></p>')
    assert not set("<>\"'") & set(value)


@given(TEXT)
def test_every_character_is_seen(text):
    """No character is left that is invisible, turns the direction of reading, or cannot be encoded."""
    seen = visible(text)
    seen.encode()
    hidden = [one for one in seen if unicodedata.category(one) in ("Cc", "Cf", "Cs")]
    assert set(hidden) <= set("\t\n\u200c\u200d")
    assert visible(seen) == seen


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("a\r\nb\rc\td", "a\nb\nc\td"), ("\x00\x1b[31m\x7f\x9b", "␀␛[31m��"), ("\u202eevil\u2066\ufeff", "�evil��"),
        ("\ud800", "�"), ("é 漢 👩\u200d🔬 x²", "é 漢 👩\u200d🔬 x²"), (4.5, "4.5"),
    ],
)  # fmt: skip
def test_what_is_hidden_becomes_visible(given, seen):
    """Control characters become their pictures, tricks a replacement character, and ordinary text stays."""
    assert visible(given) == seen


@pytest.mark.parametrize(
    "name", ["script", "style", "iframe", "object", "embed", "form", "link", "meta", "base", "svg", "math", "template",
             "foreignObject", "button", "input", "textarea", "P", "", "p onclick=alert(1)", "h7"],
)  # fmt: skip
def test_elements_that_could_do_something_are_not_built(name):
    """Only what is structure and text is built; an error names it."""
    with pytest.raises(RTKError, match="not built") as caught:
        element(name)
    assert "summary" in (caught.value.mend or "")


@pytest.mark.parametrize(
    "name", ["onclick", "onload_", "ontoggle", "srcdoc", "formaction", "srcset", "action", "xlink_href", "id", "ping",
             "http_equiv", "data_commandlinker_command", "x y", "class=", "aria_", "TITLE", "_"],
)  # fmt: skip
def test_attributes_that_could_do_something_are_not_written(name):
    """Only known attributes are written, also where their value would be left out."""
    for value in ("alert(1)", True, None):
        with pytest.raises(RTKError, match="not written"):
            element("div", **{name: value})


@pytest.mark.parametrize("address", ["", "#here", "figures/a.png", "/a/b?c=d&e#f", "https://arxiv.org/abs/2203.11171",
                                     "data:image/png;base64,iVBORw0KGgo="])  # fmt: skip
def test_addresses_that_stay_are_written(address):
    """Relative ones, places on the page, https and PNGs."""
    assert Parsed(element("a", "x", href=address) + element("img", src=address)).root[2] == [
        ("a", {"href": address}, ["x"]), ("img", {"src": address}, []),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "JaVaScRiPt:1", "java\nscript:alert(1)", "\x01javascript:1", " javascript:1", "//evil/x",
     "\\\\evil.com", "/\\evil.com", "http://x", "data:text/html,<script>", "data:image/svg+xml;base64,PHN2Zz4=",
     "data:image/png;base64,x\"y", "vbscript:1", "file:///etc/passwd", "a:b", "https://a b"],
)  # fmt: skip
def test_addresses_that_lead_elsewhere_are_refused(address):
    """What could run a script, load another page or hide where it leads is an error."""
    for name, attribute in (("a", "href"), ("img", "src")):
        with pytest.raises(RTKError, match="leads elsewhere"):
            element(name, **{attribute: address})


def test_styles_load_nothing():
    """Plain values, variables and calculations are written; whatever could load a file is refused."""
    style = "color:var(--jp-border-color1,#4a86c8);width:calc(100% - 2em);margin:.2em 0"
    assert element("p", style=style) == f'<p style="{style}"></p>'
    for bad in ("background:url(//x)", "background:image-set('x' 1x)", "a:u\\72l(x)", "width:expression(1)", "a:'b'",
                "background:src(x)", "background:image(x)", "@import x", "a:</style>"):  # fmt: skip
        with pytest.raises(RTKError, match="could load"):
            element("p", style=bad)


def test_what_is_not_said_is_left_out():
    """None is no child; True is an attribute without a value, None and False are none."""
    made = element("details", None, "a", 0, open=True, title=None, class_=False)
    assert made == "<details open>a0</details>"


def test_an_element_without_content_holds_nothing():
    """A line break has no end, and nothing can be put into it."""
    assert fragment("a", element("br"), "b") == "a<br>b"
    with pytest.raises(RTKError, match="holds nothing"):
        element("br", "a")


def test_only_markup_stays_markup():
    """What is done to markup as to a text makes a text of it, which is escaped again."""
    made = element("b", "x")
    assert type(made) is type(fragment(made)) is Markup
    for text in (made + "", made[:], f"{made}", made.replace("x", "y"), "".join([made]), made.upper()):
        assert type(text) is str
        assert "<b>" not in element("p", text).lower()


def test_lines_are_seen_and_counted():
    """Line breaks of a text are breaks on the page, and what is cut from it is counted."""
    assert lines("a <\nb\r\nc") == "a &lt;<br>b<br>c"
    assert lines("abcdef", 5) == "abcde<small> … 1 more character</small>"
    assert lines("a" * 5000, 1000).endswith("<small> … 4,000 more characters</small>")
    assert lines("abc", 3) == "abc"
