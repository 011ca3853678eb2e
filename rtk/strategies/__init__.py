"""Strategies: DSPy modules written as generators; what they yield is drawn, budgeted and replayed for them.

Floor 3: imports models, tasks and everything below.
Knows no experiment, control or command.
"""

from rtk.strategies.adaptive_effort import AdaptiveEffort
from rtk.strategies.allocated import Allocated
from rtk.strategies.allocating import aallocate, allocate
from rtk.strategies.best_of_n import BestOfN, Reward
from rtk.strategies.cascade import Cascade
from rtk.strategies.certainty import mean_logprob
from rtk.strategies.chain_of_thought import ChainOfThought
from rtk.strategies.effort_policy import EffortPolicy
from rtk.strategies.estimating import wanted
from rtk.strategies.flow import AskFor, Attempts, Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.forecast import Forecast, Span
from rtk.strategies.handing_over import HandOver
from rtk.strategies.inputs import Inputs
from rtk.strategies.peeking import Peek, peek
from rtk.strategies.prediction import Prediction, evidence
from rtk.strategies.prompts import Prompts
from rtk.strategies.retelling import Recall, read_ahead, retold
from rtk.strategies.routes import Level
from rtk.strategies.self_consistency import SelfConsistency
from rtk.strategies.self_refine import SelfRefine
from rtk.strategies.settings import Setting, check_whole
from rtk.strategies.strategy import Strategy
from rtk.strategies.tree_of_thoughts import TreeOfThoughts

__all__ = [
    "AdaptiveEffort",
    "Allocated",
    "AskFor",
    "Attempts",
    "BestOfN",
    "Candidate",
    "Candidates",
    "Cascade",
    "ChainOfThought",
    "EffortPolicy",
    "Flow",
    "Forecast",
    "HandOver",
    "Inputs",
    "Level",
    "Outcome",
    "Peek",
    "Prediction",
    "Prompts",
    "Recall",
    "Reward",
    "SelfConsistency",
    "SelfRefine",
    "Setting",
    "Span",
    "Strategy",
    "TreeOfThoughts",
    "aallocate",
    "allocate",
    "ask",
    "check_whole",
    "evidence",
    "mean_logprob",
    "peek",
    "read_ahead",
    "retold",
    "wanted",
]
