"""Drawing under kill -9: processes that share a store, die at random moments, and meet a server that fails.

Measured: what is lost, paid twice or wrongly charged. Eight processes ask for the same samples, each in an order of its
own and a few at a time, from four threads; every reply of the server is unlike any other, and a tenth of the requests
fails (500, 429, resets, broken-off and malformed replies). All along, processes are killed with SIGKILL and begun anew,
spread over the whole run, each time at a random moment. Each process writes down, sample by sample, what it was told
and whether it was charged for it; the server writes down which reply it gave to whom. At the end one more process reads
everything, and then:

- lost: samples that somebody was told, and that are not there at the end, or are another text;
- paid twice: replies that went to a process which was not killed, and that are not what is kept at their address;
- wrongly charged: to a process that did not draw it, to none though it was drawn, or twice;
- lost with the killed: replies to processes that were killed before they had stored them. They were generated, and
  no client can help that; their number is at most what was in flight, and it is shown and not judged.

Contenders: `rtk.LM` on one store, with the server's `n` and with a request a sample, and `dspy.LM` on one disk cache (a
call a sample, `rollout_id`), under the same kills.

Goal: rtk loses 0, pays 0 twice, charges 0 wrongly.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import bench
from bench import Goal, Report, check

from rtk.testing import Received, ScriptedServer, faults

SAMPLES = 8  # of each question
THREADS = 4
FAULTS = ("500", "429", "reset", "truncated", "malformed")
LABELS = {
    "rtk": "rtk.LM, n samples a request",
    "rtk-each": "rtk.LM, a request a sample",
    "dspy": "dspy.LM, a call a sample",
}
TRIES = 50  # of a call whose client gives up; with a tenth of faults none ever needs them
Told = Callable[[str, int, str, "bool | None"], None]


# --- a process that draws ---------------------------------------------------------------------------------------------


def draw(contender: str, name: str, url: str, folder: str, questions: int, seed: int) -> None:
    """Ask for everything, a few samples at a time, and write down what was told."""
    ledger = os.open(os.path.join(folder, f"told-{name}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def told(question: str, index: int, text: str, drawn: bool | None) -> None:
        os.write(ledger, (json.dumps([question, index, text, drawn]) + "\n").encode())  # whole, or not at all

    ask = _dspy(name, url, folder, told) if contender == "dspy" else _rtk(name, url, folder, told, contender == "rtk")
    chance = random.Random(seed)
    order = [f"question {number}" for number in range(questions)]
    chance.shuffle(order)
    few = {question: chance.choice((1, 2, 4)) for question in order}
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda question: (ask(question, few[question]), ask(question, SAMPLES)), order))
    os.close(os.open(os.path.join(folder, f"done-{name}"), os.O_WRONLY | os.O_CREAT))


def _rtk(name: str, url: str, folder: str, told: Told, together: bool) -> Callable[[str, int], None]:
    import rtk
    from rtk.events import SampleArrived
    from rtk.models.retries import Retries

    store = os.path.join(folder, "rtk")
    lm = rtk.LM("openai/scripted", api_base=url, api_key=name, store=store, num_retries=TRIES, server_n=together)
    lm._source._retries = Retries(TRIES, wait_initial=0.01, wait_max=0.1)  # pressure, not patience, is measured

    def ask(question: str, n: int) -> None:
        def heard(event: Any) -> None:
            if isinstance(event, SampleArrived):
                told(question, event.sample.address.index, event.sample.text, not event.reused)

        with rtk.Budget() as budget, rtk.watch(heard):
            texts = lm(question, n=n)
        check(len(texts) == n == budget.spent.samples, f"{name} was given {len(texts)} of {n} samples")

    return ask


def _dspy(name: str, url: str, folder: str, told: Told) -> Callable[[str, int], None]:
    import dspy

    dspy.configure_cache(disk_cache_dir=os.path.join(folder, "dspy"))
    lm = dspy.LM("openai/scripted", api_base=url, api_key=name, temperature=0.7, num_retries=0)

    def one(question: str, index: int) -> None:
        for _ in range(TRIES):
            with suppress(Exception):  # DSPy's own waits of seconds are not what is measured
                told(question, index, lm(question, rollout_id=index + 1)[0], None)
                return

    return lambda question, n: [one(question, index) for index in range(n)] and None


# --- the server -------------------------------------------------------------------------------------------------------


class Replies:
    """A script whose every reply is unlike any other, and which remembers what it gave to whom."""

    def __init__(self) -> None:
        self._numbers = count()
        self.given: dict[str, tuple[str, str]] = {}  # text -> who, question

    def __call__(self, received: Received) -> str:
        """The next reply."""
        who = received.headers["authorization"].removeprefix("Bearer ")
        text = f"{received.last}: reply {next(self._numbers)}"
        self.given[text] = (who, received.last)
        return text


# --- the ordeal -------------------------------------------------------------------------------------------------------


@dataclass
class Ordeal:
    """Processes that draw, and are killed."""

    contender: str
    server: ScriptedServer
    folder: str
    options: Any
    chance: random.Random
    names: Iterator[str] = field(default_factory=lambda: (f"process-{number:04}" for number in count()))
    alive: dict[str, Any] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """One process more."""
        name = next(self.names)
        arguments = (self.contender, name, self.server.url, self.folder, self.options.questions, self.chance.random())
        self.alive[name] = FORKS.Process(target=draw, args=arguments, daemon=True)
        self.alive[name].start()

    def kill(self) -> None:
        """One process less, at once, and another in its place."""
        name = self.chance.choice(sorted(self.alive))
        process = self.alive.pop(name)
        process.kill()  # SIGKILL; nothing to one that has finished
        process.join()
        if not os.path.exists(os.path.join(self.folder, f"done-{name}")):
            self.killed.add(name)
        self.begin()

    def run(self) -> None:
        """The kills are spread over the draws: one is due after so many samples served, a random moment later."""
        for _ in range(self.options.processes):
            self.begin()
        share = self.options.questions * SAMPLES / (self.options.kills + 1)
        while len(self.killed) < self.options.kills:
            due = share * (len(self.killed) + 1)
            self.server.wait_for(lambda server, due=due: server.choices_served >= due, timeout=120)
            time.sleep(self.chance.uniform(0, self.options.latency))
            self.kill()
        for process in self.alive.values():
            process.join(600)
        failed = [name for name, process in self.alive.items() if process.exitcode]
        check(not failed, f"{self.contender}: {', '.join(failed)} ended with an error")


def everything(contender: str, url: str, folder: str, questions: int) -> dict[tuple[str, int], str]:
    """What one more process is given at the end, by question and index."""
    process = FORKS.Process(target=draw, args=(contender, "reader", url, folder, questions, 0.0))
    process.start()
    process.join(600)
    check(process.exitcode == 0, f"{contender}: what was drawn cannot be read")
    return {(question, index): text for question, index, text, _ in ledger(folder, "reader")}


def ledger(folder: str, name: str) -> list[tuple[str, int, str, bool | None]]:
    """What a process wrote down."""
    try:
        with open(os.path.join(folder, f"told-{name}")) as file:
            return [tuple(json.loads(line)) for line in file]
    except FileNotFoundError:
        return []  # killed before its first sample


# --- the verdict ------------------------------------------------------------------------------------------------------


def verdict(ordeal: Ordeal, replies: Replies, told: dict[str, list[Any]], kept: dict[Any, str]) -> dict[str, float]:
    """What was lost, paid twice and wrongly charged."""
    heard = {((question, index), text) for lines in told.values() for question, index, text, _ in lines}
    stored = set(kept.values())
    beside = [who for text, (who, _) in replies.given.items() if text not in stored]
    charged = defaultdict(list)
    for name, lines in told.items():
        for _, _, text, drawn in lines:
            if drawn:
                charged[text].append(name)
    wrong = 0
    for text, (who, _) in replies.given.items():
        due = [who] if text in stored and who not in ordeal.killed else [who][: charged[text].count(who)]
        wrong += charged[text] != due
    judged = ordeal.contender != "dspy"
    return {
        "stored": len(stored),
        "lost": sum(kept.get(place) != text for place, text in heard) + len(kept) - len(stored),
        "twice": sum(who not in ordeal.killed for who in beside),
        "wrong": wrong if judged else float("nan"),
        "with_the_killed": sum(who in ordeal.killed for who in beside),
    }


def one_run(contender: str, options: Any, seed: int) -> dict[str, float]:
    """The ordeal of one contender, and what came of it."""
    replies = Replies()
    script = faults(replies, rate=options.faults, kinds=FAULTS, seed=seed)
    with bench.folder() as environment, ScriptedServer(script, latency=(0, options.latency), keep=1) as server:
        folder = environment["folder"]
        ordeal = Ordeal(contender, server, folder, options, random.Random(seed))
        started = time.perf_counter()
        ordeal.run()
        seconds, requests, before = time.perf_counter() - started, server.count, server.choices_served
        kept = everything(contender, server.url, folder, options.questions)
        drawn_anew = server.choices_served - before
        names = [name.removeprefix("told-") for name in os.listdir(folder) if name.startswith("told-")]
        found = verdict(ordeal, replies, {name: ledger(folder, name) for name in names}, kept)
    check(len(kept) == options.questions * SAMPLES, f"{contender}: {len(kept)} samples were read")
    found["lost"] += drawn_anew
    return {**found, "kills": len(ordeal.killed), "requests": requests, "faults": sum(script.given.values()),
            "seconds": seconds}  # fmt: skip


def report(options: Any, figures: bench.Figures) -> Report:
    """The table."""
    wanted = options.questions * SAMPLES
    columns = ["client", "kills", "requests", "faults", "stored", "lost", "paid twice", "wrongly charged",
               "lost with the killed", "seconds"]  # fmt: skip
    title = f"{wanted:,} samples drawn by {options.processes} processes at once, {options.faults:.0%} faults"
    made = Report(title, columns, vars(options))
    keys = ("kills", "requests", "faults", "stored", "lost", "twice", "wrong", "with_the_killed", "seconds")
    for name in bench.chosen(options.only, list(LABELS)):
        cells = [bench.middle(figures.get(name, key)) for key in keys]
        made.rows.append([LABELS[name], *("–" if cell is None or cell != cell else f"{cell:,.0f}" for cell in cells)])
    told = {"lost": "samples lost", "twice": "samples paid twice", "wrong": "samples wrongly charged"}
    made.goals = [
        Goal(f"{LABELS[name]}: {what}", max(figures.get(name, key), default=None), 0, at_most=True)
        for name in ("rtk", "rtk-each")
        for key, what in told.items()
    ]
    return made


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.set_defaults(rounds=1)
    parser.add_argument("--questions", type=int, default=625, help=f"of {SAMPLES} samples each (%(default)s)")
    parser.add_argument("--processes", type=int, default=8, help="at once (%(default)s)")
    parser.add_argument("--kills", type=int, default=200, help="of processes that had not finished (%(default)s)")
    parser.add_argument("--faults", type=float, default=0.1, help="share of requests that fail (%(default)s)")
    parser.add_argument("--latency", type=float, default=0.1, help="of the server at most, in seconds (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of faults and kills (%(default)s)")
    options = parser.parse_args()
    figures = bench.Figures()
    for number, name in bench.rounds(options.rounds, bench.chosen(options.only, list(LABELS))):
        figures.add(name, **one_run(name, options, options.seed + number))
    bench.conclude(report(options, figures), figures.by_name, options)


# Children are forked by a server of their own that has everything loaded, and no thread: each begins at once.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["rtk.models", "rtk.events", "rtk.store", "dspy"])

if __name__ == "__main__":
    main()
