"""The tree as text for a terminal."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_deliberation_steps import TREES

from rtk.deliberation import Deliberation, Step


def vote():
    return Deliberation(
        Step("vote", "2 of 4 for 42", score=0.5, state="chosen", label="vote", children=[
            Step("chain", "3 boxes of 14 make 42.", state="chosen", label="42", tokens=61),
            Step("chain", "14 + 14 + 14", label="41", tokens=12),
            Step("chain", "14  + 14 + 14", label="41", tokens=13),
            Step("chain", "It is 40.", label="40", tokens=9, children=[
                Step("check", "3 × 14 = 40", state="dead end", reason="3 × 14 is 42")]),
            Step("chain", state="dead end", reason="cut off after 1,024 tokens", tokens=1024),
        ])
    )  # fmt: skip


def test_a_vote_reads_at_a_glance():
    """Branches, marks, equal siblings folded, reasons, and the numbers in columns at the right."""
    assert str(vote()).splitlines() == [
        "✓ vote — 2 of 4 for 42                      0.50",
        "├─ ✓ chain 42 — 3 boxes of 14 make 42.               61 tok",
        "├─ · chain 41 — 14 + 14 + 14 ×2                      25 tok",
        "├─ · chain 40 — It is 40.                             9 tok",
        "│  └─ ✗ check — 3 × 14 = 40 (3 × 14 is 42)",
        "└─ ✗ chain (cut off after 1,024 tokens)           1,024 tok",
    ]


def test_every_state_has_its_mark():
    """What became of a thought is seen before it is read; large scores are shortened."""
    states = ["open", "kept", "pruned", "dead end", "backtracked", "chosen"]
    children = [Step("thought", state, state=state, score=1e6 if state == "open" else None) for state in states]
    lines = Deliberation(Step("route", "r", children=children)).text().splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["·", "•", "✗", "✗", "↩", "✓"]
    assert lines[0].endswith("1e+06")


def test_long_text_takes_two_lines():
    """Long text is wrapped between words under its own beginning, and what is cut ends in an ellipsis."""
    told = Deliberation(Step("chain", "one", children=[Step("step", "word " * 40), Step("step", "z")]))
    first, second = told.text(60).splitlines()[1:3]
    assert first.startswith("├─ · word word")
    assert second.startswith("│    word word")
    assert second.endswith("word…")


def test_the_chosen_path_is_always_told():
    """Where the tree does not fit, the chosen path is shown and the rest is counted."""
    children = [Step("chain", f"c{i}", children=[Step("step", str(j)) for j in range(20)]) for i in range(200)]
    children[150].state = children[150].children[7].state = "chosen"
    lines = Deliberation(Step("vote", "v", children=children)).text(lines=12).splitlines()
    assert len(lines) <= 12
    assert any(line.endswith("✓ chain — c150") for line in lines)
    assert any(line.endswith("✓ 7") for line in lines)
    assert any("… 19 more steps" in line for line in lines)


@pytest.mark.parametrize("most", [3, 20, 60, 400])
def test_steps_are_all_accounted_for(most):
    """Shown and counted steps add up to the whole tree."""
    children = [Step("chain", f"c{i}", children=[Step("step", str(j)) for j in range(5)]) for i in range(30)]
    lines = Deliberation(Step("vote", "v", children=children)).text(lines=most).splitlines()
    tree = lines[lines.index("") + 1 :] if "" in lines else lines
    hidden = [int(found) for line in tree for found in re.findall(r"(?:… |\[\+)([\d,]+)", line)]
    folds = sum("… " in line for line in tree)
    assert len(tree) - folds + sum(hidden) == 1 + 30 * 6


def test_model_text_cannot_touch_the_terminal():
    """Colours, titles, cursor moves, text reversal and control characters of a model's text are neutralised."""
    evil = "x\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eevil\x00\r\nnext\x08 \ud800"
    shown = Deliberation(Step("chain", evil, label=evil, reason=evil)).text()
    assert all(unicodedata.category(one) not in ("Cc", "Cf", "Cs") for one in shown.replace("\n", ""))
    assert "title" not in shown
    assert "red" in shown


def columns(text):
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) > 0 or unicodedata.category(one) == "Mn" for one in text)


@given(TREES, st.integers(1, 120), st.integers(1, 30))
def test_every_tree_fits_the_page(root, width, lines):
    """No tree is wider or longer than asked for, beyond the 48 columns and three lines that are always shown."""
    found = Deliberation(root).text(width, lines).splitlines()
    assert max(map(columns, found)) <= max(width, 48)
    assert len(found) <= max(lines, 3)
