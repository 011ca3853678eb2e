"""Numbers in, estimates with intervals out.

Floor 1: pure; imports the ground only.
Knows no model, no task and no prediction.
"""

from rtk.statistics.calibrating import Bin, Calibration, calibration
from rtk.statistics.differences import difference
from rtk.statistics.estimates import Estimate
from rtk.statistics.frontier import on_frontier, pareto
from rtk.statistics.means import mean
from rtk.statistics.multiple import holm
from rtk.statistics.paired import mcnemar, paired_difference
from rtk.statistics.passing import pass_at_k
from rtk.statistics.powers import Power, power
from rtk.statistics.proportions import proportion
from rtk.statistics.ranking import Discrimination, auroc
from rtk.statistics.resampling import bootstrap
from rtk.statistics.selecting import best_of_k, majority_at_k
from rtk.statistics.signs import p_value

__all__ = [
    "Bin",
    "Calibration",
    "Discrimination",
    "Estimate",
    "Power",
    "auroc",
    "best_of_k",
    "bootstrap",
    "calibration",
    "difference",
    "holm",
    "majority_at_k",
    "mcnemar",
    "mean",
    "on_frontier",
    "p_value",
    "paired_difference",
    "pareto",
    "pass_at_k",
    "power",
    "proportion",
]
