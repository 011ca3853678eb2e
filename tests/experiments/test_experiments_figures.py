"""Figures: charts that draw themselves without a network, the same on every run, in a notebook and in files."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import altair as alt
import pytest
from attempts_drawn import records
from made_sweeps import arms_of, ladder, made

from rtk.errors import MissingExtra, RTKError
from rtk.experiments.analysis.frontiers import frontier
from rtk.experiments.replays.resampled import MAJORITY, curve_of

VEGA_LITE = "application/vnd.vegalite.v5+json"
ANSWERS = [["1" if (at * 7 + k * 5) % 11 < 4 + at % 5 else "2" for k in range(8)] for at in range(40)]


def drawn(answers=ANSWERS):
    return curve_of(records(answers, settings=sorted({1, len(answers[0])})))


@pytest.fixture
def curve():
    return drawn()


def spec(figure):
    return figure._repr_mimebundle_()[0][VEGA_LITE]


def encodings(chart, channel):
    return [layer["encoding"][channel] for layer in chart["layer"]]


def data_of(chart):
    """What the layers of a chart draw."""
    named = chart.get("datasets", {})
    return [layer["data"].get("values") or named[layer["data"]["name"]] for layer in chart["layer"]]


def test_the_axis_is_logarithmic_with_ticks_at_doublings(curve):
    """A tick at each doubling of the attempts and nowhere else."""
    for x in encodings(spec(curve), "x"):
        assert x["axis"]["values"] == [1, 2, 4, 8]
        assert x["scale"]["type"] == "log"


def test_the_chart_says_what_it_shows(curve):
    """Title, axes and legend say of what task, of how many questions, with which interval, and how it was estimated."""
    chart = spec(curve)
    assert chart["title"]["text"] == "made up: what k attempts come to"
    assert chart["title"]["subtitle"][0] == "40 questions, 95 % intervals over questions"
    assert encodings(chart, "y")[0]["title"] == "accuracy"
    assert chart["layer"][0]["encoding"]["color"]["legend"]["title"] == "estimated from all choices of k attempts"


def test_somebody_who_does_not_see_the_chart_is_told_the_figures(curve):
    """The description holds the points with their intervals, and is the picture's alternative text."""
    told = spec(curve)["description"]
    for row in curve.rows():
        if row["estimator"] == MAJORITY and row["samples"] in (1, 2, 4, 8):
            assert f"{row['samples']}: {row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})" in told
    assert curve._repr_mimebundle_()[1]["image/png"]["alt"] == told


def test_the_bundle_has_a_chart_a_picture_and_a_text_and_no_html(curve):
    """JupyterLab would show HTML and no chart, GitHub HTML and no picture."""
    data, about = curve._repr_mimebundle_()
    assert set(data) == {"text/plain", VEGA_LITE, "image/png"}
    assert data["text/plain"] == repr(curve)
    assert data["image/png"].startswith(b"\x89PNG")
    assert 300 < about["image/png"]["width"] < 420
    assert not hasattr(curve, "_repr_html_")


CODE = """
import json, sys
sys.path[:0] = [{folder!r}]
from test_experiments_figures import drawn, spec
print(json.dumps(spec(drawn())))
"""


def test_every_run_gives_the_same_bytes(curve):
    """Chart, PNG and SVG of the same figures are equal to the last byte, in another process too."""
    again = drawn()
    assert json.dumps(spec(curve)) == json.dumps(spec(again))
    assert curve.png() == again.png()
    assert curve.svg() == again.svg()
    assert not re.search(r"view_\d|param_\d", json.dumps(spec(curve)))  # nothing is counted up
    code = CODE.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(json.dumps(spec(curve)))


def test_nothing_is_fetched(curve):
    """The data stand in the chart, and no address but the name of its schema."""
    chart = spec(curve)
    lines, rings = data_of(chart)[0], data_of(chart)[-1]
    assert [row["x"] for row in lines if row["line"] == MAJORITY] == list(range(1, 9))
    assert [row["x"] for row in rings] == [1, 8]
    assert re.findall(r"https?://[^\"]+", json.dumps(chart)) == [chart["$schema"]]
    assert "/v5" in chart["$schema"]


def test_the_theme_of_the_page_decides_on_text_and_background(curve):
    """No colour but that of the data is fixed, so that a dark page may have light text."""
    chart = spec(curve)
    assert "background" not in chart
    assert not re.search(r"color|fill|background", json.dumps(chart["config"]), re.IGNORECASE)


def test_the_picture_is_on_white(curve):
    """A file has a background of its own: black text is read on it also where the page is dark."""
    assert re.search(r'<rect width="\d+" height="\d+" fill="white"', curve.svg())


def test_files_are_written_by_their_ending(curve, tmp_path):
    """SVG, PNG and the chart itself as JSON."""
    for name in ("c.svg", "c.png", "c.json"):
        curve.save(tmp_path / name)
    assert (tmp_path / "c.svg").read_text("utf-8") == curve.svg()
    assert (tmp_path / "c.png").read_bytes() == curve.png(scale=4)
    assert json.loads((tmp_path / "c.json").read_text("utf-8")) == spec(curve)


@pytest.mark.parametrize("name", ["c.pdf", "c"])
def test_another_ending_is_refused_with_a_mend(curve, tmp_path, name):
    """What cannot be written is said, with what can."""
    with pytest.raises(RTKError) as caught:
        curve.save(tmp_path / name)
    assert ".svg" in caught.value.mend
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_there_is_the_chart_alone(curve, tmp_path, monkeypatch):
    """The bundle leaves the picture out, JSON is written, and PNG and SVG say what to install."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    data, about = curve._repr_mimebundle_()
    assert (set(data), about) == ({"text/plain", VEGA_LITE}, {})
    curve.save(tmp_path / "c.json")
    for name in ("c.png", "c.svg"):
        with pytest.raises(MissingExtra) as caught:
            curve.save(tmp_path / name)
        assert caught.value.mend == "pip install 'rtk-inference[notebook]'"


def test_the_chart_is_altairs_own(curve):
    """It may be changed like any other."""
    chart = curve.chart()
    assert isinstance(chart, alt.LayerChart)
    assert chart.properties(width=600).to_dict()["width"] == 600


def sparse(arms):
    """A frontier of settings of which some have no answer."""
    return frontier(made(arms, ladder, questions=3, change=lambda arm, at, row: row if arm is arms[0] else None))


TINY = {
    "one question, one attempt": lambda: drawn([["1"]]),
    "one question": lambda: drawn([["1", "2"]]),
    "one attempt": lambda: drawn([["1"], ["2"]]),
    "all wrong": lambda: drawn([["2"] * 3] * 8),
    "all right": lambda: drawn([["1"] * 16] * 8),
    "no answer": lambda: drawn([[None] * 3] * 2),
    "one setting": lambda: sparse(arms_of(("small",), (1,))),
    "a setting without a row": lambda: sparse(arms_of(("small",), (1, 2))),
}


@pytest.mark.parametrize("make", TINY.values(), ids=TINY)
def test_a_figure_of_almost_nothing_is_drawn_all_the_same(make):
    """Neither missing data nor the ends of the scale keep a figure from being shown."""
    figure = make()
    data, _ = figure._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "NaN" not in figure.svg()


@pytest.mark.parametrize("text", ["a\x1b[31m", "a\x00b", "a\ud800b", "a\ufffe", "\u202eevil"])
def test_a_text_that_cannot_be_drawn_is_made_visible(curve, text):
    """Control characters, lone surrogates and what is no character do not end the process that draws them."""
    figure = replace(curve, task=replace(curve.task, name=text))
    assert "<svg" in figure.svg()
    assert figure.png().startswith(b"\x89PNG")
    assert text not in json.dumps(spec(figure), ensure_ascii=False)
