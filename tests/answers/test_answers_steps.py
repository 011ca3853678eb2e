"""A chain of reasoning taken apart into steps, as models really write it."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.answers import steps, thinking


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Add 2 and 3.\n2. Double it.\n\nSo it is 10.", ["1. Add 2 and 3.", "2. Double it.", "So it is 10."]),
        ("1) one\n2) two", ["1) one", "2) two"]),
        ("Step 1: Add.\nThat is 5.\n\nStep 2: Go on.", ["Step 1: Add.\nThat is 5.", "Step 2: Go on."]),
        ("**Step 1**\nAdd.\n**Step 2:** Go.", ["**Step 1**\nAdd.", "**Step 2:** Go."]),
        ("### Step 1: A\ntext. More.\n\n- x\n\n### Step 2: B\n## Answer\n7",
         ["### Step 1: A\ntext. More.\n- x", "### Step 2: B", "## Answer\n7"]),
        ("## Solution\n\n1. a\n2. b", ["## Solution\n1. a", "2. b"]),
        ("1. **Total:**\n\n   3 + 4 = 7\n\n2. Rest", ["1. **Total:**\n   3 + 4 = 7", "2. Rest"]),
        ("1. Add\n- inner one\n- inner two\n2. Next", ["1. Add\n- inner one\n- inner two", "2. Next"]),
        ("- a\n- b\n  - c\n  - d\n* e", ["- a", "- b\n  - c\n  - d", "* e"]),
        ("1. Add. 2. Multiply by 3. 3. Done", ["1. Add.", "2. Multiply by 3.", "3. Done"]),
        ("Step 1: Add. Step 2: Go on.", ["Step 1: Add.", "Step 2: Go on."]),
        ("1.\n3 + 4 = 7\n2.\n7 * 2 = 14", ["1.\n3 + 4 = 7", "2.\n7 * 2 = 14"]),
        ("Schritt 1: Addieren.\nSchritt 2: Fertig.", ["Schritt 1: Addieren.", "Schritt 2: Fertig."]),
    ],
)  # fmt: skip
def test_marked_steps(text, expected):
    """Numbers, `Step n`, headings and bullets begin a step; what is nested in one stays in it."""
    assert steps(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 3.14. Then 2.5 more.", ["It is 3.14.", "Then 2.5 more."]),
        ("By e.g. Dr. Smith vs. J. Doe we know. So it is.", ["By e.g. Dr. Smith vs. J. Doe we know.", "So it is."]),
        ("He pays $3. She has $4. Both", ["He pays $3.", "She has $4.", "Both"]),
        ("We get $x = 3. Y$ and `a. B`. Then \\(a. B\\).", ["We get $x = 3. Y$ and `a. B`.", "Then \\(a. B\\)."]),
        ("First, 2 + 2 = 4.\nThen 4 + 2 = 6", ["First, 2 + 2 = 4.", "Then 4 + 2 = 6"]),
        ("x = 3 + 4\n  = 7\nDone", ["x = 3 + 4\n  = 7", "Done"]),
        ("a line that is\nbroken by hand. Next one", ["a line that is\nbroken by hand.", "Next one"]),
        ("先算2+2=4。然后4+2=6。", ["先算2+2=4。", "然后4+2=6。"]),
        ("Сначала 2 + 2 = 4. Потом 6.", ["Сначала 2 + 2 = 4.", "Потом 6."]),
        ("Really?! Yes. (It is.) \"So.\" Good", ["Really?!", "Yes.", "(It is.)", '"So."', "Good"]),
        ("", []),
        (" \n\t\n", []),
        ("7", ["7"]),
        ("---\na\n***\nb", ["a", "b"]),
    ],
)  # fmt: skip
def test_prose(text, expected):
    """A sentence is a step, and a line; decimals, abbreviations, formulas and code are not split."""
    assert steps(text) == expected


def test_code_and_formulas_stay_whole():
    """Blank lines and stops in a fence or a displayed formula end nothing."""
    code = "```python\nx = 1.\n\nY = 2\n```"
    assert steps(f"We run this:\n\n{code}\n\nIt works.") == [f"We run this:\n{code}", "It works."]
    formula = "\\[\n3 + 4.\n\n= 7\n\\]"
    assert steps(f"So:\n{formula}\nThen we go.") == [f"So:\n{formula}", "Then we go."]
    assert steps("$$\na\n$$") == ["$$\na\n$$"]
    assert steps("Never closed:\n```\n1. a\n2. b") == ["Never closed:\n```\n1. a\n2. b"]


@pytest.mark.parametrize(
    ("text", "inside", "rest"),
    [
        ("<think>2 + 2 = 4</think>It is 4", "2 + 2 = 4", "It is 4"),
        ("<THINKING>a", "a", ""),
        ("a</think>b", "a", "b"),
        ("no tags", "", "no tags"),
        ("before <think>a</think>", "before <think>a", ""),
        ("a <think> in prose", "", "a <think> in prose"),
    ],
)
def test_thinking(text, inside, rest):
    """What stands between the tags, closed, unclosed, or opened by the chat template; its steps come first."""
    assert thinking(text) == (inside, rest)
    assert steps("<think>First. Then it goes on") == ["First.", "Then it goes on"]
    assert steps("<think>First.</think>The answer: 3.") == ["First.", "The answer: 3."]


WRITTEN = st.lists(
    st.sampled_from(["1. ", "2) ", "- ", "  - ", "Step 3: ", "**Step 4** ", "## A ", "\n", "\n\n", ". ", "word ",
                     "3.5 ", "$x$ ", "\\[", "\\]", "$$", "```", "e.g. ", "Therefore ", "。", "| a |",
                     "! ", ":\n", "(", "\t"]),
    max_size=60,
).map("".join)  # fmt: skip


@given(st.one_of(WRITTEN, st.text(max_size=300)))
def test_nothing_is_lost(text):
    """The steps hold every word of the text, in order, and none is blank."""
    found = steps(text)
    assert re.findall(r"\w+", " ".join(found)) == re.findall(r"\w+", re.sub(r"(?i)</?think>", " ", text)) or "<" in text
    assert all(one.strip() for one in found)


@pytest.mark.parametrize(
    "text",
    ["." * 100_000, " . " * 33_000, "$a" * 50_000, "\n\\[" * 33_000, "\n$$" * 33_000, "1. " * 33_000,
     "\n1. a" * 25_000, "<think>" * 14_000, "\n```" * 25_000, "?\n" * 50_000, "a?\n?\n" * 20_000, "# " * 50_000,
     "1. " + "".join(f"a. {i}. " for i in range(2, 9000)), "A. " * 33_000, "。" * 100_000, "| a |\n" * 16_000,
     "\n\\begin{" * 12_000, "* " * 50_000, "((" * 50_000, "word " * 20_000, "`" * 100_000, "\n" * 100_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_crafted_texts_take_no_longer_than_others(text):
    """100 kB of anything are read in time that grows with their length."""
    started = time.process_time()
    steps(text)
    assert time.process_time() - started < 5
