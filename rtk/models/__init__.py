"""Models: from a request to its samples, drawn once, kept, and charged.

Floor 2: imports store, budget and the ground.
Knows no strategy and no task.
"""

from rtk.models.asking import Ask, Gathered, Gathering, agather, begun, gather
from rtk.models.lm import LM, lost
from rtk.models.loop import on_background, refuse_on_background, submit

__all__ = [
    "LM",
    "Ask",
    "Gathered",
    "Gathering",
    "agather",
    "begun",
    "gather",
    "lost",
    "on_background",
    "refuse_on_background",
    "submit",
]
