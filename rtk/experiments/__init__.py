"""Experiments: programs measured on tasks, with what they cost and how sure the figures are.

Floor 4: imports strategies and everything below.
Knows no control and no command.
"""

from rtk.experiments.calibrating import Reliability
from rtk.experiments.compiling import Tried
from rtk.experiments.contrasts import Contrast, Contrasts
from rtk.experiments.demo import Demo, demo
from rtk.experiments.difficulty import Difficulty
from rtk.experiments.failures import Failures
from rtk.experiments.frontiers import Frontier
from rtk.experiments.grids import Grid
from rtk.experiments.latencies import Latency
from rtk.experiments.matching import Matched
from rtk.experiments.optimized import Optimized
from rtk.experiments.optimizers import OPTIMIZERS, OptimizerName
from rtk.experiments.optimizing import optimize
from rtk.experiments.policies import Policy
from rtk.experiments.programs import SHOTS, STRATEGIES, Thinking, program
from rtk.experiments.prompt_diff import PromptDiff
from rtk.experiments.replayed import Replayed
from rtk.experiments.replaying import replay
from rtk.experiments.replicates import Replicated
from rtk.experiments.report_page import Section
from rtk.experiments.resampled import Curve
from rtk.experiments.results import Results
from rtk.experiments.saved_programs import SavedProgram, load_program, read_program
from rtk.experiments.summarising import Summary
from rtk.experiments.sweeping import asweep, sweep

__all__ = [
    "OPTIMIZERS",
    "SHOTS",
    "STRATEGIES",
    "Contrast",
    "Contrasts",
    "Curve",
    "Demo",
    "Difficulty",
    "Failures",
    "Frontier",
    "Grid",
    "Latency",
    "Matched",
    "Optimized",
    "OptimizerName",
    "Policy",
    "PromptDiff",
    "Reliability",
    "Replayed",
    "Replicated",
    "Results",
    "SavedProgram",
    "Section",
    "Summary",
    "Thinking",
    "Tried",
    "asweep",
    "demo",
    "load_program",
    "optimize",
    "program",
    "read_program",
    "replay",
    "sweep",
]
