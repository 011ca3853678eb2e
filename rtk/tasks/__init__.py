"""Questions with gold answers, metrics, checkers and worked demonstrations.

Floor 2: imports answers and the ground.
Knows no model.
"""

from rtk.tasks.loading import load, names
from rtk.tasks.task import Task

__all__ = ["Task", "load", "names"]
