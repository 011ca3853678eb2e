"""The report of a study: one page that loads nothing, says what was measured, and holds the answers."""

import base64
import hashlib
import json
import re
import sys
from html.parser import HTMLParser

import pytest
from small_study import ABSTAINED, FAILED, HOSTILE, RIGHT, WRONG, attempt, row, study

from rtk.errors import RTKError
from rtk.experiments.analysis.summarising import summarise
from rtk.experiments.records.records import Arm, Card, Records
from rtk.experiments.reports import report_page
from rtk.experiments.reports.report import report
from rtk.experiments.reports.report_figures import embedded
from rtk.experiments.reports.report_page import Section

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """A page's elements and words; every element ends where it should."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.open, self.words, self.source = [], [], [], path.read_text("utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def rows(self):
        return [one for one in self.named("details") if "data-outcome" in one]


@pytest.fixture
def page(tmp_path):
    """A function: the report of records, read."""

    def made(records, *arguments, **how):
        report(records, tmp_path / "study.html", *arguments, **how)
        return Page(tmp_path / "study.html")

    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The report of a small study, read."""
    path = tmp_path_factory.mktemp("report") / "study.html"
    report(study(), path)
    return Page(path)


def test_it_says_what_was_measured(page):
    """Task, split, level, seed, fingerprint, metric, models, settings, versions and how complete it is."""
    about = {"rtk": "0.1.0", "dspy": "3.4.1", "python": "3.11.7", "made": "2026-01-02"}
    text = page(study(about=about, asked=99, stopped="interrupted")).text
    for said in ("arithmetic", "test", "f" * 64, "accuracy", "openai/small", "SelfConsistency", "samples=2",
                 "rtk 0.1.0", "dspy 3.4.1", "python 3.11.7", "2026-01-02", "12 of 99", "interrupted"):  # fmt: skip
        assert said in text


def test_it_has_its_sections(page):
    """Summary, figure, comparisons with warnings, grid, what is worth reading, and the answers, all linked to."""
    found = page(study([[RIGHT, WRONG]] * 8))
    headings = {one["id"] for one in found.named("section")}
    links = {one["href"][1:] for one in found.named("a")}
    assert {"what-was-measured", "summary", "accuracy-against-cost", "comparisons", "questions-by-settings",
            "accuracy-against-attempts", "accuracy-by-difficulty", "confidence-against-accuracy", "worth-reading",
            "answers"} <= headings  # fmt: skip
    assert headings <= links
    assert "Unmatched cost" in found.text
    assert len(found.named("svg")) == 4
    assert all(one["role"] == "img" and "accuracy" in one["aria-label"] for one in found.named("svg"))


def test_links_lead_to_answers(small):
    """Every answer worth reading links to its place below, and no id is there twice."""
    ids = [attributes["id"] for _, attributes in small.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert {one["href"][1:] for one in small.named("a")} <= set(ids)


def test_it_loads_nothing(small):
    """No element has an address but within the page, and the policy allows its own script by its hash alone."""
    for tag, attributes in small.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "action", "data", "srcset", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", small.source)
    (policy,) = [one["content"] for one in small.named("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    script = re.search(r"<script>(.*)</script>", small.source, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    assert "img-src data:" in policy


def test_every_answer_is_there_with_its_deliberation(small):
    """Each row is once on the page, the failed ones first, with question, answer, gold answer, cost and chains."""
    assert [one["data-outcome"] for one in small.rows] == [FAILED] * 2 + [ABSTAINED] + [WRONG] * 5 + [RIGHT] * 4
    assert sorted(int(one["id"].removeprefix("row-")) for one in small.rows) == list(range(12))
    assert small.source.count('class="rtk-deliberation') == 10
    assert "This page holds all 12 answers." in small.text
    assert "2 samples (2 drawn, 0 reused) · 40 tokens read, 24 written · $0.00200" in small.text


def test_what_is_left_out_is_said(page):
    """A limit keeps those that failed, and the page says how many of which kind it leaves out."""
    found = page(study(), rows=4)
    assert [one["data-outcome"] for one in found.rows] == [FAILED, FAILED, ABSTAINED, WRONG]
    assert "This page holds 4 answers of 12. Left out: 4 wrong, 4 right;" in found.text
    assert page(study(), rows=0).rows == []


def test_what_is_worth_reading_is_kept(page):
    """With fewer places than wrong answers, those that the page links to are among them."""
    found = page(study([[WRONG]] * 200), rows=20)
    ids = {one["id"] for one in found.rows}
    linked = {one["href"][1:] for one in found.named("a") if one["href"].startswith("#row-")}
    assert linked
    assert linked <= ids
    assert len(ids) == 20


def test_many_answers_show_fewer_steps(page):
    """The more answers a page holds, the fewer steps of each deliberation: the page stays one that opens."""
    few = page(study([[WRONG] * 7] * 2)).source
    many = page(study([[WRONG] * 7] * 100)).source
    assert "more step" not in few
    assert "more step" in many


def test_hostile_text_is_text(page):
    """Whatever questions, answers, errors, labels, names and deliberations hold, the page has our script alone."""
    records = study(question=HOSTILE + " {at} </title>" + "y" * 50_000, about={HOSTILE: HOSTILE})
    records.settings[0] = Arm(HOSTILE, HOSTILE, HOSTILE, {"samples": HOSTILE})
    records.task = Card(HOSTILE, HOSTILE, 6, HOSTILE, metric="accuracy")
    found = page(records)
    assert len(found.named("script")) == 1
    assert len(found.named("style")) == 1
    assert found.named("img") == []
    assert "\u202e" not in found.source
    assert "\x1b" not in found.source
    assert "document.title='pwned'" in found.text
    assert len(found.source) < 1_000_000


def test_a_story_that_cannot_be_read_is_said(page):
    """A deliberation of a stranger that is none does not keep the others from being shown."""
    records = Records.of(Card("t", "", 2, "0" * 64), [Arm("a", "P", "m")], [row(0, 0, WRONG), row(0, 1, RIGHT)],
                         [{"example": f"q{at}", "question": "?", "gold": "42"} for at in range(2)], (),
                         [{"arm": 0, "replicate": 0, "at": at, "story": story} for at, story in
                          enumerate(["[" * 5000, json.dumps({"schema": 1, "root": {"kind": "chain"}})])])  # fmt: skip
    found = page(records)
    assert "Its deliberation cannot be read." in found.text
    assert found.source.count('class="rtk-deliberation') == 1


def test_a_study_of_nothing_is_a_page(page):
    """Without a row or a setting there is a page that says so."""
    assert "There is no answer." in page(Records.of(Card("t", "", 0, "0" * 64), [], [], [])).text
    assert "There is no answer." in page(Records.of(Card("t", "", 0, "0" * 64), [Arm("a", "P", "m")], [], [])).text


def test_without_vl_convert_there_are_tables(page, monkeypatch):
    """Where nothing draws figures, the page says what would, and shows their rows."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    found = page(study([[RIGHT, WRONG]] * 8))
    assert found.named("svg") == []
    assert "needs vl-convert" in found.text
    assert "What the figure shows" in found.text


def test_sections_are_added(page):
    """More sections stand after the standard ones, also under a title that is taken, escaped unless they are HTML."""
    found = page(study(), sections=[Section("Summary", ["<b>mine</b>"]), Section("42", [None])], title="A <title>")
    ids = [one["id"] for one in found.named("section")]
    assert ids.count("summary") == 1
    assert {"summary-2", "section-42"} <= set(ids)
    assert "<b>mine</b>" in found.text
    assert "A <title>" in found.text


def test_the_same_study_is_the_same_page(page, small):
    """Two reports of the same records are equal, byte by byte."""
    assert page(study()).source == small.source


def test_mistakes_are_named(tmp_path):
    """Another ending, no folder, or a number below 0 is an error, and nothing is written."""
    for path, how in (
        (tmp_path / "study.pdf", {}),
        (tmp_path / "no" / "s.html", {}),
        (tmp_path / "s.html", {"rows": -1}),
    ):
        with pytest.raises(RTKError) as error:
            report(study(), path, **how)
        assert error.value.mend
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    """A report is written at once or not at all."""
    report(study(), tmp_path / "study.html")
    before = (tmp_path / "study.html").read_bytes()
    monkeypatch.setattr("rtk.experiments.reports.report.tail", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(study([[RIGHT]]), tmp_path / "study.html")
    assert [path.name for path in tmp_path.iterdir()] == ["study.html"]
    assert (tmp_path / "study.html").read_bytes() == before


def test_what_a_picture_could_do_is_left_out():
    """Of an SVG only shapes and words come through, with ids of their own: no script, no handler, no address."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" viewBox="0 0 9 9" onload="alert(1)">'
        '<rect width="9" height="9" fill="white"/><script>alert(1)</script><foreignObject><p>x</p></foreignObject>'
        '<a href="https://elsewhere"><text>linked</text></a><image href="https://elsewhere/x.png"/>'
        '<clipPath id="c1"><path d="M0,0"/></clipPath><g clip-path="url(#c1)" onclick="x()" style="fill:url(http://x)">'
        '<path d="M1,1" fill="url(https://elsewhere)"/><text fill="#000">a &lt;b&gt; \u202e</text></g></svg>'
    )
    made = embedded(svg, "f-", 'so "and" <so>')
    assert made == (
        '<svg role="img" aria-label="so &quot;and&quot; &lt;so&gt;" width="9" height="9" viewBox="0 0 9 9">'
        '<clipPath id="f-c1"><path d="M0,0"></path></clipPath><g clip-path="url(#f-c1)"><path d="M1,1"></path>'
        '<text fill="#000">a &lt;b&gt; �</text></g></svg>'
    )


def test_titles_become_ids():
    """A title of any words is an id that a link can lead to."""
    assert [report_page.slug(title) for title in ("Accuracy against cost", "42 %", "Ü", "")] == [
        "accuracy-against-cost", "section-42", "section", "section"]  # fmt: skip


def test_a_judged_study_leaves_out_what_its_attempts_cannot_tell(page):
    """Attempts without scores have no curve, and a sentence stands in its place."""
    records = study()
    attempts = [{**attempt(at, index, arm=1), "correct": False, "score": None} for at in range(6) for index in (0, 1)]
    rows = [row(arm, at, RIGHT, 1 + arm, pool=at) for arm in (0, 1) for at in range(6)]
    examples = [{"example": f"q{at}", "question": "?", "gold": None} for at in range(6)]
    card = Card("ideas", "test", 6, "0" * 64, metric="mean judged score")
    text = page(Records.of(card, records.settings, rows, examples, attempts)).text
    assert "Not shown: the attempts have no scores of their own" in text
    assert "coverage" not in text


def test_tables_scroll_by_themselves(small):
    """A table that is wider than a phone has a scroller of its own, also outside the report."""
    around = [one for one in small.named("div") if "overflow-x:auto" in one.get("style", "")]
    assert around
    assert all(one["tabindex"] == "0" and one["role"] == "region" and one["aria-label"] for one in around)
    assert "overflow-x:auto" in summarise(study())._repr_html_()
