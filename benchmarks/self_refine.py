"""Does self-refine help at all, against the same tokens spent on votes, with and without a checker?

Measured: the embedded model (SmolLM2-135M-Instruct) on held-out questions of two tasks, with four worked demonstrations
in every prompt: sums and products (`arithmetic`, level 1), and numbers hidden in clues (`hidden_sequence`, level 2,
whose checker reads the clues and no answer). Of each contender: the share that is right, with Wilson's interval; tokens
written for a question (and all, with those read); the paired difference to one chain, and to the votes whose tokens are
nearest below and nearest above, with Newcombe's 95 % interval and McNemar's exact p-value, none of them corrected for
being several. `broken`: of the drafts that were right, the share whose answer was wrong in the end; `mended`: of those
that were wrong, the share that was right in the end. Nothing varies from round to round.

Contenders, all from the same draft, at the model's own temperature:
  chain               one chain of thought
  refine, arithmetic  `rtk.SelfRefine(verify="arithmetic")`: wrong claims in the chain are shown to the model
  refine, checker     `rtk.SelfRefine(verify=…)` with the task's checker, where there is one
  refine, critique    `rtk.SelfRefine(verify="critique")`: the model is its own critic, and nothing else looks
  resample, …         no revision: another chain until the same verifier passes one (`rtk.BestOfN(threshold=1)`), as
                      many attempts at most; what a finding is worth is the difference to this one
  votes               `rtk.SelfConsistency` of 1 to `--votes` chains; those nearest in tokens are the ones to beat

The critic and the reviser have demonstrations too: training questions with one number miscalculated, what a checker
says of it, and the right chain. A small model follows no format untaught.

Goals: none; the published finding is that without outside evidence refining often hurts (Huang et al., 2023,
arXiv:2310.01798), and this says what is true here. Samples are kept in rtk's store: a second run draws none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bench
import dspy
from bench import Report, check

import rtk
from rtk.answers import Check, check_arithmetic
from rtk.statistics import Estimate, mcnemar, paired_difference, proportion
from rtk.testing import play

SIZES = {"arithmetic": 180, "hidden_sequence": 120}  # test questions; the size decides which ones
COLUMNS = ("task", "contender", "right", "written", "all", "− one chain", "p", *("votes", "− them", "p") * 2)
SHOTS = 4
_CLAIM = re.compile(r"(\d+) ([-+×]) (\d+) = (\d+)((?:, so the \w+ number is )?)(\d*)")


# --- programs ---


def miscalculated(worked: dspy.Example, wrong: int, by: int) -> dict[str, str]:
    """A worked demonstration in which one result is wrong, and what follows from it too."""
    taken: dict[str, str] = {}
    results: list[str] = []

    def again(found: re.Match[str]) -> str:
        left, sign, right, _, words, _ = found.groups()
        left = taken.get(left, left) if results else left
        value = {"+": int.__add__, "-": int.__sub__, "×": int.__mul__}[sign](int(left), int(right))
        value += by if len(results) == wrong else 0
        taken[found[4]] = str(value)
        results.append(str(value))
        return f"{left} {sign} {right} = {value}{words}{value if words else ''}"

    reasoning = _CLAIM.sub(again, worked.reasoning)
    said = worked.answer.split(", ")
    return {"reasoning": reasoning, "answer": ", ".join([*said[:1], *results]) if len(said) > 1 else results[-1]}


def taught(program: rtk.SelfRefine, task: rtk.Task) -> rtk.SelfRefine:
    """The program, its reviser and critic with demonstrations: the very prompts of runs in which they do their part."""
    shown: dict[str, list[dspy.Example]] = {"revise": [], "critic": []}
    for place, worked in enumerate(task.demos(2 * SHOTS)[SHOTS:]):  # others than the chain's
        attempt = miscalculated(worked, place % 2, (1, -1, 2, -2)[place % 4])
        claim = next(one for one in check_arithmetic(attempt["reasoning"]) if not one.ok)
        right = {"reasoning": worked.reasoning, "answer": worked.answer}
        said = [{"finding": f"{claim.text} is wrong: {claim.reason}.", "passes": False},
                {"finding": "Nothing is wrong.", "passes": True}] if hasattr(program, "critic") else []  # fmt: skip
        replies = [attempt, *said[:1], right, *said[1:]]
        with dspy.context(trace=[]):
            play(program, replies, adapter=rtk.LinesAdapter(), question=worked.question)
            for predictor, inputs, outputs in dspy.settings.trace:
                for name, demos in shown.items():
                    if predictor is getattr(program, name, None):
                        demos.append(dspy.Example(**{**inputs, **dict(outputs.items())}).with_inputs(*inputs))
    check(len(shown["revise"]) == SHOTS, f"{len(shown['revise'])} of {SHOTS} demonstrations of a revision")
    for name, demos in shown.items():
        if demos:
            getattr(program, name).demos = demos[:SHOTS]  # of the critic two attempts that pass, two that do not
    return program


def sums_hold(inputs: Any, prediction: Any) -> bool:
    """The arithmetic of a chain, as a verifier of attempts that are drawn again."""
    return all(claim.ok for claim in check_arithmetic(str(prediction.reasoning)))


def whole(task: Any) -> Callable[[Any, Any], Check]:
    """The task's checker; a sequence that is too short does not pass."""

    def fits(inputs: Any, candidate: Any) -> Check:
        found = task.check(inputs, candidate)
        wanted, given = task.depth(inputs), len(re.findall(r"\d+", str(candidate)))
        return found if found.ok is False or given == wanted else Check(False, f"There are {wanted} numbers to find.")

    return fits


def programs(task: rtk.Task, rounds: int) -> dict[str, dspy.Module]:
    """The contenders but for the votes."""
    vote: Any = rtk.experiments.program("self-consistency", task, shots=SHOTS)
    chain = vote.chain
    verifiers: dict[str, Any] = {"arithmetic": "arithmetic", "critique": "critique"}
    passes: dict[str, Any] = {"arithmetic": sums_hold}
    if task.check is not None:
        verifiers["checker"] = fits = whole(task)
        passes["checker"] = lambda inputs, prediction: fits(inputs, prediction.answer)
    found: dict[str, dspy.Module] = {"chain": rtk.experiments.program("chain of thought", task, shots=SHOTS)}
    for name in ("arithmetic", "checker", "critique"):
        if name in verifiers:
            made = rtk.SelfRefine(chain, verifiers[name], rounds, comparer=task.comparer)
            found[f"refine, {name}"] = taught(made, task)
        if name in passes:
            found[f"resample, {name}"] = rtk.BestOfN(chain, rounds + 1, passes[name], threshold=1)
    return found


# --- figures ---


@dataclass
class Told:
    """What a contender came to at every question, in the order of the task."""

    right: list[bool]
    written: list[int]
    tokens: list[int]
    draft: list[bool] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Tokens written for a question."""
        return sum(self.written) / len(self.written)

    def cells(self, others: Sequence[tuple[str, Told] | None]) -> list[str]:
        """Its figures, and its differences to others."""
        found = [str(proportion(sum(self.right), len(self.right))), f"{self.mean:.0f}"]
        found.append(f"{sum(self.tokens) / len(self.tokens):.0f}")
        for name, other in (one or ("", None) for one in others):
            found += [name] if name != "chain" else []
            found += ["", ""] if other is None else [_signed(paired_difference(other.right, self.right)),
                                                     f"{mcnemar(other.right, self.right):.2g}"]  # fmt: skip
        return found


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def read(results: Any, task: rtk.Task) -> dict[str, Told]:
    """Of each program, what it came to."""
    rows, candidates = results.rows(), results.candidates()
    places = {one.id: place for place, one in enumerate(task.test)}
    found = {}
    for arm, of in rows.groupby(["program", "samples"] if "samples" in rows else "program", sort=False):
        of = of.assign(place=of["example"].map(places)).sort_values("place")
        check(list(of["place"]) == list(range(len(places))), f"{arm}: not every question was answered")
        check(not of["error"].notna().any(), f"{arm}: {of['error'].dropna().head(1).tolist()}")
        told = Told(list(map(bool, of["correct"])), list(of["tokens_out"]), list(of["tokens_in"] + of["tokens_out"]))
        name = str(int(arm[1])) if isinstance(arm, tuple) else arm
        if name.startswith("refine"):
            mine = candidates[candidates["program"] == name]
            first = mine[mine["index"] == 0].set_index("example")["correct"]
            many = mine.groupby("example")["index"].max()
            told.draft = [bool(first[one.id]) for one in task.test]
            told.rounds = [int(many[one.id]) for one in task.test]
        found[name] = told
    return found


def nearest(votes: dict[str, Told], tokens: float) -> list[tuple[str, Told] | None]:
    """The votes that write as many tokens at most, and those that write as many at least."""
    ordered = sorted(votes.items(), key=lambda one: one[1].mean)
    below = [one for one in ordered if one[1].mean <= tokens]
    above = [one for one in ordered if one[1].mean >= tokens]
    return [below[-1] if below else None, above[0] if above else None]


def _share(found: list[bool]) -> str:
    return f"{sum(found)} of {len(found)} = {proportion(sum(found), len(found))}" if found else "none"


def moved(name: str, task: str, told: Told) -> str:
    """What revising broke and mended."""
    pairs = list(zip(told.draft, told.right, strict=True))
    broken, mended = [not after for before, after in pairs if before], [after for before, after in pairs if not before]
    said = [_share(one) for one in (broken, mended)]
    revised, size = sum(one > 0 for one in told.rounds), len(told.rounds)
    return f"{task}: {name}: revised {revised} of {size} drafts; broken {said[0]}; mended {said[1]}"


def measure(name: str, options: Any, made: Report) -> dict[str, Any]:
    """One task, into the table."""
    task = rtk.tasks.load(name, size=SIZES[name])
    task = replace(task, test=task.test[: options.questions])
    kept = {one: of for one, of in programs(task, options.rounds_of_revision).items() if one in options.chosen}
    settings = {"deliberations": False, "concurrency": options.concurrency}
    vote = rtk.experiments.program("self-consistency", task, shots=SHOTS)
    votes = read(rtk.sweep({"votes": vote}, task, {"samples": list(range(1, options.votes + 1))}, **settings), task)
    found = read(rtk.sweep(kept, task, **settings), task)
    for label, told in found.items():
        against = [None if label == "chain" else ("chain", votes["1"]), *nearest(votes, told.mean)]
        against = against if label != "chain" else [None, None, None]
        cells = told.cells(against)
        made.rows.append((name, label, *cells[:3], *(cells[3:] if against[0] else ["", "", "", "", "", "", "", ""])))
        if told.draft:
            made.notes.append(moved(label, name, told))
    for count in (one for one in ("2", "4", "8", "16", "32") if one in votes):
        cells = votes[count].cells([("chain", votes["1"])])
        made.rows.append((name, f"votes of {count}", *cells, *[""] * 6))
    return {label: vars(told) for label, told in {**found, **{f"votes {one}": of for one, of in votes.items()}}.items()}


CONTENDERS = ("chain", "refine, arithmetic", "resample, arithmetic", "refine, checker", "resample, checker",
              "refine, critique")  # fmt: skip


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__ or "", __file__)
    parser.add_argument("--tasks", nargs="+", default=list(SIZES), choices=list(SIZES), help="%(default)s")
    parser.add_argument("--questions", type=int, default=100, help="of each task, the first ones (%(default)s)")
    parser.add_argument("--votes", type=int, default=8, help="the most chains of a vote (%(default)s)")
    parser.add_argument("--rounds-of-revision", type=int, default=2, help="the most revisions (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=8, help="questions at once (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="four questions, votes of up to four: a try, no figures")
    options = parser.parse_args()
    if options.quick:
        options.questions, options.votes = 4, 4
    options.chosen = bench.chosen(options.only, CONTENDERS)
    title = f"self_refine: at most {options.rounds_of_revision} revisions, embedded model"
    made, raw = Report(title, COLUMNS, {key: str(value) for key, value in vars(options).items()}), {}
    with dspy.context(lm=rtk.LM("embedded"), adapter=rtk.LinesAdapter()):
        for name in options.tasks:
            raw[name] = measure(name, options, made)
    made.notes.append("written: tokens of a question that the model wrote; all: with those it read; votes: how many")
    bench.conclude(made, raw, options)


if __name__ == "__main__":
    main()
