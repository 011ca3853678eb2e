"""Experiments: programs measured on tasks, with what they cost and how sure the figures are.

Floor 4: imports strategies and everything below.
Knows no control and no command.

    sweeps      how a sweep runs: arms, questions, rows
    records     what it found, on a disk
    analysis    what the rows say
    replays     what the attempts already drawn say
    reports     all of it as one page
    optimizers  DSPy's optimizers in one call
"""

from rtk.experiments.analysis.calibrating import Reliability
from rtk.experiments.analysis.contrasts import Contrast, Contrasts
from rtk.experiments.analysis.difficulty import Difficulty
from rtk.experiments.analysis.failures import Failures
from rtk.experiments.analysis.frontiers import Frontier
from rtk.experiments.analysis.grids import Grid
from rtk.experiments.analysis.latencies import Latency
from rtk.experiments.analysis.matching import Matched
from rtk.experiments.analysis.replicates import Replicated
from rtk.experiments.analysis.routing import Route, Routes
from rtk.experiments.analysis.summarising import Summary
from rtk.experiments.demo import Demo, demo
from rtk.experiments.optimizers.compiling import Tried
from rtk.experiments.optimizers.optimized import Optimized
from rtk.experiments.optimizers.optimizers import OPTIMIZERS, OptimizerName
from rtk.experiments.optimizers.optimizing import optimize
from rtk.experiments.optimizers.prompt_diff import PromptDiff
from rtk.experiments.optimizers.saved_programs import SavedProgram, load_program, read_program
from rtk.experiments.programs import SHOTS, STRATEGIES, Thinking, program
from rtk.experiments.replays.policies import Policy
from rtk.experiments.replays.replayed import Replayed
from rtk.experiments.replays.replaying import replay
from rtk.experiments.replays.resampled import Curve
from rtk.experiments.reports.report_page import Section
from rtk.experiments.results import Results
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
    "Route",
    "Routes",
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
