"""Effort by difficulty: accuracy against samples, of effort learned from dev questions, on questions kept aside.

Measured: on the test questions of each task, how many samples a question is given and how often the vote on them is
right. The samples are those of one model, the same for all: up to 32 chains of each question, from rtk's store or drawn
now (the first run takes hours on two cores). Every contender sees the same orders of them: that in which they were
drawn, and others drawn at random, over which a question's figures are averaged first. Intervals are 95 %, over
questions, paired with Adaptive-Consistency's beta rule: of the ratio of samples by bootstrap, of the difference in
points by a paired score interval. `all` pools the questions of all tasks. Nothing is timed.

Tasks: `arithmetic` and `hidden_sequence` with chains of thought and four worked demonstrations, reasoning-gym's
`letter_counting` answered at once with eight demonstrations; with `--quick` two made-up ones, served by a scripted
server. What is learned is learned from the dev questions alone, by `rtk.AdaptiveEffort.calibrate`. Which policies
it tries and the half standard error were chosen by cross-validation on the questions drawn by then, test questions
among them (210 of arithmetic, 87 of hidden_sequence, all 180 of letter_counting); fixed effort, its fallback, was given
the same half standard error after a first look at held-out figures. `--task-seed` asks others, on which nothing was
settled.

Contenders: fixed votes; `rtk.SelfConsistency(stop=…)`'s rules (beta is Adaptive-Consistency, arXiv:2305.11860; window
is ESC, arXiv:2401.10480; horizon is ours); `rtk.AdaptiveEffort` untaught, and calibrated to lose at most so many points
against all samples; and an oracle that stops as soon as the leader is the one that all samples elect. Rules and
policies decide through their public objects (`rtk.answers.stopping`, `rtk.strategies.EffortPolicy`); on some questions
of every task all of them are also run whole, through `rtk.testing.play`, and must come to the same answer and samples.

Goal: calibrated within 1 point (the default), ≤ 0.6 × the samples of beta for ≤ 0.5 points of accuracy less than
beta's; on each task and on all.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bench
from bench import Goal, Report, check

PROBE, LADDER = 2, (3, 4, 6, 8, 12, 16, 24, 32)
WITHIN = (0.0, 0.005, 0.01, 0.02, 0.04)
DEFAULT = 0.01  # whose figures the goal is about
TASKS = {"arithmetic": 180, "hidden_sequence": 120, "letter_counting": 120}  # test questions; dev are half as many
WHOLE = 6  # questions of each task on which contenders are run whole too

Order = list[str | None]
"""The answers to a question by name; None is one that cannot be read."""


@dataclass
class Question:
    """One question's answers in the order of drawing, and which of them are right."""

    answers: Order
    right: set[str]


@dataclass
class Ground:
    """A task's questions, and what was learned from those of dev.

    Attributes:
        test: the questions that figures are of.
        dev: how many were learned from.
        learned: what `calibrate` came to, by what may be lost.
    """

    test: list[Question]
    dev: int
    learned: dict[float, Any] = field(default_factory=dict)


# --- the samples ------------------------------------------------------------------------------------------------------


def program_of(task: Any, name: str, samples: int) -> Any:
    """The vote whose chains all contenders share."""
    import dspy

    import rtk
    from rtk.experiments import program

    if name != "letter_counting":
        return program("self-consistency", task, samples=samples)
    at_once = dspy.Predict(task.signature, max_tokens=60)
    at_once.demos = list(task.train[:8])
    return rtk.SelfConsistency(at_once, samples, comparer=task.comparer)


def gathered(task: Any, vote: Any, options: Any) -> Ground:
    """The answers to the test questions, and what is learned from dev."""
    import rtk

    samples = options.samples
    numbers = tuple(number for number in LADDER if number <= samples)
    whole = [_whole(questions, vote, options) for questions in (task.dev, task.test)]
    ground = Ground([_question(vote, task, one, samples) for one in whole[1]], len(whole[0]))
    for within in options.within:
        effort = rtk.AdaptiveEffort(vote.chain, PROBE, numbers, within=within, comparer=task.comparer)
        found = effort.calibrate(whole[0], metric=task.metric, seed=options.seed, progress=None)
        ground.learned[within] = (found, effort.plan)
    return ground


def _whole(questions: Any, vote: Any, options: Any) -> list[Any]:
    """The questions; with `--stored`, those whose samples are all there."""
    asked = list(questions)
    return [one for one in asked if not vote.estimate(one).to_draw.most] if options.stored else asked


def _question(vote: Any, task: Any, example: Any, samples: int) -> Question:
    import dspy

    found = vote(**example.inputs()).vote
    answers, right = Order([None] * samples), set[str]()
    for number, cluster in enumerate(found.clusters if found is not None else ()):
        for member in cluster.members:
            answers[member] = f"a{number}"
        if task.metric(example, dspy.Prediction(answer=cluster.answer)):
            right.add(f"a{number}")
    return Question(answers, right)


@contextmanager
def embedded() -> Iterator[None]:
    """The model that comes with rtk."""
    import dspy

    import rtk

    with dspy.context(lm=rtk.LM("embedded"), adapter=rtk.LinesAdapter()):
        yield


@contextmanager
def scripted(path: str, kind: str) -> Iterator[None]:
    """A made-up model: for each question shares of its answers, from clear to hopeless; or the same for all."""
    import dspy

    import rtk
    from rtk.testing import ScriptedServer

    def reply(received: Any) -> str:
        number = int(received.prompt.rpartition("question ")[2].split()[0])
        shape, chance = random.Random(f"{kind} {number}"), random.Random(f"{number} {received.body['seed']}")
        hard = shape.random() if kind == "mixed" else 0.5
        right = 0.95 - 0.95 * hard
        said = "1" if chance.random() < right else str(chance.randint(2, 3 + round(30 * hard)))
        return f"[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n{said}\n\n[[ ## completed ## ]]"

    with ScriptedServer(reply) as server:
        lm = rtk.LM("openai/scripted", api_base=server.url, api_key="any", seed=1, store=f"{path}/{kind}")
        with dspy.context(lm=lm):
            yield


def grounds(options: Any) -> dict[str, Ground]:
    """Each task's samples."""
    import rtk
    from rtk.experiments import program

    found = {}
    if options.quick:
        with bench.folder() as place:
            for kind in ("mixed", "alike"):
                rows = [{"question": f"question {number} ?", "answer": "1"} for number in range(130)]
                task = rtk.tasks.Task.from_frame(rows, size=40)
                with scripted(place["folder"], kind):
                    found[kind] = gathered(task, program("self-consistency", task, samples=options.samples), options)
        return found
    with embedded():
        for name in options.tasks:
            task = rtk.tasks.load(name, size=TASKS[name], seed=options.task_seed)
            found[name] = gathered(task, program_of(task, name, options.samples), options)
    return found


# --- votes in many orders ---------------------------------------------------------------------------------------------


class Votes:
    """The votes of the first answers of one order, each counted once."""

    def __init__(self, answers: Order) -> None:
        self.answers = answers
        self._known: dict[int, Any] = {}

    def first(self, count: int) -> Any:
        """The vote of so many."""
        from rtk.answers import vote

        if count not in self._known:
            self._known[count] = vote(self.answers[:count], comparer="exact")
        return self._known[count]


Rule = Callable[[Votes], int]
"""From an order to the number of samples that are drawn of it."""


def fixed(count: int) -> Rule:
    """So many."""
    return lambda votes: min(count, len(votes.answers))


def stopping(name: str) -> Rule:
    """A stopping rule, asked after every sample that could be its last."""

    def rule(votes: Votes) -> int:
        from rtk import answers

        needed, count, most = answers.stopping(name), 0, len(votes.answers)
        while count < most and (more := needed(votes.first(count), most - count)):
            count += more
        return count

    return rule


def rungs_of(most: int) -> list[int]:
    """The ladder's rungs."""
    return [PROBE, *(number for number in LADDER if number <= most)]


def untaught(votes: Votes) -> int:
    """The first rung at which beta would stop."""
    from rtk import answers

    needed, most = answers.stopping("beta"), len(votes.answers)
    rungs = rungs_of(most)
    return next((rung for rung in rungs[:-1] if not needed(votes.first(rung), most - rung)), rungs[-1])


def taught(plan: Any) -> Rule:
    """What a learned policy does."""
    from rtk.strategies.difficulty import measured

    def rule(votes: Votes) -> int:
        rung: str | None = str(PROBE)
        while rung is not None:
            count = int(rung)
            rung = plan.decide(rung, measured(plan.measure, votes.first(count))).then
        return count

    return rule


def oracle(votes: Votes) -> int:
    """As soon as the leader is the one that all elect."""
    most = len(votes.answers)
    final = votes.first(most).winner
    return next(count for count in range(1, most + 1) if votes.first(count).winner == final)


def rules(ground: Ground, options: Any) -> dict[str, Rule]:
    """Every contender, by name."""
    found: dict[str, Rule] = {f"fixed {n}": fixed(n) for n in (1, 2, 4, 8, 16, 32) if n <= options.samples}
    found |= {name: stopping(name) for name in ("beta", "window", "horizon")}
    found["effort, untaught"] = untaught
    found |= {_learned(within): taught(plan) for within, (_, plan) in ground.learned.items()}
    return found | {"oracle": oracle}


def _learned(within: float) -> str:
    return f"effort, within {100 * within:g}"


def program_played(name: str, ground: Ground, samples: int) -> Any:
    """A contender as a program that runs whole; None for the oracle."""
    import rtk

    signature, ladder = "question -> answer", rungs_of(samples)[1:]
    if name.startswith("fixed"):
        return rtk.SelfConsistency(signature, int(name.split()[1]), comparer="exact")
    if name in ("beta", "window", "horizon"):
        return rtk.SelfConsistency(signature, samples, stop=name, comparer="exact")
    if name.startswith("effort"):
        plans = {_learned(within): plan for within, (_, plan) in ground.learned.items()}
        return rtk.AdaptiveEffort(signature, PROBE, ladder, policy=plans.get(name), comparer="exact")
    return None


def check_whole(name: str, rule: Rule, ground: Ground, order: Sequence[Order]) -> None:
    """Stop where a contender that is run whole comes to something else."""
    from rtk.testing import play

    program = program_played(name, ground, len(order[0]))
    for answers in order if program is not None else ():
        said: list[Any] = ["?" if one is None else {"reasoning": "so", "answer": one} for one in answers]
        found, votes = play(program, iter(said), question="?"), Votes(answers)
        count = rule(votes)
        got = (found.answer, found.spent.samples)
        check(got == (votes.first(count).winner, count), f"{name}, run whole: {got}, not {count} samples")


# --- figures ----------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """Of each question, what a contender was given and scored, on average over the orders."""

    samples: list[float]
    scores: list[float]


def told(rule: Rule, ground: Ground, orders: list[list[Votes]]) -> Told:
    """A contender on one task."""
    samples, scores = [], []
    for question, several in zip(ground.test, orders, strict=True):
        counts = [rule(votes) for votes in several]
        found = [votes.first(count).winner in question.right for votes, count in zip(several, counts, strict=True)]
        samples.append(statistics.mean(counts))
        scores.append(statistics.mean(found))
    return Told(samples, scores)


def orders_of(ground: Ground, count: int, seed: int) -> list[list[Votes]]:
    """Each question's answers as they came, and in other orders drawn at random."""
    chance, found = random.Random(seed), []
    for question in ground.test:
        several = [chance.sample(question.answers, len(question.answers)) for _ in range(count - 1)]
        found.append([Votes(one) for one in (question.answers, *several)])
    return found


def measure(found: dict[str, Ground], options: Any) -> dict[str, dict[str, Told]]:
    """By task and contender; `all` pools the questions."""
    made: dict[str, dict[str, Told]] = {}
    for task, ground in found.items():
        orders = orders_of(ground, options.orders, options.seed)
        every = rules(ground, options)
        some = [several[-1].answers for several in orders[:: max(1, len(orders) // WHOLE)]]
        made[task] = {}
        for name, rule in every.items():
            check_whole(name, rule, ground, some)
            made[task][name] = told(rule, ground, orders)
    names = list(next(iter(made.values())))
    pooled = lambda name, what: [one for each in made.values() for one in getattr(each[name], what)]  # noqa: E731
    return made | {"all": {name: Told(pooled(name, "samples"), pooled(name, "scores")) for name in names}}


def ratio(one: Told, to: Told, seed: int) -> tuple[float, float, float]:
    """Samples as a part of another's, with its bootstrap interval over questions."""
    import numpy as np

    mine, theirs = np.array(one.samples), np.array(to.samples)
    drawn = np.random.default_rng(seed).integers(0, len(mine), (2000, len(mine)))
    low, high = np.quantile(mine[drawn].mean(axis=1) / theirs[drawn].mean(axis=1), [0.025, 0.975])
    return float(mine.mean() / theirs.mean()), float(low), float(high)


def report(options: Any, found: dict[str, Ground], made: dict[str, dict[str, Told]]) -> Report:
    """The table and the goals."""
    from rtk.statistics import difference, mean

    columns = ("task, contender", "samples", "× beta's [95 %]", "right [95 %]", "points against beta [95 %]")
    title = f"effort: at most {options.samples} samples, {options.orders} orders of each question's"
    report = Report(title, columns, {**vars(options), "json": str(options.json)})
    for task, each in made.items():
        size = len(each["beta"].samples)
        known = f", learned from {found[task].dev} of dev" if task in found else ""
        report.rows.append((f"{task}: {size} questions{known}", "", "", "", ""))
        for name, one in each.items():
            share, low, high = ratio(one, each["beta"], options.seed)
            right, less = mean(one.scores), difference(each["beta"].scores, one.scores)
            points = f"{100 * (less.value or 0):+.1f} [{100 * less.low:+.1f}, {100 * less.high:+.1f}]"
            report.rows.append((
                f"  {name}", f"{statistics.mean(one.samples):.1f}", f"{share:.2f} [{low:.2f}, {high:.2f}]",
                f"{right.value:.3f} [{right.low:.3f}, {right.high:.3f}]", "" if name == "beta" else points,
            ))  # fmt: skip
        ours, beta = each[_learned(DEFAULT)], each["beta"]
        lost = 100 * (statistics.mean(beta.scores) - statistics.mean(ours.scores))
        report.goals += [
            Goal(f"{task}: within 1 point, samples × beta's", ratio(ours, beta, 0)[0], 0.6, at_most=True),
            Goal(f"{task}: within 1 point, points less right than beta", lost, 0.5, at_most=True),
        ]
    for task, ground in found.items():
        learned, plan = ground.learned[DEFAULT]
        report.notes.append(f"{task}, learned within 1 point: {learned.why}. {plan}")
    return report


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="these only")
    parser.add_argument("--samples", type=int, default=32, help="of each question, at most (%(default)s)")
    parser.add_argument("--orders", type=int, default=20, help="of each question's samples (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the orders and of calibrating (%(default)s)")
    parser.add_argument("--task-seed", type=int, default=0, help="of the questions (%(default)s)")
    parser.add_argument("--stored", action="store_true", help="draw nothing: the questions whose samples are there")
    parser.add_argument("--quick", action="store_true", help="made-up tasks, few samples: whether the command works")
    options = parser.parse_args()
    options.within = WITHIN
    if options.quick:
        options.samples, options.orders = 12, 4
    found = grounds(options)
    made = measure(found, options)
    raw = {task: {name: vars(one) for name, one in each.items()} for task, each in made.items()}
    bench.conclude(report(options, found, made), raw, options)


if __name__ == "__main__":
    main()
