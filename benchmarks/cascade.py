"""A cascade against always-cheap and always-deep: accuracy, cost and latency, on questions kept aside.

Measured: the embedded model (SmolLM2-135M-Instruct) on the test questions of two tasks. `support`: retrieval over its
question-and-answer pairs, then the model at once, then a vote over 4 chains of thought that are shown the passages
found. `arithmetic` (level 1): the model at once, votes of 3, 8 and 32 chains. Thresholds are learned from the dev
questions by `Cascade.calibrate`, and nothing from test. Of each contender: the share that is right, with Wilson's
interval; the paired difference to always-deep, with its score interval; tokens and samples of a question; seconds of a
question, median and 95th percentile; wrong accepts (a wrong answer was given) and hand-overs, as shares of all
questions. Below: which level answers which share; accuracy and seconds by kind of question (of arithmetic by
difficulty: easy where 3/4 of the deepest level's chains are right, hard where 1/4 are at most); how often the first
passage is one that the answer rests on, and whether each level's confidence tells right from wrong (AUROC).

Contenders, all on the same samples, so that levels and contenders that want the same ones share them:
  always cheap       the first level alone, whatever its confidence
  always direct      on support: the model at once, for every question
  always deep        the last level, for every question
  cascade            `calibrate(within=0.01)`: as right as the last level, within a point, at least cost
  cascade, hand over `calibrate(wrong_accepts=…)`: at most so many wrong answers, the others go to a person

Seconds are those of the samples when they were drawn, one question at a time, along the longest path of asks, and of
retrieval as it ran; what was drawn by another program, with others at work beside it, took longer. Samples are kept in
rtk's store: a second run draws none, and calls no model. Nothing varies from round to round.

Goals, of the cascade: always-deep's accuracy within the interval of the difference; at most 0.5 × its tokens; the easy
questions' (on support: straightforward) median seconds at most 0.1 × those of always-deep.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bench
import dspy
from bench import Goal, Report, check

import rtk
from rtk.statistics import Estimate, auroc, difference, proportion
from rtk.strategies.citing import shown

CONTENDERS = ("always cheap", "always direct", "always deep", "cascade", "cascade, hand over")
COLUMNS = ("task", "contender", "right", "− deep", "tokens", "samples", "s, median", "s, p95", "wrong accepts",
           "handed over")  # fmt: skip
KINDS = {
    "support": ("straightforward", "troubleshooting", "unanswerable"),
    "arithmetic": ("easy", "medium", "hard"),
}
VOTES = {"support": 4, "arithmetic": 32}  # chains of the deepest level
SIZES = {"support": None, "arithmetic": 180}  # test questions; the size decides which ones
LONGEST = 160  # tokens of a reply about support: a small model may not find the end


# --- cascades ---


def support_levels(task: rtk.Task, votes: int) -> dict[str, Any]:
    """Retrieval, the model at once, a vote over chains; the latter two are shown passages, and demonstrations of it."""
    retriever = rtk.Retriever(task.passages)
    asked = task.signature.prepend("context", dspy.InputField(desc="what Tarnlight has written down"), str)
    direct, chain = dspy.Predict(asked, max_tokens=LONGEST), dspy.ChainOfThought(asked, max_tokens=LONGEST)
    chain.predict.demos = shots(task, retriever)
    direct.demos = [demo.without("reasoning") for demo in chain.predict.demos]
    return {"faq": retriever, "direct": direct, "deep": rtk.SelfConsistency(chain, votes, comparer="similar")}


def shots(task: rtk.Task, retriever: rtk.Retriever) -> list[dspy.Example]:
    """A worked training question of each kind, and a second one to calculate, with what retrieval finds for it."""
    pairs = list(zip(task.demos(len(task.train)), task.train, strict=True))
    found = []
    # The one without an answer first: a small model repeats what stands last.
    for kind, count in (("unanswerable", 1), ("straightforward", 1), ("troubleshooting", 2)):
        of_kind = [(demo, example) for demo, example in pairs if example.kind == kind]
        for demo, example in of_kind[:count]:
            passages = retriever.search(example.question)
            whole = set(example.sources) <= {passage.id for passage in passages}
            own = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(demo.context, 1))
            fields = {**demo, "context": shown(passages, str) if whole else own}
            found.append(dspy.Example(**fields).with_inputs("context", "question"))
    return found


def arithmetic_levels(task: rtk.Task, votes: int) -> dict[str, Any]:
    """The model at once, then votes of more and more chains, all with the usual four demonstrations."""
    direct = rtk.experiments.program("direct", task, samples=1).chain
    counts = {"few": 3, "some": 8, "deep": votes}
    chains = {name: rtk.experiments.program("self-consistency", task, samples=many) for name, many in counts.items()}
    return {"direct": direct, **chains}


def cascades(task: rtk.Task, options: Any) -> dict[str, rtk.Cascade]:
    """The contenders that learn nothing, and those that will."""
    make = support_levels if task.name == "support" else arithmetic_levels
    levels = make(task, options.votes or VOTES[task.name])
    first, *middle, last = levels
    found = {}
    for name in options.chosen:
        never: dict[str, float | bool] = dict.fromkeys(levels, False)
        accept: Mapping[str, float | bool] | None = None
        if name.startswith("always"):
            given = {"always cheap": first, "always direct": middle[0], "always deep": last}[name]
            if name == "always direct" and task.name != "support":
                continue  # there it is the cheap one
            accept = never | {given: True}
        found[name] = rtk.Cascade(
            copy.deepcopy(levels), signature=task.signature, accept=accept, confidence={"direct": "logprob"},
            hand_over=name != "cascade",
        )  # fmt: skip
    return found


# --- what came of it ---


@dataclass
class Told:
    """What a contender came to at every test question, in order."""

    right: list[bool]
    tokens: list[int]
    samples: list[int]
    seconds: list[float]
    level: list[str]
    handed: list[bool]
    silent: list[bool]

    @property
    def wrong_accepts(self) -> int:
        """Questions that were given a wrong answer."""
        return sum(not (right or silent) for right, silent in zip(self.right, self.silent, strict=True))


def run(program: rtk.Cascade, task: rtk.Task, examples: Sequence[dspy.Example]) -> tuple[Told, list[Any]]:
    """Ask every question, one at a time."""
    from rich.progress import track

    told, predictions = Told([], [], [], [], [], [], []), []
    for example in track(examples, task.name, transient=True):
        pred = program(**example.inputs())
        given = pred.route.accepted
        told.right.append(bool(task.metric(example, pred)))
        told.tokens.append(pred.spent.tokens)
        told.samples.append(pred.spent.samples)
        told.seconds.append(sum(level.seconds for level in pred.route if level.asked))
        told.level.append("a person" if given is None else given.name)
        told.handed.append(given is None)
        told.silent.append(pred[task.answer_field] is None)
        predictions.append(pred)
    return told, predictions


def p95(figures: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(figures, n=20, method="inclusive")[-1] if len(figures) > 1 else figures[0]


def kinds_of(task: rtk.Task, examples: Sequence[dspy.Example], deep: Sequence[Any]) -> list[str]:
    """Each question's kind; its difficulty, by how many of the deepest level's chains are right."""
    if task.name == "support":
        return [example.kind for example in examples]
    found = []
    for example, pred in zip(examples, deep, strict=True):
        vote = pred.vote
        check(vote is not None, "the deepest level held no vote")
        right = sum(len(one.members) for one in vote.clusters if task.metric(example, {task.answer_field: one.answer}))
        share = right / vote.size
        found.append("easy" if share >= 0.75 else "hard" if share <= 0.25 else "medium")
    return found


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _share(count: int, size: int) -> str:
    return str(proportion(count, size)) if size else "none"


def row(name: str, label: str, told: Told, deep: Told) -> tuple[str, ...]:
    """A contender's line."""
    size = len(told.right)
    differs = "" if told is deep else _signed(difference(deep.right, told.right))
    return (
        name, label, _share(sum(told.right), size), differs, f"{statistics.fmean(told.tokens):.0f}",
        f"{statistics.fmean(told.samples):.2f}", f"{statistics.median(told.seconds):.3g}", f"{p95(told.seconds):.3g}",
        _share(told.wrong_accepts, size), _share(sum(told.handed), size),
    )  # fmt: skip


def by_kind(name: str, label: str, told: Told, kinds: Sequence[str]) -> list[str]:
    """Where a contender is right, how long it takes there, and who answers there."""
    found = []
    for kind in KINDS[name]:
        places = [place for place, one in enumerate(kinds) if one == kind]
        if not places:
            continue
        seconds = [told.seconds[place] for place in places]
        levels = [told.level[place] for place in places]
        shares = ", ".join(f"{one} {levels.count(one)}" for one in dict.fromkeys(levels))
        right = _share(sum(told.right[place] for place in places), len(places))
        times = f"median {statistics.median(seconds):.3g} s, p95 {p95(seconds):.3g} s"
        found.append(f"{name}: {label}: {kind}: right {right}; {times}; answered by {shares}")
    return found


def retrieved(task: rtk.Task, examples: Sequence[dspy.Example]) -> list[str]:
    """How good retrieval alone is."""
    retriever = rtk.Retriever(task.passages)
    first = {id(one): next(iter(retriever.search(one.question, 1)), None) for one in examples}
    found = []
    for kind in KINDS["support"][:2]:
        of_kind = [one for one in examples if one.kind == kind]
        hits = sum(first[id(one)] is not None and first[id(one)].id in one.sources for one in of_kind)
        found.append(f"support: retrieval at 1, {kind}: {_share(hits, len(of_kind))}")
    sure = [one.confidence if one is not None else 0.0 for one in first.values()]
    right = [one.kind != "unanswerable" and first[id(one)] is not None
             and bool(task.metric(one, first[id(one)].answer)) for one in examples]  # fmt: skip
    sorts = auroc(sure, right)
    return [*found, f"support: AUROC of retrieval's confidence, right against the rest: {sorts.area} (p {sorts.p:.2g})"]


# --- the command ---


def measure(name: str, options: Any, made: Report) -> dict[str, Any]:
    """One task, into the table."""
    task = rtk.tasks.load(name, size=SIZES[name])
    dev, test = task.dev[: options.questions], task.test[: options.questions]
    programs = cascades(task, options)
    made.notes += retrieved(task, test) if name == "support" else []
    for label, program in programs.items():
        if label.startswith("cascade"):
            how = {"within": 0.01} if label == "cascade" else {"wrong_accepts": options.wrong_accepts, "within": 0.01}
            learned = program.calibrate(dev, metric=task.metric, progress=None, **how)
            made.notes.append(f"{name}: {label}: learned {learned.learned['accept']}: {learned.why}")
            made.notes += [f"{name}: {label}: AUROC of {one} on dev: {sorts.area} (p {sorts.p:.2g})"
                           for one, sorts in learned.discrimination.items()]  # fmt: skip
    found = {label: run(program, task, test) for label, program in programs.items()}
    kinds = kinds_of(task, test, found["always deep"][1])
    base = found["always deep"][0]
    for label, (told, _) in found.items():
        made.rows.append(row(name, label, told, base))
        made.notes += by_kind(name, label, told, kinds) if label != "always direct" else []
    if "cascade" in found:
        made.goals += goals(name, found["cascade"][0], base, kinds)
    return {label: vars(told) for label, (told, _) in found.items()} | {"kinds": kinds}


def goals(name: str, ours: Told, deep: Told, kinds: Sequence[str]) -> list[Goal]:
    """What a cascade is for."""
    easy = [place for place, kind in enumerate(kinds) if kind == KINDS[name][0]]
    times = [statistics.median([told.seconds[place] for place in easy]) if easy else 0.0 for told in (ours, deep)]
    upper = difference(deep.right, ours.right).high
    return [
        Goal(f"{name}: cascade − always deep, right, upper end", upper, 0.0),
        Goal(f"{name}: tokens, × always deep", sum(ours.tokens) / sum(deep.tokens), 0.5, at_most=True),
        Goal(f"{name}: {KINDS[name][0]}: median seconds, × always deep", times[0] / times[1] if times[1] else None, 0.1,
             at_most=True),
    ]  # fmt: skip


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__ or "", __file__)
    parser.add_argument("--tasks", nargs="+", default=list(SIZES), choices=list(SIZES), help="%(default)s")
    parser.add_argument("--questions", type=int, default=180, help="of each split, at most, the first (%(default)s)")
    parser.add_argument("--votes", type=int, help="chains of the deepest level (4 on support, 32 on arithmetic)")
    parser.add_argument("--wrong-accepts", type=float, default=0.2, help="share that may be given (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="six questions, votes of four: a try, no figures")
    options = parser.parse_args()
    if options.quick:
        options.questions, options.votes = 6, 4
    options.chosen = sorted({"always deep", *bench.chosen(options.only, CONTENDERS)}, key=CONTENDERS.index)
    title = "cascade: embedded model, thresholds from dev"
    made, raw = Report(title, COLUMNS, {key: str(value) for key, value in vars(options).items()}), {}
    with dspy.context(lm=rtk.LM("embedded"), adapter=rtk.LinesAdapter()):
        for name in options.tasks:
            raw[name] = measure(name, options, made)
    bench.conclude(made, raw, options)


if __name__ == "__main__":
    main()
