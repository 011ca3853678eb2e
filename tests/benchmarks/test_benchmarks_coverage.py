"""The benchmark of intervals: its experiments have the truth that they say, and a small run counts."""

import json

import numpy as np
import pytest
from running import run


@pytest.mark.parametrize(
    "design", ["right or wrong", "3 replicates", "graded", "difference", "difference, 3 replicates"]
)
def test_an_experiment_has_the_truth_that_it_says(design):
    """What is seen of very many questions is the truth that the experiment was drawn from."""
    import interval_coverage

    seen = interval_coverage.DESIGNS[design][0](0.1, 100_000, np.random.default_rng(0))
    assert interval_coverage.moves(seen).mean() == pytest.approx(seen.truth, abs=0.005)
    assert seen.after.shape[1] == (3 if "3" in design else 1)


@pytest.mark.slow
def test_coverage_is_measured_end_to_end(tmp_path):
    """A small run has a figure for each design, share and contender asked, and exact tests that keep their level."""
    file = tmp_path / "figures.json"
    told = run("interval_coverage", "--questions", "20", "--experiments", "150", "--rounds", "1",
               "--only", "rtk", "wald", "--json", str(file))  # fmt: skip
    figures = json.loads(file.read_text())["figures"]
    assert len(figures["coverage"]) == 10
    for name, by_share in figures["coverage"].items():
        assert set(by_share) == {"0.02", "0.1", "0.5", "0.9", "0.98"}
        if "| rtk |" in name:
            assert all(0.88 <= one[0] <= 1 for one in by_share.values())
    assert figures["coverage"]["right or wrong | wald | 20"]["0.02"][0] < 0.7
    assert all(one["below"][0] <= 0.1 for one in figures["p-values"].values())
    assert "normal, over rows" in told
