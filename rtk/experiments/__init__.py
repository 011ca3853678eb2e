"""Experiments: programs measured on tasks, with what they cost and how sure the figures are.

Floor 4: imports strategies and everything below.
Knows no control and no command.
"""

from rtk.experiments.demo import Arm, Demo, demo
from rtk.experiments.measuring import Measured, Row, measure

__all__ = ["Arm", "Demo", "Measured", "Row", "demo", "measure"]
