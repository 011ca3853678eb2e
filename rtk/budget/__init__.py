"""What a program may spend, and what it has spent.

Floor 1: imports the ground only.
Knows no model: prices and ceilings are handed to it.
"""

from rtk.budget.budget import (
    UNITS,
    Budget,
    Gate,
    Verdict,
    admit,
    admit_call,
    count_lost,
    count_overdrawn,
    current_budgets,
    refund_call,
    release,
    settle,
    settle_stored,
    watched,
)
from rtk.budget.cost import Ceiling, Cost, Spent, flops

__all__ = [
    "UNITS",
    "Budget",
    "Ceiling",
    "Cost",
    "Gate",
    "Spent",
    "Verdict",
    "admit",
    "admit_call",
    "count_lost",
    "count_overdrawn",
    "current_budgets",
    "flops",
    "refund_call",
    "release",
    "settle",
    "settle_stored",
    "watched",
]
