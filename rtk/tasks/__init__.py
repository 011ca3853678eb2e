"""Questions with gold answers, metrics, checkers and worked demonstrations.

Floor 2: imports answers, store (to read tables) and the ground.
Knows no model.
"""

from rtk.tasks.flaws import Flaw
from rtk.tasks.judging import Judge
from rtk.tasks.loading import load, names
from rtk.tasks.scores import score_of
from rtk.tasks.task import Task

__all__ = ["Flaw", "Judge", "Task", "load", "names", "score_of"]
