"""A sweep that ended early: whatever it has, every analysis shows it or says why not, and the report is a page."""

import warnings

import pytest
from small_study import ABSTAINED, FAILED, RIGHT, WRONG, attempt, row

from rtk.errors import RTKError
from rtk.experiments.analysis.calibrating import calibration
from rtk.experiments.analysis.contrasts import contrast
from rtk.experiments.analysis.difficulty import by_difficulty
from rtk.experiments.analysis.failures import failures
from rtk.experiments.analysis.frontiers import frontier
from rtk.experiments.analysis.grids import grid
from rtk.experiments.analysis.latencies import latency
from rtk.experiments.analysis.matching import matched
from rtk.experiments.analysis.replicates import replicated
from rtk.experiments.analysis.summarising import summarise
from rtk.experiments.records.records import Arm, Card, Records
from rtk.experiments.replays.replaying import replay
from rtk.experiments.replays.resampled import curve_of
from rtk.experiments.reports.report import report

ARMS = [Arm(f"samples={k}, model={m}", "vote", m, {"samples": k}) for m in ("small", "large") for k in (1, 4)]
ENDS = (RIGHT, WRONG, RIGHT, ABSTAINED, FAILED)
SIZE = 5
ANALYSES = (summarise, frontier, matched, replicated, latency, lambda one: latency(one, 2), curve_of,
            lambda one: curve_of(one, "tokens"), replay, lambda one: replay(one, samples=[1, 4]), by_difficulty,
            calibration, failures, grid, contrast, lambda one: contrast(one, baseline=ARMS[0].label))  # fmt: skip
LEFT = {
    "nothing": lambda arm, replicate, at: False,
    "one answer": lambda arm, replicate, at: (arm, replicate, at) == (1, 0, 0),
    "one error": lambda arm, replicate, at: (arm, replicate, at) == (1, 0, 4),
    "one setting": lambda arm, replicate, at: arm == 3,
    "one model": lambda arm, replicate, at: arm < 2,
    "all but one setting": lambda arm, replicate, at: arm != 1,
    "the first run": lambda arm, replicate, at: replicate == 0,
    "other questions at each setting": lambda arm, replicate, at: at == arm,
    "other questions in each run": lambda arm, replicate, at: at % 2 == replicate,
    "less and less": lambda arm, replicate, at: at + arm + 2 * replicate < SIZE,
    "errors alone": lambda arm, replicate, at: at == 4,
}


def left(kept, replicates, attempts=True):
    """Records of two models and two settings, of which some rows were done; their attempts, or none of these."""
    rows, drawn = [], []
    for arm in range(4):
        for replicate in range(replicates):
            for at, end in enumerate(ENDS):
                if kept(arm, replicate, at):
                    pool = None if end == FAILED else (arm // 2 * replicates + replicate) * SIZE + at
                    samples = ARMS[arm].values["samples"]
                    rows.append(row(arm, at, end, samples, replicate=replicate, pool=pool))
                    for index in range(0 if pool is None else samples):
                        own = {"pool": pool, "address": f"{pool}:{index}"}
                        drawn.append({**attempt(at, index, replicate, arm=arm, correct=index % 2 == 1), **own})
    once = {(one["pool"], one["index"]): one for one in drawn} if attempts else {}
    examples = [{"example": f"q{at}", "question": "?", "gold": "42"} for at in range(SIZE)]
    card, about = Card("sums", "test", SIZE, "0" * 64), {"asked": 4 * SIZE * replicates, "stopped": "interrupted"}
    return Records.of(card, ARMS, rows, examples, list(once.values()), replicates=replicates, **about)


def shown(analyse, records):
    """An analysis in every form; an error of ours says what to do."""
    try:
        found = analyse(records)
    except RTKError as error:
        return f"{error}: {error.mend}" if error.mend else ""
    if hasattr(found, "chart"):
        found.chart().to_dict()
    if hasattr(found, "_repr_html_"):
        found._repr_html_()
    found.to_frame()
    return repr(found)


@pytest.mark.parametrize("replicates", [1, 2])
@pytest.mark.parametrize("name", LEFT)
def test_every_analysis_survives_whatever_is_left(name, replicates):
    """No row, no row of a setting, or other questions at each: a result, or an error that says what to do."""
    for records in (left(LEFT[name], replicates), left(LEFT[name], replicates, attempts=False)):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            for analyse in ANALYSES:
                assert shown(analyse, records)


@pytest.mark.parametrize("name", LEFT)
def test_the_report_survives_whatever_is_left(name, tmp_path):
    """It is a page that says that the sweep ended early."""
    report(left(LEFT[name], 2), tmp_path / "study.html")
    text = (tmp_path / "study.html").read_text("utf-8")
    assert "interrupted" in text
    assert text.rstrip().endswith("</html>")


def test_no_question_in_two_runs_is_said():
    """Where no other run says how hard a question is, there are no bins."""
    with pytest.raises(RTKError, match="no question was asked in two replicates"):
        by_difficulty(left(LEFT["the first run"], 2))
