"""Text to answer, answers to equality, equal answers to a vote; and checks of what can be calculated.

Floor 1: pure; imports the ground only.
Knows no model, no task and no prediction.
"""

from rtk.answers.calculator import calculate
from rtk.answers.checks import Check, Checker
from rtk.answers.claims import Claim, check_arithmetic
from rtk.answers.equality import Comparer, canonical, equal, text_of
from rtk.answers.extraction import answer_fields, extract
from rtk.answers.field_votes import FieldsVote, vote_fields
from rtk.answers.numbers import read_number
from rtk.answers.prospects import Prospect, prospect
from rtk.answers.similarity import medoid, similarity
from rtk.answers.steps import steps, thinking
from rtk.answers.stopping import StoppingRule, stopping
from rtk.answers.votes import Abstention, Cluster, Vote, vote

__all__ = [
    "Abstention",
    "Check",
    "Checker",
    "Claim",
    "Cluster",
    "Comparer",
    "FieldsVote",
    "Prospect",
    "StoppingRule",
    "Vote",
    "answer_fields",
    "calculate",
    "canonical",
    "check_arithmetic",
    "equal",
    "extract",
    "medoid",
    "prospect",
    "read_number",
    "similarity",
    "steps",
    "stopping",
    "text_of",
    "thinking",
    "vote",
    "vote_fields",
]
