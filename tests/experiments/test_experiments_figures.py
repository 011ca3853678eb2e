"""Figures: charts that draw themselves without a network, the same on every run, in a notebook and in files."""

import json
import re
import sys

import altair as alt
import dspy
import pytest

from rtk.budget import Spent
from rtk.errors import MissingExtra, RTKError
from rtk.experiments import Curve, Measured, Row

VEGA_LITE = "application/vnd.vegalite.v5+json"
EXAMPLE = dspy.Example(question="?", answer=1).with_inputs("question")


def measured(correct, size):
    rows = [Row(EXAMPLE, dspy.Prediction(answer=1), i < correct, Spent(samples=1), 0.0) for i in range(size)]
    return Measured(rows, size)


def made(points):
    return Curve("SelfConsistency", {samples: measured(*counts) for samples, counts in points.items()})


@pytest.fixture
def curve():
    return made({1: (18, 40), 2: (18, 40), 4: (22, 40), 8: (27, 40)})


def spec(curve):
    return curve._repr_mimebundle_()[0][VEGA_LITE]


def encodings(chart, channel):
    return [layer["encoding"][channel] for layer in chart["layer"]]


def test_the_ticks_are_the_settings(curve):
    """The axis is logarithmic, and has a tick at each setting and nowhere else."""
    for x in encodings(spec(curve), "x"):
        assert x["axis"]["values"] == [1, 2, 4, 8]
        assert x["scale"]["type"] == "log"


def test_the_chart_says_what_it_shows(curve):
    """Title and axes say whose accuracy it is, of how many questions, with which interval, of which samples."""
    title = spec(curve)["title"]
    assert title["text"] == "SelfConsistency"
    assert "40 questions" in title["subtitle"][0]
    assert "95 % Wilson" in title["subtitle"][0]
    assert "first k of the same samples" in title["subtitle"][1]


def test_somebody_who_does_not_see_the_chart_is_told_the_figures(curve):
    """The description holds every point with its interval."""
    for row in curve.rows():
        said = f"{row['samples']}: {row['accuracy']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        assert said in spec(curve)["description"]
    about = curve._repr_mimebundle_()[1]
    assert about["image/png"]["alt"] == spec(curve)["description"]


def test_the_bundle_has_a_chart_a_picture_and_a_text_and_no_html(curve):
    """JupyterLab would show HTML and no chart, GitHub HTML and no picture."""
    data, about = curve._repr_mimebundle_()
    assert set(data) == {"text/plain", VEGA_LITE, "image/png"}
    assert data["text/plain"] == repr(curve)
    assert data["image/png"].startswith(b"\x89PNG")
    assert 300 < about["image/png"]["width"] < 420
    assert not hasattr(curve, "_repr_html_")


def test_every_run_gives_the_same_bytes(curve):
    """Chart, PNG and SVG of the same figures are equal to the last byte, and nothing in them is counted up."""
    first, second = (made({1: (18, 40), 4: (22, 40)}) for _ in range(2))
    assert json.dumps(spec(first)) == json.dumps(spec(second))
    assert first.png() == second.png()
    assert first.svg() == second.svg()
    assert not re.search(r"data-[0-9a-f]{8}|view_\d|param_\d", json.dumps(spec(curve)))


def test_nothing_is_fetched(curve):
    """The data stand in the chart, and no address but the name of its schema."""
    chart = spec(curve)
    assert [row["samples"] for row in chart["data"]["values"]] == [1, 2, 4, 8]
    assert "datasets" not in chart
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


@pytest.mark.parametrize(
    "points",
    [{}, {1: (0, 0), 2: (0, 0)}, {4: (3, 5)}, {1: (0, 1), 2: (1, 1)}, {1: (0, 8), 3: (0, 8)}, {1: (8, 8), 16: (8, 8)}],
    ids=["nothing", "no question", "one setting", "one question", "all wrong", "all right"],
)
def test_a_figure_of_almost_nothing_is_drawn_all_the_same(points):
    """Neither missing data nor the ends of the scale keep a figure from being shown."""
    data, _ = made(points)._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "NaN" not in made(points).svg()


@pytest.mark.parametrize("text", ["a\x1b[31m", "a\x00b", "a\ud800b", "a\ufffe", "\u202eevil"])
def test_a_text_that_cannot_be_drawn_is_made_visible(text):
    """Control characters, lone surrogates and what is no character do not end the process that draws them."""
    figure = Curve(text, {1: measured(1, 2)})
    assert "<svg" in figure.svg()
    assert figure.png().startswith(b"\x89PNG")
    assert text not in json.dumps(spec(figure), ensure_ascii=False)
