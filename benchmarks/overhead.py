"""What a strategy costs beside the model: our CPU milliseconds per sample, above the bare draw of the same samples.

Measured: CPU time (user and system, all threads) of the process that asks; the model server is another one, so its time
is not in it. A strategy answers a block of new questions *live*, then again from the *store*. What it asked its LM, as
DSPy's callbacks tell, is then asked bare: each different request once, `lm(messages=…, n=N)`, through an LM of the same
kind with a store of its own. The difference, divided by the samples (those of proposals, values and judges too), is the
overhead. What a strategy does in several waves or in several streams is bare one draw, so their cost is in it as well.
The server must have generated as many samples for the bare draw as for the strategy, and nothing while the store was
read; the answers from the store must be the live ones.

Contenders, in interleaved rounds, each round on new questions:
- `rtk.ChainOfThought`; `rtk.SelfConsistency(8)`, `(16)` and `(40)`, also with `stop="beta"`, on answers of five kinds
  that hardly settle (many waves), and on answers that all agree (few samples); `rtk.BestOfN(N=8)` with a function, and
  with a judge; `rtk.BestOfN(rtk.SelfConsistency(8), N=4)`; `rtk.TreeOfThoughts` by bfs (depth 3, breadth and branching
  5, a value each) and by dfs (depth 3, breadth 2, branching 3, a checker that refuses most whole solutions);
- one call of `dspy.Predict` over an `rtk.LM`, over DSPy's `DummyLM`, and over `dspy.LM`; sixteen of
  `dspy.ChainOfThought` over either LM (`rollout_id`), live without DSPy's cache.

All are held against calls of `dspy.Predict` over an `rtk.LM`, above their own bare draws, measured anew beside each of
them, in its process and right behind it; what counts in a round is the median of these, since a live call takes many
times what is told apart here. Of the first row, which is the same again, the span of the ratios is the noise.

Goal: per sample, each strategy at most one such call of `dspy.Predict`, live and from the store.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import bench
from bench import Figures, Goal, Report, Worker, check
from model_server import ModelServer, digest

STEPS = ("live", "told", "bare live", "stored", "bare stored")
"""What is done with a block of questions; in the second, from the store, it is noted what the LM is asked."""
SETTLED = "settled"
REASONING = "1. The parts are 3 + 4 = 7 and 2 * 6 = 12.\n2. In sample {serial}, {words}.\n3. So 7 + 12 = 19."
JUDGED = "question, answer -> score: float"
Settings = dict[str, Any]
Ask = Callable[[str], Any]


def form(vote: str) -> str:
    """A completion that every predictor here can read: each finds its own fields and passes over the others."""
    fields = {"reasoning": REASONING, "thought": "step {serial}", "verdict": "likely", "score": "0.{serial}",
              "answer": vote}  # fmt: skip
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()) + "\n\n[[ ## completed ## ]]"


# --- what is asked, and what the LM is asked for it -------------------------------------------------------------------


@dataclass
class Requests:
    """What an LM was asked, as DSPy's callbacks tell: each different request once, with all its samples, in rounds of
    what was asked side by side."""

    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    rounds: list[list[str]] = field(default_factory=list)
    _open: dict[str, str] = field(default_factory=dict)

    def callback(self) -> Any:
        """The callback that notes it."""
        from dspy.utils.callback import BaseCallback

        requests = self

        class Noting(BaseCallback):
            def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
                requests.start(call_id, inputs)

            def on_lm_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
                requests.end(call_id, len(outputs or ()))

        return Noting()

    def start(self, call: str, inputs: dict[str, Any]) -> None:
        """An LM is asked."""
        given = {"prompt": inputs["prompt"], "messages": inputs["messages"], **inputs["kwargs"]}
        given.pop("n", None)
        if not self._open:
            self.rounds.append([])
        self._open[call] = key = repr(given)
        if key not in self.asked:
            self.asked[key] = given
            self.rounds[-1].append(key)

    def end(self, call: str, samples: int) -> None:
        """It has answered."""
        key = self._open.pop(call)
        self.counts[key] = self.counts.get(key, 0) + samples

    def draw(self, lm: Any) -> int:
        """Ask all of it of another LM, as directly as that LM can be; how many samples came."""
        several = {key: {"n": count} if count > 1 else {} for key, count in self.counts.items()}  # n=1 misses a cache
        calls = {key: given | several[key] for key, given in self.asked.items()}

        async def together(keys: list[str]) -> list[Any]:
            return await asyncio.gather(*(lm.acall(**calls[key]) for key in keys))

        with asyncio.Runner() as runner:
            found = [
                runner.run(together(keys)) if len(keys) > 1 else [lm(**calls[key]) for key in keys]
                for keys in self.rounds
            ]
        return sum(len(texts) for each in found for texts in each)


class Contender:
    """One program, and the LMs it runs with at each step.

    Args:
        ask: calls the program.
        lms: by step.
        same: whether the store must give what was live.
    """

    def __init__(self, ask: Ask, lms: dict[str, Any], *, same: bool) -> None:
        self._ask, self._lms, self._same = ask, lms, same
        self._requests = Requests()
        self._live = ""

    def work(self, order: dict[str, Any]) -> Any:
        """One step."""
        import dspy

        step = order["step"]
        questions = [f"{order['block']}, question {i}: what is left of 24?" for i in range(order["questions"])]
        self._requests = Requests() if step == "told" else self._requests
        callbacks = [self._requests.callback()] if step == "told" else []
        lm = self._lms[step]
        with dspy.context(lm=lm, callbacks=callbacks):
            if step.startswith("bare"):
                return {"samples": self._requests.draw(lm)}
            found = [self._ask(question) for question in questions]
        return lambda: self._proof(step, found)

    def _proof(self, step: str, found: list[Any]) -> dict[str, Any]:
        """That every question was answered, as before, and with how many samples."""
        told = [repr(dict(prediction.items())) for each in found for prediction in each]
        check(all("None" not in one for one in told), f"a question was not answered: {told}")
        self._live = digest(told) if step == "live" else self._live
        check(not self._same or self._live == digest(told), "the store gave other answers than there were live")
        return {"samples": sum(self._requests.counts.values())}


# --- contenders -------------------------------------------------------------------------------------------------------


def _rtk_lms(settings: Settings) -> dict[str, Any]:
    import rtk

    def made(name: str) -> Any:
        return rtk.LM("openai/scripted", api_base=settings["root"] + "/v1", api_key="any", temperature=0.7,
                      store=os.path.join(settings["environment"]["folder"], f"{settings['name']} {name}"))  # fmt: skip

    ours, bare = made("ours"), made("bare")
    return {step: bare if step.startswith("bare") else ours for step in STEPS}


def _dspy_lms(settings: Settings) -> dict[str, Any]:
    import dspy

    dspy.configure_cache(disk_cache_dir=os.path.join(settings["environment"]["folder"], settings["name"]))

    def made(cache: bool) -> Any:
        return dspy.LM("openai/scripted", api_base=settings["root"] + "/v1", api_key="any", temperature=0.7,
                       cache=cache)  # fmt: skip

    kept, anew = made(True), made(False)
    return {step: anew if "live" in step else kept for step in STEPS}


def _dummy_lms(settings: Settings) -> dict[str, Any]:
    from itertools import repeat

    from dspy.utils import DummyLM

    lm = DummyLM([])
    lm.answers = repeat({"answer": "3"})
    return dict.fromkeys(STEPS, lm)


Program = Callable[[], Any]
LMs = Callable[[Settings], dict[str, Any]]


def over(lms: LMs, program: Program, calls: int = 0) -> bench.Make:
    """A program over an LM, asked once a question or in so many calls, each of which draws for itself.

    Beside it, in the same process, is `dspy.Predict` over an `rtk.LM`.
    """

    def make(settings: Settings) -> bench.Work:
        asked = program()

        def ask(question: str) -> list[Any]:
            if not calls:
                return [asked(question=question)]
            return [asked(question=question, config={"rollout_id": number}) for number in range(1, calls + 1)]

        measured, beside = _predict(), _rtk_lms(settings | {"name": f"beside {settings['name']}"})
        who = {
            True: Contender(lambda question: [measured(question=question)], beside, same=True),
            False: Contender(ask, lms(settings), same=lms is not _dspy_lms),
        }
        return lambda order: who[order["beside"]].work(order)

    return make


def _predict() -> Any:
    import dspy

    return dspy.Predict("question -> answer")


def _dspy_chain() -> Any:
    import dspy

    return dspy.ChainOfThought("question -> answer")


def _chain() -> Any:
    import rtk

    return rtk.ChainOfThought("question -> answer")


def _vote(samples: int, stop: str | None = None) -> Program:
    def program() -> Any:
        import rtk

        return rtk.SelfConsistency("question -> answer", samples=samples, stop=stop)

    return program


def _score(inputs: Any, prediction: Any) -> float:
    return len(prediction.reasoning) % 7


def _best() -> Any:
    import rtk

    return rtk.BestOfN("question -> answer", N=8, reward_fn=_score)


def _best_judged() -> Any:
    import dspy

    import rtk

    return rtk.BestOfN("question -> answer", N=8, reward_fn=dspy.Predict(JUDGED))


def _best_voted() -> Any:
    import rtk

    return rtk.BestOfN(_vote(8)(), N=4, reward_fn=lambda inputs, prediction: float(prediction.answer))


def _bfs() -> Any:
    import rtk

    return rtk.TreeOfThoughts("question -> answer", breadth=5, branching=5, depth=3)


def _whole_is_rare(inputs: Any, partial: str) -> Any:
    """A checker that refuses nine of ten whole solutions, so that a search has to go back."""
    return None if partial.count("\n") < 2 else int(partial.rsplit(" ", 1)[1]) % 10 == 0


def _dfs() -> Any:
    import rtk

    return rtk.TreeOfThoughts("question -> answer", breadth=2, branching=3, depth=3, search="dfs",
                              check=_whole_is_rare)  # fmt: skip


VOTES = {f"vote-{size}": _vote(size) for size in (8, 16, 40)}
BETAS = {f"vote-{size}-beta": _vote(size, "beta") for size in (8, 16, 40)}
OURS: dict[str, bench.Make] = {
    name: over(_rtk_lms, program)
    for name, program in {
        "chain": _chain, **VOTES, **BETAS, f"vote-40-beta-{SETTLED}": _vote(40, "beta"), "best": _best,
        "best-judged": _best_judged, "best-voted": _best_voted, "bfs": _bfs, "dfs": _dfs,
    }.items()
}  # fmt: skip
PEERS: dict[str, bench.Make] = {
    "predict": over(_rtk_lms, _predict),
    "predict-dummy": over(_dummy_lms, _predict),
    "predict-dspy": over(_dspy_lms, _predict),
    "chains": over(_rtk_lms, _dspy_chain, 16),
    "chains-dspy": over(_dspy_lms, _dspy_chain, 16),
}
CONTENDERS = {**PEERS, **OURS}
LABELS = {
    "predict": "dspy.Predict over rtk.LM", "predict-dummy": "dspy.Predict over DummyLM",
    "predict-dspy": "dspy.Predict over dspy.LM", "chains": "16 × dspy.ChainOfThought over rtk.LM",
    "chains-dspy": "16 × dspy.ChainOfThought over dspy.LM", "chain": "rtk.ChainOfThought",
    **{f"vote-{size}": f"rtk.SelfConsistency({size})" for size in (8, 16, 40)},
    **{f"vote-{size}-beta": f'rtk.SelfConsistency({size}, stop="beta")' for size in (8, 16, 40)},
    f"vote-40-beta-{SETTLED}": 'rtk.SelfConsistency(40, …), agreed', "best": "rtk.BestOfN(8), a function",
    "best-judged": "rtk.BestOfN(8), a judge", "best-voted": "rtk.BestOfN(4) of SelfConsistency(8)",
    "bfs": "rtk.TreeOfThoughts, bfs", "dfs": "rtk.TreeOfThoughts, dfs",
}  # fmt: skip
QUESTIONS = {"bfs": 3, "dfs": 10, "chain": 100, "predict": 100, "predict-dummy": 100, "predict-dspy": 100,
             f"vote-40-beta-{SETTLED}": 40, "chains": 10, "chains-dspy": 10}  # fmt: skip
"""In a block; 300 samples make one where nothing is said here."""
BESIDE = 100
"""Calls of `dspy.Predict` beside a block."""
WARMING = 3
"""Questions of the first block, whose time does not count."""


# --- measuring --------------------------------------------------------------------------------------------------------


def questions(name: str, options: Any) -> int:
    """How many a block of a contender has."""
    sizes = [int(word) for word in name.split("-") if word.isdigit()] or [32 if "voted" in name else 8]
    return _scaled(QUESTIONS.get(name, 300 // sizes[0]), options)


def _scaled(count: int, options: Any) -> int:
    return 1 if options.quick else max(1, round(options.scale * count))


def block(server: ModelServer, worker: Worker, name: str, number: int, options: Any) -> dict[str, float]:
    """A contender with new questions, and `dspy.Predict` beside it; CPU milliseconds per sample."""
    server.control(form=form("3" if SETTLED in name else "{vote}"))
    most = WARMING if number < 0 else 1_000_000
    order = {"block": f"Block {number}", "questions": min(most, questions(name, options)), "beside": False}
    own = steps(server, worker, name, order)
    beside = min(most, _scaled(BESIDE, options))
    other = steps(server, worker, "predict", {**order, "questions": beside, "beside": True})
    for how in ("live", "stored"):
        own[f"beside {how}"] = other[how]
    return own


def steps(server: ModelServer, worker: Worker, name: str, order: dict[str, Any]) -> dict[str, float]:
    """Every step, checked against what the server says that it did; the CPU milliseconds per sample."""
    did: dict[str, Any] = {step: worker.ask({**order, "step": step}) | {"said": server.control()} for step in STEPS}
    samples = did["told"]["result"]["samples"]
    check(samples > 0, f"{name}: no sample was asked for")
    for step in ("bare live", "stored", "bare stored"):
        got = did[step]["result"]["samples"]
        check(got == samples, f"{name}, {step}: {got} samples, not {samples}")
    for step in STEPS if name != "predict-dummy" else ():
        filling = step == "told" and name.endswith("-dspy")  # DSPy's cache
        due, drawn = samples if "live" in step or filling else 0, did[step]["said"]["samples"]
        check(drawn == due, f"{name}, {step}: the server generated {drawn} samples, not {due}")
    cpu: dict[str, float] = {step: 1000 * did[step]["cpu"] / samples for step in STEPS}
    return {
        "samples": samples / order["questions"],
        **{f"bare {how}": cpu[f"bare {how}"] for how in ("live", "stored")},
        **{how: cpu[how] - cpu[f"bare {how}"] for how in ("live", "stored")},
    }


def measure(options: Any) -> Figures:
    """The figures."""
    figures, names = Figures(), bench.chosen(options.only, list(CONTENDERS))
    with bench.folder() as environment, ModelServer(words=options.words) as server, ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in names:
            settings = {"environment": environment, "root": server.root, "name": name}
            workers[name] = stack.enter_context(Worker(__file__, name, settings))
            block(server, workers[name], name, -1, options)  # what is loaded and made once is not counted
        for number, name in bench.rounds(1 if options.quick else options.rounds, names):
            figures.add(name, **block(server, workers[name], name, number, options))
    return figures


def predicts(figures: Figures, how: str) -> list[float]:
    """What one `dspy.Predict` took in each round: the median of those measured beside the contenders."""
    return list(map(statistics.median, zip(*(of[f"beside {how}"] for of in figures.by_name.values()), strict=True)))


def ratios(figures: Figures, name: str, how: str) -> list[float]:
    """A contender's overhead by that of one `dspy.Predict`, round by round."""
    return [own / one for own, one in zip(figures.get(name, how), predicts(figures, how), strict=True)]


def report(options: Any, figures: Figures) -> Report:
    """The table."""
    columns = ["CPU ms per sample", "samples", "bare, live", "above it, live", "× Predict", "bare, stored",
               "above it, stored", "× Predict", ""]  # fmt: skip
    count = len(predicts(figures, "live"))
    title = f"overhead: CPU above the bare draw, median (and span) of {count} rounds"
    made = Report(title, columns, {**vars(options), "json": str(options.json)})
    for name, of in figures.by_name.items():
        worse = max(statistics.median(ratios(figures, name, how)) for how in ("live", "stored"))
        goal = Goal(f"{LABELS[name]}: CPU above bare × one dspy.Predict", worse, 1, at_most=True)
        made.goals += [goal] if name in OURS else []
        row = [LABELS[name], f"{bench.middle(of['samples']):.1f}"]
        for how in ("live", "stored"):
            told = bench.spread(ratios(figures, name, how))
            row += [f"{bench.middle(of[f'bare {how}']):.2f}", bench.spread(of[how]), told]
        made.rows.append((*row, "" if name not in OURS else "met" if goal.met else "missed"))
    took = ", ".join(f"{how} {bench.spread(predicts(figures, how))} ms" for how in ("live", "stored"))
    made.notes = [f"one dspy.Predict over rtk.LM, above its bare draw: {took}",
                  bench.versions({"dspy": sys.executable, "litellm": sys.executable})]  # fmt: skip
    return made


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.add_argument("--scale", type=float, default=1.0, help="questions in a block, by the usual (%(default)s)")
    parser.add_argument("--words", type=int, default=60, help="in the reasoning of a completion (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of one question: that it works, no figures")
    options = parser.parse_args()
    figures = measure(options)
    bench.conclude(report(options, figures), figures.by_name, options)


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        bench.serve(CONTENDERS)
    else:
        main()
