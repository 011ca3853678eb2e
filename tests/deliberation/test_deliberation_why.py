"""Why an answer was given: what stands above a large tree, as text and as HTML."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_deliberation_html import items, page
from test_deliberation_steps import TREES
from test_deliberation_text import columns

from rtk.deliberation import Deliberation, Step
from rtk.deliberation.rows import tree
from rtk.deliberation.why import why

EVIL = "</ol></div><script>alert(1)</script> \u202e\x1b[31m"
GROVES = st.lists(TREES, min_size=3, max_size=5).map(lambda trees: Step("route", state="chosen", children=trees))


def search():
    """Two levels: beside the chosen thoughts one was kept, and others were pruned for broken clues."""
    first = [Step("thought", str(i), 0.0, "pruned", reason=f"{i} goes against: the sum is 9") for i in range(7)]
    second = [Step("thought", f"b{i}", 0.25, "open") for i in range(4)]
    best = Step("thought", "a", 0.75, "chosen", children=[*second, Step("thought", "b", 0.5, "chosen")])
    kept = Step("thought", "c", 0.75, "kept", children=[Step("thought", "d", 0.5, "backtracked", reason="no end")])
    return Deliberation(Step("route", label="bfs, depth 2", state="chosen", children=[*first, best, kept]))


def vote(chains=20):
    """A third says 42, a third 41, and a third gave no answer."""
    ends = [("kept", "42", ""), ("open", "41", ""), ("dead end", "cut", "cut off")]
    children = [Step("chain", f"chain {i}", None, *ends[i % 3][:2], reason=ends[i % 3][2]) for i in range(chains)]
    children[3].state = "chosen"
    return Deliberation(Step("vote", "7 of 14 for 42", 0.5, "chosen", label="vote", children=children))


def test_a_tree_tells_why_and_what_became_of_the_rest():
    """Each step of the way with its score, how it stood among others, and its siblings by what became of them."""
    assert search().text().partition("\n\n")[0].splitlines() == [
        "Why this answer: 3 steps of 16 led to it",
        "1. route bfs, depth 2",
        "2. a · score 0.75",
        "   the first of 2 with the best score, of 9; beside it • 1 kept, ✗ 7 pruned (…: the sum is 9)",
        "3. b · score 0.50",
        "   the best score of 5 as deep; beside it · 4 open",
        "The other 13 steps: • 1 kept, · 4 open, ↩ 1 backtracked (no end), ✗ 7 pruned (…: the sum is 9)",
    ]


def test_a_vote_tells_who_agreed():
    """Answers are counted, and what gave none by its kind; nothing is said twice."""
    assert vote().text().partition("\n\n")[0].splitlines() == [
        "Why this answer: 2 steps of 21 led to it",
        "1. vote — 7 of 14 for 42 · score 0.50",
        "2. chain 42 — chain 3",
        "   beside it • 6 agree (42), · 7 say otherwise (41), ✗ 6 without an answer (cut)",
    ]


def test_the_page_tells_the_same():
    """The HTML has the same words above its tree, as a list."""
    for told in (search(), vote()):
        text, shown = told.text().partition("\n\n")[0], page(told)
        above = [one["text"] for one in shown.named("li") if one["around"][-1] == "ol"]
        assert shown.named("strong")[0]["text"] == text.splitlines()[0]
        found = re.findall(r"(?:the first|the best|beside) .*", text)
        assert found
        assert all(any(said in one for one in above) for said in found)
        last = text.splitlines()[-1]
        assert last.startswith(" ") or last in shown.text


def test_a_small_tree_speaks_for_itself():
    """Twelve rows are read at a glance, and nothing stands above them; nor where there are few lines."""
    small = Deliberation(Step("route", "r", state="chosen", children=[Step("thought", str(i)) for i in range(11)]))
    assert small.text().splitlines()[0] == "✓ route — r"
    assert page(small).named("ol") == []
    assert search().text(lines=12).splitlines()[0] == "✓ route bfs, depth 2"


def test_a_better_score_that_came_to_nothing_is_told():
    """A reader sees that a sibling scored higher, and why it did not answer."""
    told = search()
    told.root.children[0].score = 1.0
    told.root.children[0].state = "backtracked"
    assert "1 of 9 scored higher (1 backtracked)" in told.text()


def test_no_answer_is_explained():
    """Where nothing was chosen, the reasons stand alone."""
    children = [Step("thought", str(i), state="pruned", reason=f"rule {i % 2}") for i in range(14)]
    told = Deliberation(Step("route", state="dead end", reason="no thought was found", children=children))
    assert told.text().startswith("Why there is no answer\n14 steps: ✗ 14 pruned (rule 0 ×7, rule 1 ×7)\n\n✗ route")
    assert "✗ 14 pruned (rule 0 ×7, rule 1 ×7)" in page(told).text


def test_several_steps_may_lead_to_an_answer():
    """A debate's whole line of steps is told in order, and is what `chosen` holds; a long one loses its middle."""
    children = [Step("chain", f"turn {i}", state="chosen" if i % 2 else "open") for i in range(100)]
    told = Deliberation(Step("route", "debate", state="chosen", children=children))
    assert [step.text for step in told.chosen] == ["debate", *(f"turn {i}" for i in range(1, 100, 2))]
    lines = told.text().partition("\n\n")[0].splitlines()
    assert lines[2] == "2. chain — turn 1"
    assert any(re.fullmatch(r" +… \d+ steps between", line) for line in lines)
    assert "51. chain — turn 99" in lines
    assert [one["attributes"].get("start") for one in page(told).named("ol")] == [None, "42"]
    assert "… 31 steps between" in page(told).text


def test_siblings_that_were_given_up_are_folded_together():
    """On the page they need one click and are counted by reason; the others keep their places."""
    shown = page(search())
    lines = [one["text"] for one in items(shown) if one["around"].count("ul") == 1]
    assert [line.split(" thought")[0] for line in lines[:2]] == ["✓ chosen", "• kept"]
    assert lines[2].startswith("✗ 7 pruned (…: the sum is 9)✗ pruned thought — 0 (0 goes against")
    fold = next(one for one in shown.named("details") if one["text"].startswith("✗ 7 pruned"))
    assert "open" not in fold["attributes"]


def test_a_folded_row_says_what_is_within():
    """How many steps, and what became of them, so that one sees why it was not it."""
    assert re.search(r"• c \[\+1: ↩ 1 backtracked\] +0\.75", search().text(lines=20))
    assert "• kept thought — c · score 0.75 · 1 within: ↩ 1 backtracked" in page(search()).text


def test_counts_and_reasons_survive_a_long_text():
    """How often something was said, and why it was given up, is not cut off with the text."""
    children = [Step("thought", "word " * 500, state="pruned", reason="too long") for _ in range(9)]
    line = Deliberation(Step("route", "r", children=children)).text().splitlines()[-1]
    assert line.endswith("(too long) ×9")


def test_what_a_model_wrote_above_the_tree_is_text():
    """Reasons and answers in the counts are escaped, neutralised and shortened."""
    told = vote()
    for step in told.root.children:
        step.label, step.reason = f"{step.label} {EVIL}" * 50, EVIL * 50
    shown, text = page(told), told.text()
    assert {one["name"] for one in shown.all} == {
        "bdi", "details", "div", "li", "ol", "small", "span", "strong", "summary", "ul",
    }  # fmt: skip
    assert "\u202e" not in shown.text + text
    assert "\x1b" not in text
    assert max(map(columns, text.splitlines())) <= 100


@given(GROVES)
def test_every_step_is_counted(root):
    """What led to the answer and what became of the rest add up to the tree."""
    everything = [step for _, step in Deliberation(root).walk()]
    told = why(tree(root))
    led = int(re.search(r": ([\d,]+) steps? of", told.title)[1].replace(",", ""))
    counted = sum(int(fate.said.split()[0].replace(",", "")) for fate in told.fates)
    if told.fates:
        assert led + counted == len(everything)
    for fate in told.fates:
        assert not fate.groups or sum(n for _, n in fate.groups) + fate.others == int(fate.said.split()[0])


@given(GROVES, st.integers(48, 120), st.integers(3, 80))
def test_large_trees_fit_the_page(root, width, lines):
    """With what stands above it, no tree is wider or longer than asked for."""
    found = Deliberation(root).text(width, lines).splitlines()
    assert max(map(columns, found)) <= width
    assert len(found) <= lines


@pytest.mark.parametrize("shape", ["flat", "all chosen", "deep"])
def test_time_and_size_are_bounded(shape):
    """Twenty thousand steps take seconds (they would take minutes if each were compared with each)."""
    state = "chosen" if shape == "all chosen" else "open"
    root = Step("route", "r", state="chosen", children=[])
    for i in range(20_000 if shape != "deep" else 100):
        inner = Step("thought", f"t{i}", 0.5, state, reason=f"r{i}")
        for j in range(198 if shape == "deep" else 0):
            inner = Step("thought", f"t{j}", 0.5, "chosen" if i == 5 else state, children=[inner])
        root.children.append(inner)
    begun = time.perf_counter()
    text, shown = Deliberation(root).text(), Deliberation(root).html()
    assert time.perf_counter() - begun < 30
    assert len(text.splitlines()) <= 60
    assert len(shown) < 120_000
