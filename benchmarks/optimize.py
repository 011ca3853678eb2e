"""What an optimizer is worth on a real model: one case where it helps, and one where nothing can.

Measured: programs of the embedded model (SmolLM2-135M-Instruct, greedy), before and after `rtk.optimize`, on questions
that no optimizer saw; the paired difference with Newcombe's 95 % interval and McNemar's exact p-value; beside it the
score that the candidate was chosen by, which is what an optimizer alone would report; and what the optimizer took,
without the measuring. Each compiled program is saved, loaded into a fresh one, and must ask the very same.

Contenders, both fixed before their held-out questions were asked:
  worked  calculations (`arithmetic`, level 1) by a chain of thought without demonstrations. `bootstrap`: right runs of
          a teacher that has four worked demonstrations become its own. This model follows no format untaught, so there
          is much to gain.
  coin    questions whose answer is a bit of their SHA-256, so that no prompt can be better than another, answered with
          four demonstrations. `random-search` tries sets of demonstrations and takes the best of them on the dev
          questions: its score there is better by luck alone, and what is held out has to say so.

Samples are kept in rtk's own store, so that a second run draws none and is done in seconds. Nothing varies from round
to round.

Goals: `worked` improves (the interval is above 0) on 100 or more held-out questions; `coin` is called null.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Literal

import bench
import dspy
from bench import Goal, Report, check

import rtk
from rtk.experiments import Optimized, load_program

COLUMNS = (
    "case", "optimizer", "chosen by", "before", "after", "difference", "p", "runs", "samples", "tokens", "s", "verdict",
)  # fmt: skip


def worked(questions: int) -> tuple[dspy.Module, Optimized]:
    """A chain of thought that learns its form from a teacher's right runs."""
    task = rtk.tasks.load("arithmetic", size=questions, level=1, seed=1)
    fresh = rtk.ChainOfThought(task.signature)
    teacher = rtk.experiments.program("chain of thought", task, shots=4)
    found = rtk.optimize(
        fresh, task, "bootstrap", teacher=teacher, max_bootstrapped_demos=4, max_labeled_demos=0, concurrency=8
    )
    return rtk.ChainOfThought(task.signature), found


class Coin(dspy.Signature):
    """Is the number a lucky one?"""

    number: int = dspy.InputField()
    answer: Literal["yes", "no"] = dspy.OutputField()


def coins(questions: int) -> rtk.tasks.Task:
    """Numbers, and of each a bit that nobody can guess."""
    numbers = Random(0).sample(range(1000, 100_000), 24 + 24 + questions)
    examples = [
        dspy.Example(number=one, answer=("no", "yes")[_bit(one)], id=f"coin/{one}").with_inputs("number")
        for one in numbers
    ]
    return rtk.tasks.Task("coin", 1, 0, Coin, examples[:24], examples[24:48], examples[48:])


def _bit(number: int) -> int:
    return hashlib.sha256(str(number).encode()).digest()[0] & 1


def coin(questions: int) -> tuple[dspy.Module, Optimized]:
    """A search among prompts of which none is better."""
    task = coins(questions)
    program = dspy.Predict(Coin)
    program.demos = task.train[:4]
    found = rtk.optimize(program, task, "random-search", num_candidate_programs=6, max_labeled_demos=4, concurrency=8)
    return dspy.Predict(Coin), found


CONTENDERS: dict[str, Callable[[int], tuple[dspy.Module, Optimized]]] = {"worked": worked, "coin": coin}


def same_when_loaded(fresh: dspy.Module, found: Optimized) -> None:
    """The compiled program, saved and loaded elsewhere, has the same prompts."""
    with tempfile.TemporaryDirectory(prefix="rtk-benchmark-") as folder:
        loaded = load_program(found.save(Path(folder) / "program.json"), fresh)
    said = [[one.dump_state() for one in program.predictors()] for program in (loaded, found.program)]
    check(said[0] == said[1], "the program that was loaded is not the one that was saved")


def row(name: str, found: Optimized, seconds: float) -> tuple[str, ...]:
    """One line of the table."""
    sides = () if found.comparison is None else (found.comparison.before, found.comparison.after)
    before, after = (str(one.value) for one in sides)
    difference = found.difference
    best = max((one.score for one in found.candidates if one.chosen), default=None)
    said = f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"
    return (
        name, found.optimizer, "–" if best is None else f"{best:.2f}", before, after, said, f"{found.p_value:.2g}",
        str(found.runs), f"{found.spent.samples:,}", f"{found.spent.tokens:,}", f"{seconds:.0f}",
        "improved" if found.improved else "null" if difference.high >= 0 else "worse",
    )  # fmt: skip


def figures(found: Optimized, seconds: float) -> dict[str, Any]:
    """The same, for a file."""
    estimate = found.difference
    return {
        "rows": found.rows(), "difference": [estimate.value, estimate.low, estimate.high], "p_value": found.p_value,
        "candidates": [(one.score, one.questions, one.chosen) for one in found.candidates], "runs": found.runs,
        "spent": found.spent.amounts(), "drawn": found.spent.drawn, "seconds": seconds, "verdict": found.verdict,
    }  # fmt: skip


def goals(name: str, found: Optimized) -> list[Goal]:
    """What is to be seen in each case."""
    low, size = found.difference.low, found.difference.size
    if name == "coin":
        return [Goal("coin: low end of the difference", low, 0, at_most=True)]
    return [Goal("worked: low end of the difference", low, 0.01), Goal("worked: held-out questions", size, 100)]


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__ or "", __file__)
    parser.add_argument("--questions", type=int, default=120, help="held out in each case (%(default)s)")
    parser.add_argument("--store", type=Path, metavar="FOLDER", help="of the samples; rtk's own by default")
    options = parser.parse_args()
    names = bench.chosen(options.only, list(CONTENDERS))
    title = f"optimize: {options.questions} held-out questions each"
    made, raw = Report(title, COLUMNS, {key: str(value) for key, value in vars(options).items()}), {}
    lm = rtk.LM("embedded", max_tokens=64, temperature=0.0, store=options.store)
    with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
        for name in names:
            began = time.monotonic()
            fresh, found = CONTENDERS[name](options.questions)
            seconds = time.monotonic() - began
            same_when_loaded(fresh, found)
            made.rows.append(row(name, found, seconds))
            made.notes.append(f"{name}: {found.verdict}")
            made.goals += goals(name, found)
            raw[name] = figures(found, seconds)
    made.notes.append("runs, samples and tokens are the optimizer's; s is everything, with the measuring")
    bench.conclude(made, raw, options)


if __name__ == "__main__":
    main()
