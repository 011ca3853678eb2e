"""Strategies: DSPy modules written as generators; what they yield is drawn, budgeted and replayed for them.

Floor 3: imports models, tasks and everything below.
Knows no experiment, control or command.
"""

from rtk.strategies.best_of_n import BestOfN, Reward
from rtk.strategies.chain_of_thought import ChainOfThought
from rtk.strategies.flow import AskFor, Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.forecast import Forecast, Span
from rtk.strategies.inputs import Inputs
from rtk.strategies.peeking import Peek, peek
from rtk.strategies.prediction import Prediction
from rtk.strategies.self_consistency import SelfConsistency
from rtk.strategies.settings import Setting
from rtk.strategies.strategy import Strategy
from rtk.strategies.tree_of_thoughts import TreeOfThoughts

__all__ = [
    "AskFor",
    "BestOfN",
    "Candidate",
    "Candidates",
    "ChainOfThought",
    "Flow",
    "Forecast",
    "Inputs",
    "Outcome",
    "Peek",
    "Prediction",
    "Reward",
    "SelfConsistency",
    "Setting",
    "Span",
    "Strategy",
    "TreeOfThoughts",
    "ask",
    "peek",
]
