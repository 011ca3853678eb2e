"""Folders of text: where passages begin and end, what they cite, and which files hold none."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtk
from rtk.errors import RetrievalError

GUIDE = """# Guide

It is short.

## Install

Take the box out.
Put it down.

Plug the cable in.

```
# no heading

run
```

## Care

Empty
=====

Filters
-------

Wash the filter monthly.
"""


def made(folder, **files):
    """A folder with files in it; `__` in a name is a folder's end, `_` its ending's dot."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def everything(retriever, k=99):
    """All passages that have the word "text", by id."""
    return {passage.id: passage.text for passage in retriever.search("text", k)}


def test_a_text_is_cut_at_its_headings(tmp_path):
    """A passage stands under its headings and cites file and line; code is no heading, and paragraphs go together."""
    retriever = rtk.Retriever(made(tmp_path, guide_md=GUIDE))
    found = {query: retriever.search(query)[0] for query in ("short", "plug the cable", "run", "wash filters")}
    assert {query: passage.source for query, passage in found.items()} == {
        "short": "guide.md:3",
        "plug the cable": "guide.md:7",
        "run": "guide.md:7",
        "wash filters": "guide.md:26",
    }
    assert found["short"].text == "Guide\nIt is short."
    assert found["run"].text == (
        "Guide > Install\nTake the box out.\nPut it down.\n\nPlug the cable in.\n\n```\n# no heading\n\nrun\n```"
    )
    assert found["wash filters"].text == "Empty > Filters\nWash the filter monthly."
    assert len(retriever) == 3


def test_a_heading_is_searched(tmp_path):
    """A passage is found by the heading that it stands under."""
    retriever = rtk.Retriever(made(tmp_path, a_md="# Refunds\n\nWithin 30 days.\n\n# Hours\n\nFrom nine to five."))
    assert retriever.search("may I have a refund")[0].text == "Refunds\nWithin 30 days."


def test_passages_keep_to_a_size(tmp_path):
    """`words=` bounds a passage: paragraphs part first, then sentences, then words; each piece knows its line."""
    text = "one text.\n\ntwo text here, a long one. Three text there.\nfour text\n\n"
    text += "text a b c d text e f g h text i"
    found = everything(rtk.Retriever(made(tmp_path, a_txt=text), words=5))
    assert found == {
        "a.txt:1": "one text.",
        "a.txt:3": "two text here, a long",
        "a.txt:3.2": "one. Three text there.",
        "a.txt:4": "four text",
        "a.txt:6": "text a b c d",
        "a.txt:6.2": "text e f g h",
        "a.txt:6.3": "text i",
    }


def test_files_are_read_in_order_and_from_below(tmp_path):
    """Files of all folders below are read, in the order of their names, links to folders and hidden ones left out."""
    folder = made(tmp_path, b_txt="text b", a__z_md="text z", a__a_rst="text a", x_png="text")
    (folder / ".hidden.md").write_text("text h", "utf-8")
    os.symlink(folder, folder / "loop")
    retriever = rtk.Retriever(folder)
    assert list(everything(retriever)) == ["a/a.rst:1", "a/z.md:1", "b.txt:1"]
    assert {(left.source, left.reason.split(" (")[0]) for left in retriever.dropped} == {
        (".hidden.md", "hidden"),
        ("loop", "a link to a folder"),
        ("x.png", "no text by its name"),
    }


def pieces(retriever, text):
    """The texts of all passages that share a word with a text, in the source's order."""
    found = {}
    for passage in retriever.search(text, 999):
        line, _, part = passage.id.rpartition(":")[2].partition(".")
        found[int(line), int(part or 1)] = passage.text
    return [found[place] for place in sorted(found)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfea\x00b\x00", "binary"),
        (b"text \0 text", "binary"),
        (b"caf\xe9 text", "not UTF-8 (byte 3)"),
        (b"", "holds no text"),
        (b" \n\n\t\n", "holds no text"),
        (b"# Heading\n\n## Another", "holds no text"),
    ],
)
def test_a_file_without_text_is_named(tmp_path, content, reason):
    """A file that is binary, in another encoding, or empty is left out, with why."""
    retriever = rtk.Retriever(made(tmp_path, a_txt=content, b_txt="a text"))
    assert [(left.source, left.reason) for left in retriever.dropped] == [("a.txt", reason)]
    with pytest.raises(RetrievalError, match="holds no passage") as refused:
        rtk.Retriever(tmp_path / "a.txt")
    assert reason in str(refused.value)


def test_an_enormous_file_is_named(tmp_path):
    """A file of more than 32 MiB is left out; it is not read in part."""
    made(tmp_path, b_txt="a text")
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(33 * 2**20)
    assert [left.reason for left in rtk.Retriever(tmp_path).dropped] == ["larger than 32 MiB"]


def test_what_is_no_file_is_named(tmp_path):
    """A pipe, or a link that leads nowhere, is not waited for."""
    made(tmp_path, c_txt="a text")
    os.mkfifo(tmp_path / "a.txt")
    os.symlink(tmp_path / "nowhere", tmp_path / "b.md")
    assert [(left.source, left.reason) for left in rtk.Retriever(tmp_path).dropped] == [
        ("a.txt", "no file"),
        ("b.md", "no file"),
    ]


def test_a_mark_at_the_beginning_and_other_line_ends(tmp_path):
    """A byte order mark is no text, and lines end as on any system."""
    retriever = rtk.Retriever(made(tmp_path, a_md=b"\xef\xbb\xbf# Title\r\n\r\na text\r\rb text"))
    assert everything(retriever) == {"a.md:3": "Title\na text\n\nb text"}


def test_the_same_passage_in_two_files_is_one(tmp_path):
    """A passage that stands in two files is kept once, and the other place is named."""
    retriever = rtk.Retriever(made(tmp_path, a_txt="some text", b_txt="Some  text"))
    assert [(left.source, left.reason) for left in retriever.dropped] == [("b.txt:1", "says the same as a.txt:1")]


def test_a_folder_without_texts_is_an_error(tmp_path):
    """An empty folder, or one of pictures, is refused and says what was there."""
    with pytest.raises(RetrievalError, match="holds no passage"):
        rtk.Retriever(tmp_path)
    made(tmp_path, a_png=b"\x89PNG")
    with pytest.raises(RetrievalError, match=r"a\.png: no text by its name"):
        rtk.Retriever(tmp_path)


def test_a_single_file_is_a_source(tmp_path):
    """The path of a text is cut like those in a folder, and another kind of file is refused."""
    made(tmp_path, a_md="# T\n\na text", b_pdf=b"%PDF")
    assert everything(rtk.Retriever(tmp_path / "a.md")) == {"a.md:3": "T\na text"}
    with pytest.raises(RetrievalError, match="neither a table nor a text"):
        rtk.Retriever(tmp_path / "b.pdf")
    with pytest.raises(RetrievalError, match="have no columns"):
        rtk.Retriever(tmp_path / "a.md", text="x")


@given(st.text(alphabet=st.sampled_from("ab.! \n\t1語"), max_size=60), st.integers(1, 6))
def test_no_text_is_lost_or_too_long(tmp_path_factory, text, words):
    """Whatever a text is, its passages hold all of its characters in their order, none of more words than it may."""
    path = tmp_path_factory.mktemp("texts") / "a.md"
    marked = "begin " + "".join(f"{character}z{n} " for n, character in enumerate(text))  # no two pieces say the same
    path.write_text(marked, "utf-8", newline="")
    held = pieces(rtk.Retriever(path, words=words, language=None), marked)
    assert "".join("".join(held).split()) == "".join(marked.split())
    assert all(len(piece.split()) <= words for piece in held)
