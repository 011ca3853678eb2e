"""A prediction as a notebook's cell shows it."""

import re
from html.parser import HTMLParser

import dspy
import pytest
from IPython.core.formatters import DisplayFormatter

import rtk
from rtk.testing import Reply, play

LONG = "word " * 1000
EVIL = '<img src=x onerror="alert(1)"> \u202e & </div><script>alert(1)</script>'


class Shown(HTMLParser):
    """A page's elements with what is written in each; every one of them ends."""

    def __init__(self, page):
        super().__init__()
        self.all, self.open, self.text = [], [], ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.all.append({"name": tag, "attributes": dict(attrs), "text": ""})
        if tag != "br":
            self.open.append(self.all[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()["name"] == tag

    def handle_data(self, data):
        self.text += data
        for one in self.open:
            one["text"] += data

    def named(self, name):
        return [one["text"] for one in self.all if one["name"] == name]


def chains(*answers):
    return [{"reasoning": f"It is {answer}.", "answer": answer} for answer in answers]


def voted(replies, samples=None, **arguments):
    vote = rtk.SelfConsistency("question -> answer", samples=samples or len(replies))
    return play(vote, replies, question="?", **arguments)


def cell(pred):
    """What IPython sends to the page, and nothing that it had to say about it."""
    data, metadata = DisplayFormatter().format(pred)
    assert metadata == {}
    return data


@pytest.fixture
def shown():
    return Shown(voted([*chains("42", "41", "42"), "no idea", *chains("42", "40", "42"), Reply("")])._repr_html_())


def test_a_cell_has_a_page_and_a_text(capfd):
    """IPython finds both ways to show a prediction, complains about none, and the text is as it was."""
    pred = voted(chains("42", "41", "42"))
    data = cell(pred)
    assert sorted(data) == ["text/html", "text/plain"]
    assert data["text/plain"] == repr(pred) == "Prediction(reasoning='It is 42.', answer='42')"
    assert Shown(data["text/html"]).text.startswith("answer 42")
    assert capfd.readouterr() == ("", "")


def test_the_answer_comes_first_and_the_reasoning_is_folded(shown):
    """The answer stands in large letters; what led to it needs a click."""
    assert shown.text.startswith("answer 42")
    assert shown.named("strong")[0] == "42"
    assert [text for text in shown.named("details") if text.startswith("reasoning")] == ["reasoningIt is 42."]
    folds = [one for one in shown.all if one["name"] == "details"]
    assert not any("open" in one["attributes"] for one in folds if one["text"].startswith(("reasoning", "delib")))


def test_the_vote_is_a_table_with_bars(shown):
    """Each answer with its votes, share and bar; what abstained is counted, and the winner marked."""
    rows = shown.named("tr")
    assert rows[0] == "answervotesshare"
    assert [re.sub("[█▏▎▍▌▋▊▉]", "", row) for row in rows[1:]] == [
        "✓ 42467 %", "41117 %", "40117 %", "abstained: 1 empty, 1 malformed2",
    ]  # fmt: skip
    assert [row.count("█") for row in rows] == [0, 13, 3, 3, 0]


def test_confidence_has_its_interval_and_its_size(shown):
    """No share without both, and with its margin."""
    assert "confidence 0.67 [0.30, 0.90] n=6 (95 % interval, wilson)" in shown.text
    assert "margin 0.50" in shown.text


def test_what_it_cost_and_how_it_came_about_is_told(shown):
    """The spending in words, then the deliberation, folded."""
    assert re.search(r"spent 1 call, 8 samples, [\d,]+ tokens", shown.text)
    assert "deliberation (9 steps)✓ chosen vote — 4 of 6 for 42" in shown.text


def test_a_budget_s_end_is_told():
    """A reader of the cell sees that it was cut, and by what."""
    page = voted(iter(chains("42", "42", "41")), samples=8, budget=rtk.Budget(samples=2))._repr_html_()
    assert "stopped: the budget of samples ran out; this is the best so far" in Shown(page).text


def test_no_answer_is_said():
    """Where all abstain there is no vote, and the abstentions are counted."""
    text = Shown(voted(["what?", "who?", Reply("")])._repr_html_()).text
    assert text.startswith("answer no answer")
    assert "abstained: 1 empty, 2 malformed" in text


def test_many_answers_are_counted():
    """A table has ten rows; the rest is one more, with their votes and share."""
    rows = Shown(voted(chains(*map(str, range(20))))._repr_html_()).named("tr")
    assert len(rows) == 12
    assert rows[-1].startswith("10 more1050 %")


def test_a_mean_that_nobody_gave_is_marked_nowhere():
    """It stands above the table, in which no answer won."""
    vote = rtk.SelfConsistency("question -> answer: int", samples=2, vote="mean")
    shown = Shown(play(vote, chains(1, 2), question="?")._repr_html_())
    assert shown.text.startswith("answer 1.5")
    assert "✓" not in "".join(shown.named("tr"))


def test_what_a_model_wrote_is_text():
    """Markup in an answer, in reasoning and in what could not be read does nothing."""
    page = voted([{"reasoning": EVIL, "answer": EVIL}, EVIL, {"reasoning": "", "answer": EVIL}])._repr_html_()
    shown = Shown(page)
    assert {one["name"] for one in shown.all} & {"script", "img"} == set()
    assert shown.named("strong")[0] == EVIL.replace("\u202e", "�")
    assert {"mathjax_ignore", "tex2jax_ignore"} <= set(shown.all[0]["attributes"]["class"].split())


def test_long_fields_are_shortened_and_counted():
    """An output has at most 2,000 characters on the page, so that a saved notebook stays small."""
    page = voted([{"reasoning": LONG, "answer": LONG}] * 8)._repr_html_()
    assert "… 3,000 more characters" in page or "… 2,999 more characters" in page
    assert len(page) < 20_000


def test_every_output_is_shown():
    """Several outputs, of any type, each with its name."""
    strategy = rtk.ChainOfThought("question -> title, lines: list[int], code")
    fields = {"reasoning": "r", "title": "a < b", "lines": [1, 2], "code": "if x:\n    y()"}
    shown = Shown(play(strategy, [fields], question="?")._repr_html_())
    assert shown.text.startswith("title a < blines [1, 2]code if x:    y()")


class About(dspy.Signature):
    """A signature whose fields are called as evidence is."""

    question: str = dspy.InputField()
    deliberation: str = dspy.OutputField()
    vote: str = dspy.OutputField()
    spent: float = dspy.OutputField()
    stopped: str = dspy.OutputField()
    abstentions: list[str] = dspy.OutputField()
    confidence: float = dspy.OutputField()


def test_a_field_of_the_signature_is_shown_as_what_it_is():
    """A signature's own `vote` is an output like any other, and takes nothing away from the evidence."""
    fields = {
        "deliberation": "long",
        "vote": "yes",
        "spent": 1.5,
        "stopped": "no",
        "abstentions": [],
        "confidence": 0.25,
    }
    program = rtk.SelfConsistency(About, samples=2)
    text = Shown(play(program, [{"reasoning": "r", **fields}] * 2, question="?")._repr_html_()).text
    assert text.startswith("deliberation longvote yesspent 1.5stopped noabstentions []confidence 0.25")
    assert "confidence 1.00 [0.34, 1.00] n=2" in text
    assert "deliberation (" in text


def test_a_prediction_without_evidence_is_shown():
    """One that a user made has its fields, and an empty one a page, too."""
    assert Shown(rtk.Prediction(answer="4")._repr_html_()).text == "answer 4"
    assert Shown(rtk.Prediction()._repr_html_()).text == ""


def test_the_same_run_is_the_same_page():
    """Two runs of the same replies give the same bytes."""
    assert len({voted(chains("42", "41", "42"))._repr_html_() for _ in range(2)}) == 1


def test_a_tree_is_shown_without_a_vote():
    """A tree of thoughts has no vote, and its thoughts are below the answer."""

    def reply(received):
        if "[[ ## thought ## ]]" in received.prompt:
            return {"reasoning": "next", "thought": f"step {received.index}"}
        return {"reasoning": "so", "answer": "7"}

    tree = rtk.TreeOfThoughts("question -> answer", breadth=1, branching=2, depth=2, values=0)
    shown = Shown(play(tree, reply, question="?")._repr_html_())
    assert shown.named("table") == []
    assert shown.text.startswith("answer 7")
    assert "✓ chosen thought — step 0" in shown.text
