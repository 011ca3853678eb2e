"""What a row of a sweep costs where all its samples are stored, and whether a hundred thousand cost as little each.

Measured: rows a second, CPU milliseconds a row (user and system, all threads), and memory, at several sizes in one
process, the smallest first. A row is one setting on one question, *replayed*: all its samples come from the store. The
stores are filled from a table (`SampleStore.ingest`), under the very requests that the programs make; that they are is
seen from the model server, which must not be asked, and from the rows, which must say that nothing was drawn. What
both give must be the same: each question's answer at each setting. Memory is the most that the process held (the
questions are made before the first size), and what it holds afterwards.

Contenders, in interleaved rounds, each on the same questions and the same store:
- flat: `dspy.ChainOfThought`, one setting, by `rtk.sweep`, and by `dspy.Evaluate` (16 threads, nothing displayed) over
  the same `rtk.LM`; and by `dspy.Evaluate` over `dspy.LM`, whose own cache was filled from the model server before;
- votes: `rtk.SelfConsistency` at 1, 2, 4, 8 and 16 samples, by one `rtk.sweep`, and by `dspy.Evaluate` at each setting;
- policies, apart: `results.replay` on the attempts of the votes, five numbers of samples by three stopping rules, each
  averaged over 64 orders: questions × policies a second.

A sweep tells more than `dspy.Evaluate`: what each row cost, its addresses, every attempt, and how the answer came
about, all of it on the disk. `--plain` leaves the last of these out (`deliberations=False`).

Goals: rtk.sweep ≥ 5 × dspy.Evaluate's rows a second at the largest size, flat and votes; linear: at the largest size
≥ 0.8 × the rows a second of the smallest; flat: ≤ 100 MB more held at most at the largest size than at the smallest
(DSPy's history keeps ten thousand calls, some 40 MB with these prompts; all else is to stay as it is).
"""

from __future__ import annotations

import os
import random
import resource
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import bench
from bench import Figures, Goal, Report, Worker, check
from model_server import WORDS, ModelServer, digest

SIGNATURE = "question -> answer"
SETTINGS = (1, 2, 4, 8, 16)
RULES = (None, "beta", "window")
FILLER = " ".join((WORDS.split() * 3)[:60])
PAGE = 2_000  # questions whose samples are written together
Settings = dict[str, Any]


# --- questions, and what is stored of them ----------------------------------------------------------------------------


def questions(count: int) -> list[str]:
    """What is asked."""
    return [f"Question {i}: what is left of 24?" for i in range(count)]


def examples(count: int) -> list[Any]:
    """The same with their gold answers."""
    import dspy

    return [
        dspy.Example(question=question, answer=str(i % 5), id=f"q/{i}").with_inputs("question")
        for i, question in enumerate(questions(count))
    ]


def right(example: Any, prediction: Any, trace: Any = None) -> bool:
    """The metric."""
    return prediction.answer == example.answer


def completions(question: int, count: int) -> list[str]:
    """What is stored of a question: chains that agree half of the time, no two of them alike."""
    draw = random.Random(question)
    votes = [question % 5 if draw.random() < 0.5 else draw.randrange(5) for _ in range(count)]
    return [
        f"[[ ## reasoning ## ]]\n{question}.{i}: {FILLER}\n\n[[ ## answer ## ]]\n{vote}\n\n[[ ## completed ## ]]"
        for i, vote in enumerate(votes)
    ]


def fill(settings: Settings, kind: str) -> int:
    """Store samples where the programs look for them; how many."""
    import dspy

    import rtk

    chain: Any = dspy.ChainOfThought(SIGNATURE).predict
    store, each = rtk.SampleStore(place(settings, kind)), {"flat": 1, "votes": max(SETTINGS)}[kind]
    asked, stored = iter(enumerate(questions(settings[kind]))), 0
    while page := list(islice(asked, PAGE)):
        rows = []
        for number, question in page:
            messages = dspy.ChatAdapter().format(chain.signature, [], {"question": question})
            rows += [
                {"messages": messages, "text": text, "prompt_tokens": 90, "completion_tokens": 75, "seconds": 1.5}
                for text in completions(number, each)
            ]
        stored += store.ingest(rows, "openai/scripted").added
    return stored


def place(settings: Settings, name: str) -> str:
    """Where something is kept."""
    return os.path.join(settings["environment"]["folder"], name)


# --- contenders -------------------------------------------------------------------------------------------------------


def filler(settings: Settings) -> bench.Work:
    """Fills both stores."""
    return lambda order: {kind: fill(settings, kind) for kind in ("flat", "votes")}


def _at_work(settings: Settings, kind: str, ask: Callable[[list[Any], Settings], Any]) -> bench.Work:
    """A contender: asks the first questions of an order; what it says of them is the proof."""
    import dspy

    import rtk

    server = {"api_base": settings["root"] + "/v1", "api_key": "any"}
    if kind == "dspy":
        dspy.configure_cache(disk_cache_dir=place(settings, "dspy"))
        dspy.configure(lm=dspy.LM("openai/scripted", temperature=0.7, **server))
    else:
        dspy.configure(lm=rtk.LM("openai/scripted", store=place(settings, kind), **server))
    asked = examples(settings["votes" if kind == "votes" else "flat"])
    ask(asked[:8], settings)  # what is loaded late, is loaded now

    def work(order: dict[str, Any]) -> Any:
        told = ask(asked[: order["questions"]], settings)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # before the proof, which takes some, too
        return lambda: {**proof(told()), "peak": peak}

    return work


def proof(answers: list[str]) -> dict[str, Any]:
    """What a contender gave, to be compared."""
    return {"rows": len(answers), "digest": digest(answers)}


def _swept(program: Any, asked: list[Any], settings: Settings, **over: Any) -> Callable[[], list[str]]:
    """A sweep; its rows are looked at when the clock has stopped."""
    import rtk

    found = rtk.sweep(program, asked, over or None, metric=right, progress=None, deliberations=settings["stories"])

    def told() -> list[str]:
        frame = found.rows("example", "setting", "answer", "drawn", "reused", "error", "correct")
        check(not frame["drawn"].sum() and not frame["error"].notna().any(), "the sweep drew samples, or failed")
        of = {arm.label: arm.values.get("samples", 1) for arm in found.settings}
        whole = all(of[one] == n for one, n in zip(frame["setting"], frame["reused"], strict=True))
        check(whole, "samples are missing")
        rows = frame[["example", "setting", "answer", "correct"]].itertuples(index=False)
        return [f"{one} {of[setting]} {answer} {bool(hit)}" for one, setting, answer, hit in rows]

    return told


def _evaluated(program: Any, asked: list[Any], samples: int = 1) -> Iterator[str]:
    """`dspy.Evaluate`, with as many threads as a sweep has questions under way."""
    import dspy

    found = dspy.Evaluate(devset=asked, metric=right, num_threads=16, display_progress=False)(program)
    for example, prediction, score in found.results:
        yield f"{example.id} {samples} {prediction.answer} {bool(score)}"


def sweep_flat(settings: Settings) -> bench.Work:
    """`rtk.sweep` of a chain of thought."""
    import dspy

    chain = dspy.ChainOfThought(SIGNATURE)
    return _at_work(settings, "flat", lambda asked, given: _swept(chain, asked, given))


def evaluate_flat(settings: Settings, kind: str = "flat") -> bench.Work:
    """`dspy.Evaluate` of it."""
    import dspy

    chain = dspy.ChainOfThought(SIGNATURE)

    def ask(asked: list[Any], given: Settings) -> Callable[[], list[str]]:
        found = list(_evaluated(chain, asked))
        return lambda: found

    return _at_work(settings, kind, ask)


def evaluate_dspy(settings: Settings) -> bench.Work:
    """The same over `dspy.LM`, whose cache holds what the model server said before the clock starts."""
    work = evaluate_flat(settings, "dspy")
    if settings["fill"]:
        work({"questions": settings["flat"]})
    return work


def sweep_votes(settings: Settings) -> bench.Work:
    """`rtk.sweep` of votes of five sizes."""
    import rtk

    vote = rtk.SelfConsistency(SIGNATURE)
    return _at_work(settings, "votes", lambda asked, given: _swept(vote, asked, given, samples=list(SETTINGS)))


def evaluate_votes(settings: Settings) -> bench.Work:
    """`dspy.Evaluate` at each size."""
    import rtk

    vote = rtk.SelfConsistency(SIGNATURE)

    def ask(asked: list[Any], given: Settings) -> Callable[[], list[str]]:
        found = []
        for vote.samples in SETTINGS:
            found += _evaluated(vote, asked, vote.samples)
        return lambda: found

    return _at_work(settings, "votes", ask)


def policies(settings: Settings) -> bench.Work:
    """`results.replay`; the sweep that it is of is made before the clock starts."""
    import rtk

    vote, studies = rtk.SelfConsistency(SIGNATURE, samples=max(SETTINGS)), {}

    def ask(asked: list[Any], given: Settings) -> Callable[[], list[str]]:
        if len(asked) not in studies:
            studies.clear()
            studies[len(asked)] = rtk.sweep(vote, asked, metric=right, progress=None, deliberations=False)
            return list
        found = studies[len(asked)].replay(samples=list(SETTINGS), stop=list(RULES))
        return lambda: [str(row) for row in found.to_frame().itertuples(index=False) for _ in asked]

    return _at_work(settings, "votes", ask)


CONTENDERS: dict[str, tuple[str, str, bench.Make]] = {
    "sweep-flat": ("flat", "flat: rtk.sweep", sweep_flat),
    "evaluate-flat": ("flat", "flat: dspy.Evaluate over rtk.LM", evaluate_flat),
    "evaluate-dspy": ("dspy", "flat: dspy.Evaluate over dspy.LM's cache", evaluate_dspy),
    "sweep-votes": ("votes", "votes: rtk.sweep", sweep_votes),
    "evaluate-votes": ("votes", "votes: dspy.Evaluate at each setting", evaluate_votes),
    "policies": ("policies", "policies: results.replay", policies),
}
"""By name: what is asked, how it is called, and what it does."""
AGAINST = {"sweep-flat": "evaluate-flat", "evaluate-dspy": "evaluate-flat", "sweep-votes": "evaluate-votes"}


# --- measuring --------------------------------------------------------------------------------------------------------


def measure(options: Any) -> dict[int, Figures]:
    """The figures, by size."""
    names, sizes = bench.chosen(options.only, list(CONTENDERS)), sorted(options.sizes)
    figures = {size: Figures() for size in sizes}
    with bench.folder() as environment, ModelServer(form="{words}") as server:
        settings = {
            "environment": environment, "root": server.root, "flat": sizes[-1], "votes": sizes[-1] // len(SETTINGS),
            "stories": not options.plain, "fill": True,
        }  # fmt: skip
        with Worker(__file__, "filler", settings, patience=3600) as worker:
            stored = worker.ask({})["result"]
        due = {"flat": settings["flat"], "votes": settings["votes"] * max(SETTINGS)}
        check(stored == due, f"{stored} samples were stored, not {due}")
        for _, name in bench.rounds(options.rounds, names):
            for size, told in one_run(server, name, settings, sizes):
                figures[size].add(name, **told)
    return figures


def one_run(
    server: ModelServer, name: str, settings: Settings, sizes: list[int]
) -> Iterator[tuple[int, dict[str, float]]]:
    """A fresh process: one size after the other."""
    kind = CONTENDERS[name][0]
    server.control(form=completions(0, 1)[0])
    with Worker(__file__, name, settings, patience=3600) as worker:
        drawn = server.control()["requests"]
        check(kind == "dspy" or not drawn, f"{name}: {drawn} requests were made before the clock started")
        for size in sizes:
            asked = size if kind in ("flat", "dspy") else size // len(SETTINGS)
            if kind == "policies":
                worker.ask({"questions": asked})  # the sweep
            yield size, _figures(worker.ask({"questions": asked}), name, asked, kind)
        check(server.control()["requests"] == 0, f"{name} asked the model while it was to read")


def _figures(reply: dict[str, Any], name: str, asked: int, kind: str) -> dict[str, float]:
    told = reply["result"]
    rows = asked * {"votes": len(SETTINGS), "policies": len(SETTINGS) * len(RULES)}.get(kind, 1)
    check(told["rows"] == rows, f"{name}: {told['rows']} rows, not {rows}")
    if kind in ("flat", "votes"):
        check(told["digest"] == _due(kind, asked, told["digest"]), f"{name} answers otherwise than its peer")
    return {"rate": rows / reply["wall"], "cpu": 1e3 * reply["cpu"] / rows, "mb": reply["rss"], "peak": told["peak"]}


_answers: dict[tuple[str, int], str] = {}


def _due(kind: str, asked: int, given: str) -> str:
    """What the first contender said of these questions, which the others must say too."""
    return _answers.setdefault((kind, asked), given)


def report(options: Any, figures: dict[int, Figures]) -> Report:
    """The table."""
    columns = ["by", "rows", "rows/s", "× Evaluate", "CPU ms a row", "MB at most", "MB afterwards"]
    made = Report("sweep_cost: replayed rows", columns, {k: str(v) for k, v in vars(options).items()})
    for name in (name for name in CONTENDERS if any(of.get(name, "rate") for of in figures.values())):
        for size, of in figures.items():
            made.rows.append((
                CONTENDERS[name][1], f"{size:,}", bench.spread(of.get(name, "rate"), ",.0f"),
                bench.spread(of.ratios(name, "rate", AGAINST.get(name, ""))), bench.spread(of.get(name, "cpu")),
                bench.spread(of.get(name, "peak"), ".0f"), bench.spread(of.get(name, "mb"), ".0f"),
            ))  # fmt: skip
    made.notes = [bench.versions(dict.fromkeys(("dspy",), sys.executable))]
    made.goals = goals(figures)
    return made


def goals(figures: dict[int, Figures]) -> list[Goal]:
    """The issue's."""
    small, large = figures[min(figures)], figures[max(figures)]
    made = []
    for name in ("sweep-flat", "sweep-votes"):
        what, by = CONTENDERS[name][0], f"at {max(figures):,} rows"
        linear = [b / a for a, b in zip(small.get(name, "rate"), large.get(name, "rate"), strict=True)]
        more = [b - a for a, b in zip(small.get(name, "peak"), large.get(name, "peak"), strict=True)]
        times = bench.middle(large.ratios(name, "rate", AGAINST[name]))
        made += [
            Goal(f"{what}: rows/s × dspy.Evaluate's {by}", times, 5),
            Goal(f"{what}: rows/s {by} × those at {min(figures):,}", bench.middle(linear), 0.8),
            Goal(f"{what}: MB more at most {by} than at {min(figures):,}", bench.middle(more), 100, at_most=True),
        ]
    return made


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.set_defaults(rounds=1)
    sizes = "rows (%(default)s); at 100000 dspy.Evaluate takes an hour, the sweeps alone (--only) some minutes"
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 4_000, 16_000], metavar="ROWS", help=sizes)
    parser.add_argument("--plain", action="store_true", help="rtk.sweep(…, deliberations=False)")
    options = parser.parse_args()
    figures = measure(options)
    bench.conclude(report(options, figures), {size: of.by_name for size, of in figures.items()}, options)


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        bench.serve({"filler": filler, **{name: make for name, (_, _, make) in CONTENDERS.items()}})
    else:
        main()
