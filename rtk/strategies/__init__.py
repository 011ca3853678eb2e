"""Strategies: DSPy modules written as generators; what they yield is drawn, budgeted and replayed for them.

Floor 3: imports models, tasks and everything below.
Knows no experiment, control or command.
"""

from rtk.strategies.best_of_n import BestOfN, Reward
from rtk.strategies.certainty import mean_logprob
from rtk.strategies.chain_of_thought import ChainOfThought
from rtk.strategies.estimating import wanted
from rtk.strategies.flow import AskFor, Attempts, Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.forecast import Forecast, Span
from rtk.strategies.inputs import Inputs
from rtk.strategies.peeking import Peek, peek
from rtk.strategies.prediction import Prediction, evidence
from rtk.strategies.prompts import Prompts
from rtk.strategies.retelling import Recall, read_ahead, retold
from rtk.strategies.self_consistency import SelfConsistency
from rtk.strategies.settings import Setting, check_whole
from rtk.strategies.strategy import Strategy
from rtk.strategies.tree_of_thoughts import TreeOfThoughts

__all__ = [
    "AskFor",
    "Attempts",
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
    "Prompts",
    "Recall",
    "Reward",
    "SelfConsistency",
    "Setting",
    "Span",
    "Strategy",
    "TreeOfThoughts",
    "ask",
    "check_whole",
    "evidence",
    "mean_logprob",
    "peek",
    "read_ahead",
    "retold",
    "wanted",
]
