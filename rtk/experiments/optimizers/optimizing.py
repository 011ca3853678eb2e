"""Optimizing: a program's prompts fitted to training questions, and measured on questions that nobody saw."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import dspy

from rtk._progress import Progress
from rtk.budget import Budget, Spent, current_budgets
from rtk.errors import BudgetSpent, RTKError, StrategyError, TaskError
from rtk.experiments.optimizers.compiling import Scored, Watch, collected, prompts, settings_kept
from rtk.experiments.optimizers.ended import Ended
from rtk.experiments.optimizers.optimized import INTERRUPTED, Optimized
from rtk.experiments.optimizers.optimizer_line import counting
from rtk.experiments.optimizers.optimizers import Chosen, OptimizerName, Sets, choose
from rtk.experiments.optimizers.quiet import quiet
from rtk.experiments.results import Results
from rtk.experiments.sweeping import sweep
from rtk.models import LM
from rtk.strategies import check_whole
from rtk.tasks import Task

ERRORS = 10**9  # runs that may fail: each counts as wrong, and none ends the others


def optimize(
    program: dspy.Module,
    task: Task,
    optimizer: OptimizerName | Any = "bootstrap",
    *,
    budget: Budget | None = None,
    prompt_model: Any = None,
    train: int | None = None,
    dev: int | None = None,
    test: int | None = None,
    seed: int = 0,
    concurrency: int = 16,
    progress: Progress = "auto",
    **options: Any,
) -> Optimized:
    """Compile a program with one of DSPy's optimizers, and measure it before and after on held-out questions.

    The optimizer sees `task.train`, and `task.dev` where it takes questions apart to choose on; what is reported rests
    on `task.test` alone. A score that candidates were chosen by is too good: the best of many is partly luck.

    It ends early where the budget is spent or somebody interrupts it, and then gives the best so far: of the candidates
    scored on the most questions the best, of bootstrapping the demonstrations found, and where there is neither, the
    program as it was. Nothing is lost: samples are stored, and the same call again goes on from them. After an
    interruption nothing more is measured.

    A run that raises counts as wrong and is counted in `.errors`. What the optimizer prints is in `.log`.

    >>> found = rtk.optimize(rtk.ChainOfThought(task.signature), task, "bootstrap")  # doctest: +SKIP
    >>> found.improved, found.difference, found.diff()  # doctest: +SKIP

    Args:
        program: any DSPy module with predictors; it is not changed. Its demonstrations are replaced by optimizers that
            choose demonstrations, and kept by those that write instructions, as in DSPy.
        task: questions with a metric.
        optimizer: `"labeled"` (training questions as demonstrations), `"bootstrap"` (the program's own right runs as
            demonstrations), `"random-search"` (over sets of these), `"mipro"`, `"copro"` (instructions written by a
            model), `"gepa"` (instructions by reflection), `"simba"` (demonstrations and rules from mini-batches); or an
            optimizer of DSPy's, or the class of one.
        budget: what the optimizer may spend; measuring before and after is not part of it.
        prompt_model: an LM, or a model string, for what optimizers write; the program's own model by default. The
            optimizers that write want a strong one.
        train: of the training questions the first so many; all by default.
        dev: likewise.
        test: likewise.
        seed: of the optimizer's choices; other than 0 it also shuffles the training questions.
        concurrency: runs under way at once.
        progress: `"auto"` a line in a terminal or notebook; None nothing; or a function that is called after each run.
        **options: to the optimizer's constructor or its `compile`, by DSPy's names, such as `max_bootstrapped_demos=4`,
            `teacher=program`, or `max_metric_calls=200`.

    Raises:
        StrategyError: no such optimizer or option, a program without predictors, no model, or an optimizer that failed.
        MissingExtra: an optimizer that needs a package which is not installed, before anything is asked.
        TaskError: fewer questions than asked for, a held-out question that is also a training or dev question, or a
            task whose answers are judged and not right or wrong.
        ModelError: where no question could ever be answered (no weights, a wrong key, nobody listening).
        StoreError: where the store cannot give what it should.
    """
    chosen = choose(optimizer, options)
    sets, held_out = _sets(task, train, dev, test, seed)
    _check(program, concurrency)
    with _models(program, prompt_model) as writer:
        student = program.deepcopy()
        student._compiled = False
        ran = _compile(chosen, student, sets, writer, budget, concurrency, progress)
        results, stopped = None, ran.stopped
        if stopped != INTERRUPTED:
            results, later = _measured(program, ran.program, held_out, task, concurrency, progress)
            stopped = stopped or later
    final = prompts(ran.program)
    candidates = [replace(one, chosen=prompts(one.program) == final) for one in ran.watch.tried]
    settings = {**{name: _said(value) for name, value in options.items()}, "seed": seed,
                "budget": None if budget is None else dict(budget.limits)}  # fmt: skip
    return Optimized(
        ran.program, program.deepcopy(), results, ran.spent, ran.seconds, candidates, stopped, chosen.name, settings,
        _card(task, sets, held_out), ran.watch.runs, sorted(ran.watch.errors), ran.log,
    )  # fmt: skip


# --- what goes in ---


def _check(program: Any, concurrency: int) -> None:
    if not isinstance(program, dspy.Module):
        raise StrategyError(f"{program!r:.60} is no program", mend="for example rtk.ChainOfThought(task.signature)")
    check_whole("concurrency", concurrency)
    if not _thawed(program).predictors():
        raise StrategyError(
            f"{type(program).__name__} has no predictor that an optimizer could change",
            mend="hold predictors as attributes of the module, and set _compiled = False on frozen ones",
        )


def _thawed(program: dspy.Module) -> dspy.Module:
    made = program.deepcopy()
    made._compiled = False
    return made


def _sets(
    task: Any, train: int | None, dev: int | None, test: int | None, seed: int
) -> tuple[Sets, list[dspy.Example]]:
    """What the optimizer sees, and what is held out."""
    if not isinstance(task, Task):
        raise TaskError(f"{task!r:.60} is no task", mend="for example rtk.tasks.load('arithmetic')")
    if task.reports != "accuracy":
        raise TaskError(
            f"{task.name} reports a {task.reports}, and before and after are compared by right and wrong",
            mend="compile with DSPy's optimizer itself, and compare the two programs with rtk.sweep",
        )
    seen = {"train": _first(task, "train", train), "dev": _first(task, "dev", dev)}
    held_out = _first(task, "test", test)
    for name, examples in seen.items():
        known = {_asked(example) for example in examples}
        both = [example for example in held_out if _asked(example) in known]
        if both:
            raise TaskError(
                f"{len(both)} of the held-out questions are {name} questions too, such as {_asked(both[0]):.80}",
                mend="split the questions so that none is in two of train, dev and test",
            )
    if seed:
        Random(seed).shuffle(seen["train"])
    return Sets(task, seen["train"], seen["dev"], seed), held_out


def _first(task: Task, split: str, count: int | None) -> list[dspy.Example]:
    examples = list(getattr(task, split))
    wanted = len(examples) if count is None else count
    check_whole(f"{split}", wanted)
    if wanted > len(examples):
        raise TaskError(
            f"{task.name} has {len(examples)} {split} questions, {wanted} were asked for",
            mend=f"ask for {split}={len(examples)} or fewer, or load a larger task",
        )
    return examples[:wanted]


def _asked(example: dspy.Example) -> str:
    return str(sorted(example.inputs().toDict().items()))


@contextmanager
def _models(program: dspy.Module, prompt_model: Any) -> Iterator[Any]:
    """The program's model in force, and the one that writes. One that is not rtk's own is counted, and not stored."""
    own = [predictor.lm for _, predictor in _thawed(program).named_predictors() if predictor.lm is not None]
    model = dspy.settings.lm or next(iter(own), None)
    if not isinstance(model, dspy.BaseLM):
        raise StrategyError("there is no model to ask", mend='for example dspy.configure(lm=rtk.LM("embedded"))')
    writer = LM(prompt_model) if isinstance(prompt_model, str) else prompt_model
    with dspy.context(lm=_counted(model)):
        yield dspy.settings.lm if writer is None else _counted(writer)


def _counted(model: dspy.BaseLM) -> LM:
    return model if isinstance(model, LM) else LM.of(model, cache=False)


# --- the optimizer's own work ---


@dataclass(frozen=True)
class _Ran:
    """What came of running an optimizer."""

    program: dspy.Module
    stopped: str | None
    watch: Watch
    spent: Spent
    seconds: float
    log: list[str]


def _compile(
    chosen: Chosen,
    student: dspy.Module,
    sets: Sets,
    writer: LM,
    budget: Budget | None,
    concurrency: int,
    progress: Progress,
) -> _Ran:
    """Run the optimizer on a copy of the student, in silence, under its budget, and watch it."""
    began = time.monotonic()
    chosen_on = sets.dev if chosen.chooses_on_dev else sets.train
    models = [dspy.settings.lm, writer, *_teachers(chosen)]
    with counting(progress, chosen.name) as tick, settings_kept(models), quiet() as said:
        with budget or nullcontext(), Budget() as meter:
            watch = Watch(student, current_budgets(), chosen_on, tick)
            heard = [*(dspy.settings.callbacks or []), watch]
            with dspy.context(callbacks=heard, num_threads=concurrency, max_errors=ERRORS, trace=None):
                found, stopped = _run(chosen, student.deepcopy(), sets, writer, watch, meter)
        return _Ran(found or student, stopped, watch, meter.spent, time.monotonic() - began, said.lines())


def _run(
    chosen: Chosen, student: dspy.Module, sets: Sets, writer: LM, watch: Watch, meter: Budget
) -> tuple[dspy.Module | None, str | None]:
    """The compiled program, or the best so far and why it is no more."""
    made: Any = chosen.make(sets, writer)
    if isinstance(made, dspy.SIMBA):
        made.metric = Scored(made.metric, watch, (made.bsize, len(sets.train)))
    try:
        return chosen.compiling(made, sets)(student), None
    except BudgetSpent as over:
        return _best(made, sets, watch), over.limit
    except KeyboardInterrupt:
        return _best(made, sets, watch), INTERRUPTED
    except Ended as ended:
        raise ended.error from None
    except RTKError:
        raise
    except Exception as error:  # whatever an optimizer raises, such as an assertion or what it could not parse
        raise StrategyError(
            f"{chosen.name} failed: {type(error).__name__}: {error}"[:600],
            mend="what was drawn is kept; where a model could not write what was wanted, give a stronger prompt_model=",
        ) from error
    finally:
        meter.close()  # a thread that is still under way draws nothing more


def _best(made: Any, sets: Sets, watch: Watch) -> dspy.Module | None:
    found = collected(made, sets.train) or watch.best()
    return None if found is None else found.deepcopy()


def _teachers(chosen: Chosen) -> Sequence[Any]:
    """Models that an optimizer may change the settings of."""
    given = chosen.options.get("teacher_settings") or getattr(chosen.instance, "teacher_settings", None)
    return [given["lm"]] if isinstance(given, Mapping) and "lm" in given else []


# --- what is reported ---


def _measured(
    before: dspy.Module,
    after: dspy.Module,
    examples: list[dspy.Example],
    task: Task,
    concurrency: int,
    progress: Progress,
) -> tuple[Results | None, str | None]:
    """Both on the held-out questions; one that asks the same is measured once. And what ended that early."""
    same = type(before) is type(after) and prompts(_thawed(before)) == prompts(_thawed(after))
    programs = {"before": before} if same else {"before": before, "after": after}
    held_out = replace(task, test=examples)
    found = sweep(programs, held_out, concurrency=concurrency, progress=progress)
    return (found, None) if found.stopped is None else (None, found.stopped)


def _card(task: Task, sets: Sets, held_out: Sequence[Any]) -> dict[str, Any]:
    sizes = {"train": len(sets.train), "dev": len(sets.dev), "test": len(held_out)}
    return {"name": task.name, "level": task.level, "seed": task.seed, "fingerprint": task.fingerprint, **sizes}


def _said(value: Any) -> Any:
    """An option as JSON has it; of what JSON cannot hold, what kind of thing it is."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain else f"a {type(value).__name__}"
