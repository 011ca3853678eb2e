"""Which search finds more for as many calls: Game of 24 and hidden sequences, with a simulated model of known accuracy.

Measured: on the same questions, the share that is solved, and the calls per question, a call being one sample of the
model: a chain, a proposed thought, a value. The model is simulated (`tree_worlds.py`): at each partial solution it
proposes a right next step with a probability that is drawn there, of mean `--step`, else a legal wrong one, by habit;
a value is right, unsure or wrong with known probabilities. What it says follows from the question, the partial
solution and the number of the sample, so everybody gets the same samples. Programs of rtk run whole, through
`rtk.testing.play`. Nothing is timed.

Three worlds. Game of 24 with no checker: values alone guide. The same with a checker that knows whole solutions and
no dead end. Hidden sequences (`rtk.tasks`), whose checker reads the clues and does not look ahead. A search in a
checked world is checked, the reference too; chains and votes are not.

Contenders: one chain (`rtk.ChainOfThought`), votes on several (`rtk.SelfConsistency`), `rtk.TreeOfThoughts` with bfs,
dfs, best_first and particle at several budgets, and the reference: breadth-first search as published, written anew,
at breadths of 1 to 8. All trees ask for `--branching` thoughts of each partial solution and value each once.

The last column is the success less the reference's at as many calls: between two of its breadths in proportion, below
the first in proportion to nothing, beyond the last as at the last; with the 95 % interval of the paired difference.

Goals: chain < vote < tree, at no more calls for the tree than for the vote, and a tree of breadth 1 < one of breadth
5, each in every world; and no point of any search is worse than the reference at as many calls by more than chance: the
interval reaches 0.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import bench
import tree_worlds
from bench import Goal, Report, Worker

WORLDS: dict[str, Callable[[int, int], Any]] = {
    "24": lambda size, seed: tree_worlds.Game24(size, seed, whole=False),
    "24-checked": lambda size, seed: tree_worlds.Game24(size, seed, whole=True),
    "hidden": tree_worlds.Hidden,
}
BREADTHS = (1, 2, 3, 5, 8)
REFERENCE = tuple(f"reference-{breadth}" for breadth in BREADTHS)
CONTENDERS = (
    "chain", "vote-16", "vote-64", *REFERENCE, *(f"bfs-{breadth}" for breadth in BREADTHS),
    "dfs-5-4", "dfs-5-8", "dfs-5-16", "dfs-5-32", "best_first-1", "best_first-3", "best_first-5", "best_first-1-8",
    "best_first-1-16", "best_first-3-16", "particle-5", "particle-10", "particle-20",
)  # fmt: skip
"""By name: the search, its breadth, and its steps where it has a limit of its own."""
SEARCHES = ("bfs", "dfs", "best_first", "particle")


# --- running ----------------------------------------------------------------------------------------------------------


def model_of(settings: dict[str, Any]) -> tree_worlds.Model:
    """The simulated model in its world."""
    world = WORLDS[settings["world"]](settings["questions"], settings["seed"])
    return tree_worlds.Model(world, settings["step"], settings["sure"], settings["unsure"], settings["seed"])


def program(name: str, world: Any, branching: int) -> Any:
    """A program of rtk, by the name of the contender."""
    import rtk

    kind, *numbers = name.split("-")
    if kind == "chain":
        return rtk.ChainOfThought(world.signature)
    if kind == "vote":
        return rtk.SelfConsistency(world.signature, samples=int(numbers[0]), comparer="exact")
    steps = {"steps": int(numbers[1])} if len(numbers) > 1 else {}
    return rtk.TreeOfThoughts(
        world.signature, int(numbers[0]), branching, world.depth, kind, check=world.check, state=world.state,
        separator=world.separator, **steps,
    )  # fmt: skip


def contender(settings: dict[str, Any]) -> bench.Work:
    """Answers all questions of a world with one contender: whether each is solved, and the calls."""
    model = model_of(settings)

    def work(order: dict[str, Any]) -> Any:
        name, branching = order["name"], settings["branching"]
        if name in REFERENCE:
            breadth = int(name.rpartition("-")[2])
            found = [tree_worlds.reference(model, question, breadth, branching) for question in model.world.questions]
        else:
            found = [played(program(name, model.world, branching), model, each) for each in model.world.questions]
        return [
            (solved(model.world, question, answer), calls)
            for question, (answer, calls) in zip(model.world.questions, found, strict=True)
        ]

    return work


def played(asked: Any, model: tree_worlds.Model, question: str) -> tuple[str | None, int]:
    """The answer of a program to one question, and its samples."""
    import rtk

    found = rtk.testing.play(asked, model.reply, question=question)
    return found.answer, found.spent.samples


def solved(world: Any, question: str, answer: str | None) -> bool:
    """Whether an answer is whole and right."""
    whole = answer is not None and len(answer.split(world.separator)) == world.depth({"question": question})
    return bool(whole and world.right({"question": question}, answer))


# --- figures ----------------------------------------------------------------------------------------------------------


@dataclass
class Point:
    """What one contender came to in one world, question by question."""

    solved: list[bool]
    calls: list[int]

    @property
    def success(self) -> float:
        """The share of questions solved."""
        return sum(self.solved) / len(self.solved)

    @property
    def cost(self) -> float:
        """Calls per question."""
        return sum(self.calls) / len(self.calls)


Points = dict[str, Point]


def mixed(points: Points, calls: float) -> list[float] | None:
    """The reference's success on each question at so many calls: of the breadths on either side in proportion, below
    the first one's calls of that and nothing, from the last one's on of the last.
    """
    there = sorted((points[name] for name in REFERENCE if name in points), key=lambda point: point.cost)
    if not there:
        return None
    nothing = Point([False] * len(there[0].solved), [0])
    for less, more in zip([nothing, *there], there, strict=False):
        if calls < more.cost:
            share = (calls - less.cost) / (more.cost - less.cost)
            return [share * b + (1 - share) * a for a, b in zip(less.solved, more.solved, strict=True)]
    return [float(right) for right in there[-1].solved]


def against(points: Points, name: str) -> tuple[float, float, float] | None:
    """What a contender solves more than the reference at as many calls: the mean over the questions, with its 95 %
    interval (paired, normal).
    """
    base = mixed(points, points[name].cost)
    if base is None:
        return None
    apart = [own - other for own, other in zip(points[name].solved, base, strict=True)]
    mean, half = statistics.fmean(apart), 1.96 * statistics.stdev(apart) / len(apart) ** 0.5
    return mean, mean - half, mean + half


def measure(options: Any, names: Sequence[str]) -> dict[str, Points]:
    """The points, by world."""
    found: dict[str, Points] = {}
    with bench.folder() as environment:
        for world in options.worlds:
            settings = {name: getattr(options, name) for name in ("step", "sure", "unsure", "seed", "branching",
                                                                  "questions")}  # fmt: skip
            settings |= {"world": world, "environment": environment}
            workers = [Worker(__file__, "any", settings, patience=7200) for _ in range(options.processes)]
            found[world] = shared_out(workers, names)
    return found


def shared_out(workers: list[Worker], names: Sequence[str]) -> Points:
    """Every contender is run by one of the workers, which are ended."""
    results: Points = {}
    for first in range(0, len(names), len(workers)):
        busy = list(zip(workers, names[first : first + len(workers)], strict=False))
        for worker, name in busy:
            worker.send({"name": name})
        for worker, name in busy:
            pairs = worker.receive()["result"]
            results[name] = Point([right for right, _ in pairs], [calls for _, calls in pairs])
    for worker in workers:
        worker.close()
    return results


# --- the table --------------------------------------------------------------------------------------------------------


def label(name: str) -> str:
    """A contender in words."""
    kind, *numbers = name.split("-")
    if kind in ("chain", "vote"):
        return "one chain" if kind == "chain" else f"vote of {numbers[0]}"
    steps = f", {numbers[1]} steps" if len(numbers) > 1 else ""
    return f"{'published bfs' if kind == 'reference' else f'rtk {kind}'}, breadth {numbers[0]}{steps}"


def row(points: Points, name: str) -> list[str]:
    """Success with its interval, calls, and what is solved more than by the reference at as many calls."""
    from rtk.statistics import proportion

    point = points[name]
    share = proportion(sum(point.solved), len(point.solved))
    shown = [label(name), f"{point.success:.3f} ({share.low:.2f}–{share.high:.2f})", f"{point.cost:.1f}"]
    more = against(points, name)
    if not name.startswith(SEARCHES) or more is None:
        return [*shown, "", ""]
    return [*shown, f"{more[0]:+.3f} ({more[1]:+.2f} to {more[2]:+.2f})", "worse" if more[2] < 0 else ""]


def report(options: Any, found: dict[str, Points]) -> Report:
    """The table and the goals."""
    columns = ["program", "solved", "calls", "more than published bfs per call", ""]
    title = f"tree_search: {options.questions} questions in each world, a step right with {options.step:g}, " \
        f"values right with {options.sure:g}, unsure with {options.unsure:g}"  # fmt: skip
    made = Report(title, columns, {k: str(v) for k, v in vars(options).items()})
    for key, points in found.items():
        world = WORLDS[key](1, options.seed)
        made.rows += [(f"{world.name}: {world.checked}",), *(row(points, name) for name in points), ("",)]
        made.goals += [*ordering(world.name, points), *worst(world.name, points)]
    return made


def ordering(world: str, points: Points) -> list[Goal]:
    """The paper's ordering, as questions that one solves more than the other."""

    def more(one: str, than: str, what: str) -> Goal:
        known = one in points and than in points
        apart = sum(points[one].solved) - sum(points[than].solved) if known else None
        return Goal(f"{world}: {what}, questions solved more", apart, 1)

    dearest = points["vote-64"].cost if "vote-64" in points else 0
    trees = [name for name in points if name.startswith("bfs") and points[name].cost <= dearest]
    tree = max(trees, key=lambda name: points[name].success, default="no tree")
    return [more("vote-16", "chain", "vote of 16 than one chain"),
            more("vote-64", "chain", "vote of 64 than one chain"),
            more(tree, "vote-64", "a beam of no more calls than the vote of 64"),
            more("bfs-5", "bfs-1", "a beam of 5 than of 1")]  # fmt: skip


def worst(world: str, points: Points) -> list[Goal]:
    """For each search the lowest upper end of an interval among its points, which is to reach 0."""
    goals = []
    for search in SEARCHES:
        every = [against(points, name) for name in points if name.startswith(f"{search}-")]
        there = [one for one in every if one is not None]
        shown = f" (lowest point {min(mean for mean, _, _ in there):+.3f})" if there else ""
        goals.append(Goal(f"{world}: {search} less published bfs per call{shown}, lowest upper end of an interval",
                          min((high for *_, high in there), default=None), 0))  # fmt: skip
    return goals


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.set_defaults(rounds=1)
    parser.add_argument("--questions", type=int, default=120, help="in each world (%(default)s)")
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS), help="(all)")
    parser.add_argument("--branching", type=int, default=5, help="thoughts asked for of each partial (%(default)s)")
    parser.add_argument("--step", type=float, default=0.4, help="mean accuracy of a proposed step (%(default)s)")
    parser.add_argument("--sure", type=float, default=0.7, help="share of values that are right (%(default)s)")
    parser.add_argument("--unsure", type=float, default=0.2, help="share of values that say likely (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of questions and samples (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="at once (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few questions, few contenders: that it works, no figures")
    options = parser.parse_args()
    names = bench.chosen(options.only, list(CONTENDERS))
    if options.quick:
        options.questions, names = min(options.questions, 4), [name for name in names if name in QUICK or options.only]
    found = measure(options, names)
    raw = {world: {name: vars(point) for name, point in points.items()} for world, points in found.items()}
    bench.conclude(report(options, found), raw, options)


QUICK = ("chain", "vote-16", "reference-1", "reference-2", "bfs-1", "bfs-2", "dfs-5-4", "best_first-1", "particle-5")


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        bench.serve({"any": contender})
    else:
        main()
