"""One budget over many questions: accuracy of who gets the next sample, at equal budgets, on the same samples.

Measured: on matrices of questions × 32 answers, in several orders of each question's answers, how many questions a vote
gets right when a budget of so many samples a question, all questions together, is given out by a rule. Every rule is
given the same answers in the same orders and takes the first ones of each question, at most 32. Matrices: four made-up
worlds (shares of 3 to 11 answers; a right answer against a long tail; half of the questions hopeless; two answers,
often close), of other seeds than those that the rule and its constants were chosen on; and chains of the embedded
model, on the test questions of two tasks (drawn at the first run, an hour or more, and read from rtk's store from then
on). The rule was chosen on made-up worlds and on the tasks' dev questions. Nothing is timed.

Contenders: uniform (as many for each question, round robin); `rtk.allocate`, run whole through the real code, its
samples read from a store; "margin", what one would write first: one by one, to the question whose leader is least
ahead; "beta", Adaptive-Consistency's rule at an equal budget: one by one, to the question of whose leader it is least
certain; and an oracle, which knows the right answers: it gives each question as many samples as the vote needs at
least to be right, the cheapest first, which no allocation of the same samples can beat.

Differences to uniform are in points, each with the 95 % interval of the paired difference over questions; a question's
score is its mean over the orders. "all" takes each question's mean over the budgets.

Goals: `rtk.allocate` − uniform, all budgets: the lower end of the interval ≥ 0, in every matrix.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import bench
import dspy
from bench import Goal, Report, check

import rtk
from rtk.experiments import program
from rtk.statistics import Estimate, difference, mean
from rtk.strategies import peek

MOST = 32
BUDGETS = (2, 3, 4, 6, 8, 12)
TASKS = {"arithmetic": 180, "hidden_sequence": 100}
WORLDS = ("made up", "long tail", "half hopeless", "close")

Answers = list[str | None]
Question = tuple[Answers, set[str], list[int]]
"""Its answers, those that are right, and the tokens of each."""


def leader(answers: Sequence[str | None]) -> str | None:
    """Who has most votes, the earliest of several."""
    counted = Counter(answer for answer in answers if answer is not None)
    return max(counted, key=lambda answer: counted[answer], default=None)


def right(question: Question, count: int) -> bool:
    """Whether a vote on the first answers is."""
    return leader(question[0][:count]) in question[1]


# --- rules: how many samples each question is given -------------------------------------------------------------------


def uniform(batch: list[Question], budget: int) -> list[int]:
    """As many to each; what is over to the first ones."""
    each, over = divmod(budget, len(batch))
    return [each + (place < over) for place in range(len(batch))]


def margin(batch: list[Question], budget: int) -> list[int]:
    """One to each, then one by one to the question whose leader is least ahead."""
    return _lowest_first(batch, budget, lambda first, second: first - second)


def beta(batch: list[Question], budget: int) -> list[int]:
    """One to each, then one by one to the question of whose leader the stopping rule is least certain: so it ends with
    every question stopped at the highest level that the budget allows."""
    return _lowest_first(batch, budget, _certainty)


def _lowest_first(batch: list[Question], budget: int, sure: Callable[[int, int], float]) -> list[int]:
    """By votes for the first two answers; the earliest of several questions that are the same in this."""
    counts = [min(1, budget)] * len(batch)

    def of(place: int) -> float:
        heads = Counter(answer for answer in batch[place][0][: counts[place]] if answer is not None).most_common(2)
        first, second = [*(count for _, count in heads), 0, 0][:2]
        return sure(first, second) if counts[place] < MOST else math.inf

    known = [of(place) for place in range(len(batch))]
    for _ in range(budget - len(batch)):
        place = min(range(len(batch)), key=lambda one: (known[one], one))
        if known[place] == math.inf:
            break
        counts[place] += 1
        known[place] = of(place)
    return counts


@cache
def _certainty(first: int, second: int) -> float:
    """P(p > 1/2) for p ~ Beta(first + 1, second + 1): what Adaptive-Consistency (arXiv:2305.11860) stops by."""
    throws = first + second + 1
    return sum(math.comb(throws, heads) for heads in range(first + 1)) / 2**throws


def oracle(batch: list[Question], budget: int) -> list[int]:
    """The fewest with which a vote is right, the cheapest first; none to the others."""
    needed = [next((count for count in range(1, MOST + 1) if right(one, count)), None) for one in batch]
    counts = [0] * len(batch)
    for count, place in sorted((count, place) for place, count in enumerate(needed) if count is not None):
        if count <= budget:
            counts[place], budget = count, budget - count
    return counts


class Ours:
    """`rtk.allocate`, run whole; what it draws is read from a store, and its answers are checked."""

    def __init__(self, folder: str) -> None:
        self.store = rtk.SampleStore(folder)
        self.lm = rtk.LM("openai/replayed", store=self.store, api_base="http://127.0.0.1:9", api_key="none")
        self.vote = rtk.SelfConsistency("question -> answer", samples=MOST, comparer="exact")
        self.known = set[str]()

    def __call__(self, batch: list[Question], budget: int, named: str) -> list[int]:
        """How many samples each was given."""
        asked = [f"{named}, question {place}" for place in range(len(batch))]
        self._keep(named, asked, batch)
        with dspy.context(lm=self.lm, adapter=rtk.TextAdapter("field")):
            found = rtk.allocate(self.vote, [{"question": one} for one in asked], budget, progress=None)
        said = [leader(one[0][:count]) for one, count in zip(batch, found.samples, strict=True)]
        check([one.answer for one in found] == said, "an answer is not that of the vote on the first samples")
        check(found.spent.drawn == 0 and found.spent.samples == sum(found.samples) <= budget, "it spent something else")
        return found.samples

    def _keep(self, named: str, asked: list[str], batch: list[Question]) -> None:
        if named in self.known:
            return
        self.known.add(named)
        self.store.ingest(
            [
                {"question": question, "text": "" if answer is None else f"Answer: {answer}", "tokens": tokens}
                for question, (answers, _, costs) in zip(asked, batch, strict=True)
                for answer, tokens in zip(answers, costs, strict=True)
            ],
            "openai/replayed",
        )


PLAIN: dict[str, Callable[[list[Question], int], list[int]]] = {
    "uniform": uniform, "margin": margin, "beta": beta, "oracle": oracle,
}  # fmt: skip
CONTENDERS = ("uniform", "allocate", "margin", "beta", "oracle")


# --- matrices ---------------------------------------------------------------------------------------------------------


def _shares(world: str, chance: Any) -> tuple[Any, int]:
    """The shares of a question's answers, and which of them is right."""
    import numpy as np

    if world == "made up":
        shares = chance.dirichlet(np.ones(chance.integers(3, 12)) * chance.choice([0.3, 0.6, 1.0]))
        return shares, int(shares.argmax()) if chance.random() < 0.7 else int(chance.integers(len(shares)))
    if world == "close":
        share = chance.beta(2, 1.5)
        return np.array([share, 1 - share]), 0
    if world == "half hopeless" and chance.random() < 0.5:
        return np.ones(200) / 200, 0
    share = chance.uniform(0.3, 0.95) if world == "half hopeless" else chance.beta(0.8, 1.6)
    others = np.ones(6) * 0.5 if world == "half hopeless" else np.ones(40) * 0.3
    return np.concatenate([[share], (1 - share) * chance.dirichlet(others)]), 0


def made_up(world: str, questions: int, seed: int) -> list[Question]:
    """A world of questions."""
    import numpy as np

    chance, found = np.random.default_rng(seed + 1000), []
    for _ in range(questions):
        shares, own = _shares(world, chance)
        answers: Answers = [f"a{one}" for one in chance.choice(len(shares), MOST, p=shares)]
        found.append((answers, {f"a{own}"}, [1] * MOST))
    return found


def embedded(name: str, options: Any) -> list[Question]:
    """Chains of the embedded model, from the store or drawn now; answers that are the same have one name."""
    from rich.progress import track

    task = rtk.tasks.load(name, size=TASKS[name])
    ours, found = program("self-consistency", task, samples=MOST), list[Question]()
    with dspy.context(lm=rtk.LM("embedded"), adapter=rtk.LinesAdapter()):
        for example in track(list(task.test)[: options.questions], name, transient=True):
            if not options.stored or peek(ours, **example.inputs()).whole:
                found.append(_named(ours(**example.inputs()), example, task))
    return found


def _named(pred: Any, example: Any, task: Any) -> Question:
    names: Answers = [None] * MOST
    own = set[str]()
    for number, cluster in enumerate(pred.vote.clusters):
        for member in cluster.members:
            names[member] = f"a{number}"
        if task.metric(example, dspy.Prediction(**{task.answer_field: cluster.answer})):
            own.add(f"a{number}")
    return names, own, [max(1, pred.spent.tokens // MOST)] * MOST


def orders(matrix: list[Question], count: int, seed: int) -> Iterator[list[Question]]:
    """The answers as they came, and in further orders drawn at random."""
    chance = random.Random(seed)
    for number in range(count):
        places = [chance.sample(range(MOST), MOST) if number else list(range(MOST)) for _ in matrix]
        yield [
            ([answers[i] for i in order], own, [costs[i] for i in order])
            for order, (answers, own, costs) in zip(places, matrix, strict=True)
        ]


# --- figures ----------------------------------------------------------------------------------------------------------

Scores = dict[str, dict[int, list[float]]]
"""By contender and budget, each question's mean score over the orders."""


def measured(name: str, matrix: list[Question], options: Any, ours: Ours) -> Scores:
    """What every contender came to."""
    sums: dict[str, dict[int, list[float]]] = {one: {each: [] for each in BUDGETS} for one in options.chosen}
    for number, batch in enumerate(orders(matrix, options.orders, options.seed)):
        for each in BUDGETS:
            for one in options.chosen:
                budget = each * len(batch)
                counts = ours(batch, budget, f"{name} {number}") if one == "allocate" else PLAIN[one](batch, budget)
                check(sum(counts) <= budget and max(counts) <= MOST, f"{one} gave out more than there is")
                scored = [float(right(*pair)) for pair in zip(batch, counts, strict=True)]
                before = sums[one][each] or [0.0] * len(batch)
                sums[one][each] = [a + b / options.orders for a, b in zip(before, scored, strict=True)]
    return {one: {each: [min(1.0, x) for x in of] for each, of in by.items()} for one, by in sums.items()}


def over_all(scores: dict[int, list[float]]) -> list[float]:
    """Each question's mean over the budgets."""
    return [statistics.fmean(column) for column in zip(*scores.values(), strict=True)]


def gain(before: list[float], after: list[float]) -> Estimate:
    """The paired difference over questions."""
    return difference(before, after)


def _points(one: Estimate) -> str:
    return f"{100 * (one.value or 0):+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"


def add_rows(made: Report, name: str, found: Scores, questions: int) -> None:
    """A line for each budget, and one for all."""
    others = [one for one in CONTENDERS if one in found and one != "uniform"]
    for each in (*BUDGETS, None):
        take = lambda one, each=each: over_all(found[one]) if each is None else found[one][each]  # noqa: E731
        base = take("uniform")
        cells = [_points(gain(base, take(one))) for one in others]
        label = f"{name} ({questions})" if each == BUDGETS[0] else ""
        made.rows.append((label, "all" if each is None else str(each), f"{mean(base).value:.3f}", *cells))
    if "allocate" in found:
        low = 100 * gain(over_all(found["uniform"]), over_all(found["allocate"])).low
        made.goals.append(Goal(f"{name}: allocate − uniform, points, lower end over all budgets", low, 0.0))


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__ or "", __file__)
    parser.add_argument("--questions", type=int, default=180, help="of each matrix, at most (%(default)s)")
    parser.add_argument("--orders", type=int, default=10, help="of each question's answers (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the orders and the made-up worlds (%(default)s)")
    parser.add_argument("--matrices", nargs="+", choices=(*WORLDS, *TASKS), help="these alone")
    parser.add_argument("--no-model", action="store_true", help="leave out the matrices of the embedded model")
    parser.add_argument("--stored", action="store_true", help="of those only questions whose chains are all stored")
    parser.add_argument("--quick", action="store_true", help="few questions, no model: that it works, no figures")
    options = parser.parse_args()
    if options.quick:
        options.questions, options.orders, options.no_model = 12, 2, True
    options.chosen = sorted({"uniform", *bench.chosen(options.only, CONTENDERS)}, key=CONTENDERS.index)
    names = options.matrices or (WORLDS if options.no_model else (*WORLDS, *TASKS))
    matrices = {
        name: embedded(name, options) if name in TASKS else made_up(name, options.questions, options.seed)
        for name in names
    }
    columns = ("matrix (questions)", "samples", "uniform", *(one for one in options.chosen if one != "uniform"))
    title = f"allocate: samples a question on average, {options.orders} orders; accuracy, and points above uniform"
    made = Report(title, columns, {key: str(value) for key, value in vars(options).items()})
    raw: dict[str, Any] = {}
    with bench.folder() as place:
        ours = Ours(place["folder"])
        for name, matrix in matrices.items():
            if matrix:
                raw[name] = measured(name, matrix, options, ours)
                add_rows(made, name, raw[name], len(matrix))
    bench.conclude(made, raw, options)


if __name__ == "__main__":
    main()
