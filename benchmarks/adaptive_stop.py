"""When a vote may stop: samples drawn, rounds, and accuracy, of stopping rules on the same answers.

Measured: on a matrix of questions × answers, in many orders of the answers, how many are drawn before a rule stops, in
how many rounds of requests, and how often the vote on them is right, and is the vote on all of them. Every rule sees
the same orders. Two matrices: one made up (questions of some hundred shapes, from clear to hopeless), one drawn from
the embedded model (40 questions of the task `arithmetic`, 40 chains each; drawn at the first run, some minutes, and
read from rtk's store from then on). Nothing is timed.

Contenders: a fixed 40; Adaptive-Consistency (arXiv:2305.11860) and ESC (arXiv:2401.10480) as published, the one asking
after every single answer, the other after every five; `rtk.SelfConsistency(stop=…)`, run whole through
`rtk.testing.play`; its_hub's `BetaSelfConsistency` and `AdaptiveSelfConsistency` (`pip install 'its_hub[lm]'`, here or
in one of `--peers`), over a model whose replies take from 1 to 20 ms each, so that they come in another order than they
were asked for in; and an oracle that stops as soon as the leader is the one that all answers elect. What was started
counts as drawn.

And live: `stop="beta"` through `rtk.LM` against a model server, one choice a request, at several concurrencies; the
rest of the answers is drawn afterwards, and what one-by-one asking would have taken is counted on them.

Goals: `stop="beta"` ≤ 1.02 × the one-by-one rule's samples, at every concurrency; `stop="horizon"` ≤ 0.8 × beta's
samples for ≤ 0.5 points of accuracy less than beta's.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import bench
from bench import Goal, Report, Worker, check
from model_server import ModelServer

Answers = Sequence[str | None]
"""In the order of asking; None is an answer that cannot be read."""

NONE = "no answer that anybody could read"
CHAIN = "[[ ## reasoning ## ]]\n{serial}\n\n[[ ## answer ## ]]\n{vote}\n\n[[ ## completed ## ]]"
CONCURRENCIES = (1, 4, 16, 64)


# --- the rules as published, and what all of them are held against ----------------------------------------------------


def leader(answers: Answers) -> str | None:
    """The most frequent answer, the earliest of equals."""
    counts = Counter(answer for answer in answers if answer is not None)
    return max(counts, key=lambda answer: (counts[answer], -answers.index(answer)), default=None)


def beta_published(answers: Answers) -> int:
    """Adaptive-Consistency: stop where Beta(v1 + 1, v2 + 1) lies above one half with 0.95."""
    from scipy.stats import beta

    for count in range(1, len(answers)):
        first, second, *_ = [*sorted(Counter(a for a in answers[:count] if a is not None).values())[::-1], 0, 0]
        if beta.sf(0.5, first + 1, second + 1) >= 0.95:
            return count
    return len(answers)


def window_published(answers: Answers, size: int = 5) -> int:
    """ESC: stop after a window whose answers are all the same."""
    for end in range(size, len(answers), size):
        last = set(answers[end - size : end])
        if len(last) == 1 and None not in last:
            return end
    return len(answers)


def oracle(answers: Answers) -> int:
    """Stop as soon as the leader is the one that all elect."""
    final = leader(answers)
    return next(count for count in range(1, len(answers) + 1) if leader(answers[:count]) == final)


def fixed(answers: Answers) -> int:
    """All of them."""
    return len(answers)


PUBLISHED: dict[str, Callable[[Answers], int]] = {
    "fixed": fixed, "beta-published": beta_published, "window-published": window_published, "oracle": oracle,
}  # fmt: skip


def published(name: str) -> bench.Make:
    """A rule as published."""

    def make(settings: dict[str, Any]) -> bench.Work:
        def work(order: dict[str, Any]) -> Any:
            return [_told(answers, PUBLISHED[name](answers), name) for answers in order["runs"]]

        return work

    return make


def _told(answers: Answers, count: int, name: str) -> list[Any]:
    at_once = {"fixed": len(answers), "window-published": 5}.get(name, 1)
    return [leader(answers[:count]), count, -(-count // at_once)]


# --- contenders that run whole ----------------------------------------------------------------------------------------


def rtk_vote(stop: str) -> bench.Make:
    """`rtk.SelfConsistency` with its own waves, on scripted replies."""

    def make(settings: dict[str, Any]) -> bench.Work:
        import rtk

        def once(answers: Answers) -> list[Any]:
            said: list[Any] = [
                "I cannot tell." if answer is None else {"reasoning": "so", "answer": answer} for answer in answers
            ]
            vote = rtk.SelfConsistency("question -> answer", samples=len(answers), stop=stop, comparer="exact")
            found = rtk.testing.play(vote, iter(said), question="?")
            return [found.answer, found.spent.samples, found.spent.calls]

        return lambda order: [once(answers) for answers in order["runs"]]

    return make


def its_hub(kind: str) -> bench.Make:
    """its_hub's own rules over a model of its interface; a new one for every vote: one that is used again hangs."""

    def make(settings: dict[str, Any]) -> bench.Work:
        import its_hub as hub
        from its_hub.api import AbstractLanguageModel

        class Scripted(AbstractLanguageModel):
            def __init__(self, answers: Answers, seed: int) -> None:
                self.answers, self.started, self.chance = answers, 0, random.Random(seed)

            async def agenerate_single(self, messages: Any, stop: Any = None, **kwargs: Any) -> dict[str, Any]:
                answer, self.started = self.answers[self.started], self.started + 1
                await asyncio.sleep(self.chance.uniform(0.001, 0.02))
                return {"role": "assistant", "content": NONE if answer is None else answer}

            async def agenerate(self, messages: Any, stop: Any = None, **kwargs: Any) -> Any:
                if messages and isinstance(messages[0], list):
                    return await asyncio.gather(*(self.agenerate_single(one) for one in messages))
                return await self.agenerate_single(messages)

        async def once(answers: Answers, seed: int) -> list[Any]:
            model, vote = Scripted(answers, seed), getattr(hub, kind)()
            found = await vote.ainfer(model, "?", len(answers))
            return [found["content"], model.started, None]

        async def all_of(runs: list[Answers]) -> list[list[Any]]:
            limit = asyncio.Semaphore(32)

            async def one(answers: Answers, seed: int) -> list[Any]:
                async with limit:
                    return await once(answers, seed)

            return await asyncio.gather(*(one(answers, seed) for seed, answers in enumerate(runs)))

        return lambda order: asyncio.run(all_of(order["runs"]))

    return make


CONTENDERS: dict[str, tuple[str, bench.Make]] = {
    "fixed": ("", published("fixed")),
    "beta-published": ("scipy", published("beta-published")),
    "window-published": ("", published("window-published")),
    "beta": ("rtk", rtk_vote("beta")),
    "window": ("rtk", rtk_vote("window")),
    "horizon": ("rtk", rtk_vote("horizon")),
    "its_hub-beta": ("its_hub", its_hub("BetaSelfConsistency")),
    "its_hub-doubling": ("its_hub", its_hub("AdaptiveSelfConsistency")),
    "oracle": ("", published("oracle")),
}
SHOWN = {
    "fixed": "all of them", "beta-published": "Adaptive-Consistency, one by one", "window-published": "ESC, window 5",
    "beta": 'rtk, stop="beta"', "window": 'rtk, stop="window"', "horizon": 'rtk, stop="horizon"',
    "its_hub-beta": "its_hub.BetaSelfConsistency", "its_hub-doubling": "its_hub.AdaptiveSelfConsistency",
    "oracle": "oracle",
}  # fmt: skip


# --- matrices: for each question the answers, and which of them is right ----------------------------------------------

Question = tuple[list[str | None], set[str]]


def made_up(questions: int, answers: int, seed: int) -> list[Question]:
    """Shares of 3 to 11 answers from a Dirichlet distribution, flat or steep; the most likely one is right for seven in
    ten, any for the others."""
    import numpy as np

    chance, found = np.random.default_rng(seed), []
    for _ in range(questions):
        shares = chance.dirichlet(np.ones(chance.integers(3, 12)) * chance.choice([0.3, 0.6, 1.0]))
        right = int(shares.argmax()) if chance.random() < 0.7 else int(chance.integers(len(shares)))
        found.append(([f"a{one}" for one in chance.choice(len(shares), answers, p=shares)], {f"a{right}"}))
    return found


def embedded(questions: int, answers: int) -> list[Question]:
    """Chains of the embedded model, from the store or drawn now; answers that are the same have one name."""
    import dspy
    from rich.progress import track

    import rtk
    from rtk.experiments import program

    task = rtk.tasks.load("arithmetic", size=questions)
    vote, found = program("self-consistency", task, samples=answers), []
    with dspy.context(lm=rtk.LM("embedded"), adapter=rtk.LinesAdapter()):
        for example in track(list(task.test)[:questions], "embedded model", transient=True):
            found.append(_named(vote(**example.inputs()).vote, example, task, answers))
    return found


def _named(vote: Any, example: Any, task: Any, answers: int) -> Question:
    import dspy

    names: list[str | None] = [None] * answers
    right = set()
    for number, cluster in enumerate(vote.clusters if vote is not None else ()):
        for member in cluster.members:
            names[member] = f"a{number}"
        if task.metric(example, dspy.Prediction(answer=cluster.answer)):
            right.add(f"a{number}")
    return names, right


def orders(matrix: Sequence[Question], count: int, seed: int) -> list[tuple[list[str | None], set[str]]]:
    """Each question's answers as they came, and in further orders drawn at random."""
    chance, found = random.Random(seed), []
    for answers, right in matrix:
        for number in range(count):
            found.append((answers if number == 0 else chance.sample(answers, len(answers)), right))
    return found


# --- live -------------------------------------------------------------------------------------------------------------


def live(questions: int, samples: int, path: str) -> dict[int, tuple[int, int]]:
    """By concurrency: samples that the server generated for `stop="beta"`, and what one by one would have taken."""
    import rtk

    found = {}
    with ModelServer(latency=0.005, honours_n=False, form=CHAIN) as server:
        for concurrency in CONCURRENCIES:
            lm = rtk.LM("openai/scripted", api_base=f"{server.root}/v1", api_key="any", concurrency=concurrency,
                        store=f"{path}/live-{concurrency}")  # fmt: skip
            stopping = rtk.SelfConsistency("question -> answer", samples=samples, stop="beta")
            whole = rtk.SelfConsistency("question -> answer", samples=samples)
            for program in (stopping, whole):
                program.set_lm(lm)
            asked = [f"question {number}" for number in range(questions)]
            server.control()
            for question in asked:
                stopping(question=question)
            drawn = server.control()["samples"]
            all_told = [[step.label for step in whole(question=one).deliberation.root.children] for one in asked]
            check(server.control()["samples"] == questions * samples - drawn, "a sample was drawn twice, or was lost")
            found[concurrency] = (drawn, sum(beta_published(answers) for answers in all_told))
    return found


# --- the command ------------------------------------------------------------------------------------------------------


def judged(told: list[list[Any]], given: list[tuple[list[str | None], set[str]]]) -> dict[str, float | None]:
    """The figures of one contender on one matrix."""
    rounds = [one[2] for one in told]
    return {
        "samples": statistics.mean(one[1] for one in told),
        "rounds": None if None in rounds else statistics.mean(rounds),
        "accuracy": statistics.mean(one[0] in right for one, (_, right) in zip(told, given, strict=True)),
        "same": statistics.mean(one[0] == leader(answers) for one, (answers, _) in zip(told, given, strict=True)),
    }


def measure(options: Any, place: dict[str, str], names: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """For each matrix what every contender came to; and why one did not take part."""
    matrices = {"made up": made_up(options.questions * 3, options.samples, options.seed)}
    if not options.no_model:
        matrices["embedded"] = embedded(options.questions, options.samples)
    found: dict[str, dict[str, Any]] = {name: {} for name in matrices}
    absent: dict[str, str] = {}
    for name in names:
        try:
            python = bench.python_with(CONTENDERS[name][0], options.peers)
        except bench.NotInstalled as error:
            absent[name] = str(error)
            continue
        with Worker(__file__, name, {"environment": place}, python) as worker:
            for matrix, questions in matrices.items():
                given = orders(questions, options.orders, options.seed)
                told = worker.ask({"runs": [answers for answers, _ in given]})["result"]
                check(all(one[1] <= options.samples for one in told), "more was drawn than there is")
                found[matrix][name] = judged(told, given)
    return found, absent


def report(options: Any, found: dict[str, dict[str, Any]], absent: dict[str, str], ran: dict[int, Any]) -> Report:
    """The table and the goals."""
    columns = ("rule", *(f"{matrix}: {what}" for matrix in found for what in ("samples", "rounds", "right", "as all")))
    title = f"adaptive_stop: at most {options.samples} answers, {options.orders} orders of each question's"
    made = Report(title, columns, {**vars(options), "json": str(options.json)})
    for name in bench.chosen(options.only, list(CONTENDERS)):
        if name in absent:
            made.rows.append((SHOWN[name], absent[name]))
            continue
        made.rows.append((SHOWN[name], *(cell for one in found.values() for cell in _cells(one, name))))
    for matrix, one in found.items():
        made.goals += [
            Goal(f"{matrix}: beta, samples × one by one", _ratio(one, "beta", "beta-published"), 1.02, at_most=True),
            Goal(f"{matrix}: horizon, samples × beta's", _ratio(one, "horizon", "beta"), 0.8, at_most=True),
            Goal(f"{matrix}: horizon, points less right than beta", _points(one), 0.5, at_most=True),
        ]
    for concurrency, (drawn, least) in ran.items():
        made.goals.append(Goal(f"live, {concurrency} at once: beta × one by one", drawn / least, 1.02, at_most=True))
    return made


def _cells(one: dict[str, Any], name: str) -> tuple[str, ...]:
    got = one[name]
    ratio = _ratio(one, name, "beta-published")
    against = "" if ratio is None else f" ({ratio:.2f} ×)"
    rounds = "–" if got["rounds"] is None else f"{got['rounds']:.1f}"
    return f"{got['samples']:.1f}{against}", rounds, f"{got['accuracy']:.3f}", f"{got['same']:.3f}"


def _ratio(one: dict[str, Any], name: str, to: str) -> float | None:
    return one[name]["samples"] / one[to]["samples"] if name in one and to in one else None


def _points(one: dict[str, Any]) -> float | None:
    if "horizon" not in one or "beta" not in one:
        return None
    return 100 * (one["beta"]["accuracy"] - one["horizon"]["accuracy"])


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.add_argument("--questions", type=int, default=40, help="embedded; made up: three times as many")
    parser.add_argument("--samples", type=int, default=40, help="answers to each question (%(default)s)")
    parser.add_argument("--orders", type=int, default=5, help="of each question's answers (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the orders and the made-up matrix (%(default)s)")
    parser.add_argument("--no-model", action="store_true", help="leave out the matrix of the embedded model")
    parser.add_argument("--no-live", action="store_true", help="leave out what is run against a model server")
    options = parser.parse_args()
    names = bench.chosen(options.only, list(CONTENDERS))
    with bench.folder() as place:
        found, absent = measure(options, place, names)
        ran = {} if options.no_live else live(options.questions, options.samples, place["folder"])
    made = report(options, found, absent, ran)
    made.notes.append(_versions(options))
    bench.conclude(made, {"matrices": found, "live": ran}, options)


def _versions(options: Any) -> str:
    pairs = {"scipy": sys.executable}
    with suppress(bench.NotInstalled):
        pairs["its_hub"] = bench.python_with("its_hub", options.peers)
    return bench.versions(pairs)


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        bench.serve({name: make for name, (_, make) in CONTENDERS.items()})
    else:
        main()
