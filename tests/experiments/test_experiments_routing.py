"""Where the answers of a sweep came from: shares, accuracy, latency and cost of each level."""

import dspy
import pytest
from made_sweeps import answered

import rtk
from rtk.errors import RTKError
from rtk.experiments.analysis.routing import routes
from rtk.experiments.records.records import Arm, Card, Records

KINDS = ("easy", "easy", "easy", "hard")


def records(levels, kinds=KINDS, replicates=1, **columns):
    """One setting whose answers came from such levels; right on easy questions, with seconds 0, 1, 2, …."""
    rows = []
    for replicate in range(replicates):
        for at, level in enumerate(levels):
            right = kinds[at] == "easy"
            row = {**answered(0, replicate, at, 1, right, 1.0), "level": level, "seconds": float(at)}
            rows.append({**row, **{name: values[at] for name, values in columns.items()}})
    examples = [{"example": f"q{at}", "question": "?", "gold": "1", "kind": kind} for at, kind in enumerate(kinds)]
    card = Card("support", "test", len(levels), "f" * 64)
    return Records.of(card, [Arm("cascade", "Cascade", "m")], rows, examples, replicates=replicates)


def test_each_level_has_its_share_and_accuracy():
    """Answers are counted by level, over all and for each kind of question, with shares, accuracy and intervals."""
    found = {(one.kind, one.level): one for one in routes(records(["faq", "faq", "deep", "handed over"]))}
    assert list(found) == [
        (None, "faq"), (None, "deep"), (None, "handed over"), (None, "all"),
        ("easy", "faq"), ("easy", "deep"), ("easy", "all"), ("hard", "handed over"), ("hard", "all"),
    ]  # fmt: skip
    faq, easy, every = found[None, "faq"], found["easy", "faq"], found[None, "all"]
    assert (faq.answers, faq.share.value, faq.accuracy.value) == (2, 0.5, 1.0)
    assert (easy.share.value, easy.share.size) == (pytest.approx(2 / 3), 3)
    assert every.accuracy.value == 0.75
    assert all(one.share.low <= one.share.value <= one.share.high for one in found.values())


def test_latency_is_that_of_the_level_alone():
    """Median and 95th percentile are of the answers that came from the level."""
    found = {one.level: one for one in routes(records(["faq", "faq", "deep", "deep"]), by_kind=False)}
    assert (found["faq"].median, found["deep"].median, found["all"].median) == (0.5, 2.5, 1.5)
    assert found["deep"].p95 == pytest.approx(2.95)


def test_replicates_of_a_question_count_as_one():
    """The interval of a share rests on questions, however often each was asked."""
    found = routes(records(["faq"] * 3 + ["deep"], replicates=5), by_kind=False)
    assert [(one.level, one.answers, one.share.size) for one in found] == [
        ("faq", 15, 4), ("deep", 5, 4), ("all", 20, 4),
    ]  # fmt: skip


def test_answers_of_no_level_are_counted_as_such():
    """Errors and answers that were cut short came from no level, and are in the table."""
    found = routes(records(["faq", None, "faq", None]), by_kind=False)
    assert {one.level: one.answers for one in found} == {"faq": 2, "no level": 2, "all": 4}


def test_a_setting_without_levels_is_one_row():
    """Beside a cascade, a program without levels is in the table with all of its answers."""
    levels, every = ["faq", "deep"], [None, None]
    both = [Arm("cascade", "Cascade", "m"), Arm("always deep", "SelfConsistency", "m")]
    rows = [
        {**answered(arm, 0, at, 1, True, 1.0), "level": level}
        for arm, names in enumerate((levels, every))
        for at, level in enumerate(names)
    ]
    examples = [{"example": f"q{at}", "question": "?", "gold": "1"} for at in range(2)]
    found = routes(Records.of(Card("support", "test", 2, "f" * 64), both, rows, examples))
    assert [(one.setting, one.level) for one in found][-2:] == [("cascade", "all"), ("always deep", "all")]


def test_a_sweep_without_levels_is_refused():
    """Where no program had levels the error says what to sweep."""
    with pytest.raises(RTKError, match="came from a level"):
        routes(records([None] * 4))


def test_it_prints_as_a_table():
    """Text and HTML show each level with its share, its accuracy and its seconds; a frame has the figures."""
    found = routes(records(["faq", "faq", "deep", "<b>"]))
    assert "0.50 [" in repr(found)
    assert "median s" in repr(found)
    assert "&lt;b&gt;" in found._repr_html_()
    assert set(found.to_frame()["level"]) == {"faq", "deep", "<b>", "all"}


class Levelled(rtk.Strategy):
    """A strategy that says whose answer it is."""

    def __init__(self):
        super().__init__()
        self.step = dspy.Predict("question -> answer")

    def flow(self, **inputs):
        """One ask, and where it came from."""
        from types import SimpleNamespace as Level

        got = (yield rtk.ask(self.step, inputs))[0]
        names = [Level(name="faq", accepted=False), Level(name=f"of {inputs['question']}", accepted=True)]
        return rtk.Outcome(got.prediction, used=[got], about={"route": names})


def test_a_sweep_keeps_the_level_and_the_kind(tmp_path):
    """A row says from which level its answer came and of what kind its question is, also when saved and loaded."""
    kinds = {"a": "easy", "b": "hard"}
    asked = [dspy.Example(question=q, answer="1", kind=kind).with_inputs("question") for q, kind in kinds.items()]
    with (
        rtk.testing.ScriptedServer("[[ ## answer ## ]]\n1") as server,
        dspy.context(lm=rtk.LM("openai/scripted", api_base=server.url, api_key="x", cache=False)),
    ):
        results = rtk.sweep(Levelled(), asked, metric=lambda example, pred, *_: pred.answer == example.answer)
    results.save(tmp_path / "kept")
    for one in (results, rtk.Results.load(tmp_path / "kept")):
        assert one.rows("level", "kind").to_numpy().tolist() == [["of a", "easy"], ["of b", "hard"]]
        assert {route.level for route in one.routes()} == {"of a", "of b", "all"}
