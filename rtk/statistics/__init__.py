"""Numbers in, estimates with intervals out.

Floor 1: pure; imports the ground only.
Knows no model, no task and no prediction.
"""

from rtk.statistics.estimates import Estimate
from rtk.statistics.paired import mcnemar, paired_difference
from rtk.statistics.passing import pass_at_k
from rtk.statistics.proportions import proportion

__all__ = ["Estimate", "mcnemar", "paired_difference", "pass_at_k", "proportion"]
