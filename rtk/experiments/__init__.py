"""Experiments: programs measured on tasks, with what they cost and how sure the figures are.

Floor 4: imports strategies and everything below.
Knows no control and no command.
"""

from rtk.experiments.comparing import Comparison, compare
from rtk.experiments.curves import Curve, curve
from rtk.experiments.demo import Arm, Demo, demo
from rtk.experiments.measuring import Measured, Row, measure
from rtk.experiments.programs import SHOTS, STRATEGIES, Thinking, program

__all__ = [
    "SHOTS",
    "STRATEGIES",
    "Arm",
    "Comparison",
    "Curve",
    "Demo",
    "Measured",
    "Row",
    "Thinking",
    "compare",
    "curve",
    "demo",
    "measure",
    "program",
]
