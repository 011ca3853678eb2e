"""The tree as HTML for a notebook or a page."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_deliberation_steps import TREES

from rtk._html import visible
from rtk.deliberation import Deliberation, Step
from rtk.errors import RTKError

FOUND = "3 boxes of 14 make 42, as 3 times 10 is 30 and 3 times 4 is 12, and nothing\nis said of a box that is lost."


class Page(HTMLParser):
    """The elements of a page, each with its attributes, the names of those around it, and all text within."""

    def __init__(self, text):
        super().__init__()
        self.text, self.all, self.open = "", [], []
        self.feed(text)
        self.close()
        assert self.open == [], "every element ends"

    def handle_starttag(self, tag, attrs):
        made = {"name": tag, "attributes": dict(attrs), "around": [one["name"] for one in self.open], "text": ""}
        self.all.append(made)
        if tag != "br":
            self.open.append(made)

    def handle_endtag(self, tag):
        assert self.open.pop()["name"] == tag

    def handle_data(self, data):
        self.text += data
        for one in self.open:
            one["text"] += data

    def named(self, name):
        return [one for one in self.all if one["name"] == name]


def items(shown):
    """The rows of the tree, without what stands above it."""
    return [one for one in shown.named("li") if one["around"][-1] == "ul"]


def page(told, **arguments):
    return Page(told.html(**arguments))


def one_line(text):
    return " ".join(text.split())


def vote():
    return Deliberation(
        Step("vote", "2 of 4 for 42", score=0.5, state="chosen", label="vote", children=[
            Step("chain", FOUND, state="chosen", label="42", tokens=61),
            Step("chain", "14 + 14 + 14", label="41", tokens=1),
            Step("chain", "14  + 14 + 14", label="41"),
            Step("chain", "It is 40.", label="40", tokens=1234, children=[
                Step("check", "3 × 14 = 40", state="dead end", reason="3 × 14 is 42")]),
            Step("chain", state="dead end", reason="cut off after 1,024 tokens"),
        ])
    )  # fmt: skip


def wide(chains=200, steps=20):
    """A tree of many steps, two of which were chosen."""
    children = [Step("chain", f"c{i}", children=[Step("step", str(j)) for j in range(steps)]) for i in range(chains)]
    children[-2].state = children[-2].children[-2].state = "chosen"
    return Deliberation(Step("vote", "v", state="chosen", children=children))


def test_a_vote_reads_at_a_glance():
    """Each step in a line: sign, state, kind, label, text, reason, how often, score and tokens."""
    shown = page(vote())
    assert shown.named("summary")[0]["text"] == "✓ chosen vote — 2 of 4 for 42 · score 0.50"
    lines = [item["text"] for item in shown.named("li")]
    assert lines[0].startswith("✓ chosen chain 42 — 3 boxes of 14 make 42, as 3 times 10 is 30 and 3 times 4 is… · 61")
    assert lines[1] == "· open chain 41 — 14 + 14 + 14 ×2 · 1 token"
    assert lines[2].startswith("· open chain 40 — It is 40. · 1,234 tokens")
    assert lines[3] == "✗ dead end check — 3 × 14 = 40 (3 × 14 is 42)"
    assert lines[4] == "✗ dead end chain (cut off after 1,024 tokens)"


def test_every_state_has_its_sign_and_its_word():
    """What became of a thought is told without colour; a screen reader reads the word alone."""
    states = ["open", "kept", "pruned", "dead end", "backtracked", "chosen"]
    shown = page(Deliberation(Step("route", "r", children=[Step("thought", "t", state=state) for state in states])))
    items = [item["text"] for item in shown.named("li")]
    assert items == [f"{sign} {state} thought — t" for sign, state in zip("·•✗✗↩✓", states, strict=True)]
    assert [one["text"] for one in shown.all if one["attributes"].get("aria-hidden")] == list("··•✗✗↩✓")


def test_the_chosen_path_is_open_and_the_rest_folded():
    """What led to the answer is unfolded, the root always; everything else needs a click."""
    told = vote()
    folds = page(told).named("details")
    assert [("open" in one["attributes"], one["text"].split()[1]) for one in folds] == [
        (True, "chosen"), (True, "chosen"), (False, "open"),
    ]  # fmt: skip
    told.root.state = "dead end"
    assert "open" in page(told).named("details")[0]["attributes"]


def test_long_text_is_folded_and_whole():
    """A text longer than a line stands whole, line by line, below its beginning."""
    block = next(one for one in page(vote()).named("bdi") if "div" in one["around"][1:])
    assert block["text"] == FOUND.replace("\n", "")
    assert "nothing<br>is said" in vote().html()


def test_very_long_text_is_shortened_and_counted():
    """By default a text has at most 1,000 characters on the page; the count tells of the rest, and `None` lifts it."""
    told = Deliberation(Step("chain", "word " * 1000, reason="why " * 300))
    assert len(told.html()) < 4000
    assert re.findall(r"… ([\d,]+) more characters", told.html()) == ["4,000", "200"]
    assert "more character" not in told.html(characters=None)
    assert page(told, characters=None).text.count("word") > 1000
    assert "… 4,993 more characters" in told.html(characters=7)


def test_the_chosen_path_is_always_shown():
    """Where the tree does not fit, the chosen path is shown and the rest is counted, however few are asked for."""
    for steps in (-1, 0, 12, 200):
        shown = page(wide(), steps=steps)
        assert len(items(shown)) - shown.text.count("more step") == max(steps, 3) - 1
        assert "✓ chosen chain — c198" in shown.text
        assert "✓ chosen step — 18" in shown.text
        assert "… 19 more steps" in shown.text


@pytest.mark.parametrize("steps", [1, 50, 100, 200, 4000])
def test_steps_are_all_accounted_for(steps):
    """Shown and counted steps add up to the whole tree."""
    shown = page(wide(), steps=steps)
    hidden = [int(found.replace(",", "")) for found in re.findall(r"… ([\d,]+) more step", shown.text)]
    assert 1 + len(items(shown)) - len(hidden) + sum(hidden) == 1 + 200 * 21


def test_a_large_tree_keeps_a_notebook_small():
    """The default bounds what a saved notebook holds; `None` shows everything."""
    told = wide()
    for _, step in told.walk():
        step.text += " and so on" * 200
    assert len(told.html()) < 400_000
    assert len(items(page(told, steps=None, characters=0))) == 200 * 21


def test_what_a_model_wrote_is_text():
    """Markup, scripts, attributes and characters that reorder a page are shown and do nothing."""
    evil = "</li></ul><script>alert(1)</script><img src=x onerror=alert(1)> \" ' & \u202eevil\x1b[31m\x00\ud800"
    shown = page(Deliberation(Step("chain", evil, label=evil, reason=f"no: {evil}", children=[Step("step", evil)])))
    names = {one["name"] for one in shown.all}
    assert names == {"bdi", "details", "div", "li", "small", "span", "strong", "summary", "ul"}
    assert "\u202e" not in shown.text
    assert shown.text.count("<script>alert(1)</script>") > 2


def test_dollars_are_no_formula():
    """JupyterLab is told not to typeset what stands between two dollar signs."""
    assert {"mathjax_ignore", "tex2jax_ignore"} <= set(page(vote()).all[0]["attributes"]["class"].split())


@given(TREES)
def test_every_tree_is_well_formed(root):
    """Whatever the tree, elements are balanced, lists hold items only, and each step's text is there."""
    shown = page(Deliberation(root), steps=None, characters=None)
    for one in shown.all:
        around = one["around"][-1:]
        assert (one["name"] == "li") == (around in (["ul"], ["ol"]))
        assert one["name"] != "summary" or around == ["details"]
    whole = one_line(shown.text)
    for _, step in Deliberation(root).walk():
        for text in (step.text, step.label, step.reason):
            assert one_line(visible(one_line(text))) in whole


@given(TREES, st.integers(0, 6), st.integers(0, 10))
def test_the_same_tree_is_the_same_page(root, steps, characters):
    """Bytes are a function of the tree and the arguments alone, and asking changes nothing."""
    told = Deliberation(root)
    twin = Deliberation.from_dict(told.to_dict())
    assert told.html(steps, characters) == twin.html(steps, characters) == told.html(steps, characters)
    assert told == twin


def test_endless_trees_are_refused():
    """A step within itself is an error; 200 levels are shown."""
    loop = Step("step", "again")
    loop.children += [loop, loop]
    with pytest.raises(RTKError, match="nested"):
        Deliberation(loop).html()
    deep = Step("step", "deepest", state="chosen")
    for _ in range(200):
        deep = Step("step", "x", state="chosen", children=[deep])
    assert "deepest" in Deliberation(deep).html()
    with pytest.raises(RTKError, match="nested"):
        Deliberation(Step("step", children=[deep])).html()


def test_a_notebook_shows_the_tree():
    """The cell's HTML is the tree at its defaults."""
    assert vote()._repr_html_() == vote().html()
