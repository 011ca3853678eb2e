"""What happened on the way to an answer: a tree of steps, as data, as text and as HTML.

Floor 1: pure; imports the ground only.
Knows no model, no strategy and no prediction.
"""

from rtk.deliberation.steps import Deliberation, Kind, State, Step

__all__ = ["Deliberation", "Kind", "State", "Step"]
