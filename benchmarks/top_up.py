"""What is paid when more samples are wanted: n = 2, then 4, then 16, then 8, then 8 again.

Measured: HTTP requests and samples generated, as the server counts them, at each step; nothing is timed. Every client
keeps its samples on disk between the steps. The last column asks for 8 once more the other way round (async where the
steps were sync): what is stored should not depend on who asks. Sync and async, one process, and two on one store that
take each step at the same moment.

With `--cut-every K` the server breaks off every K-th reply in the middle: its samples were generated and would be
billed though nothing arrived, so `lost` counts them apart; what a client then asks again shows as more requests. rtk
counts what may have been lost (`Spent.lost`), so never less: the column has the server's figure, and what rtk told.

Contenders: `rtk.LM`, `dspy.LM`, cachesaver (`pip install cachesaver`, here or in one of `--peers`). cachesaver gives a
*namespace* fresh samples each time and shares between namespaces, so each step has a namespace of its own, which is
what asking for the first n anew means there. Traps: LiteLLM's `ollama_chat/` posts to `/api/chat`, DSPy's native path
posts the same model string to `/chat/completions`; the paths that were asked are told below the table
(`--wire ollama`).

Goal: rtk draws 2 + 2 + 12 + 0 + 0 (+ 0), sync and async; two processes at once draw 16 together.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import bench
from bench import Goal, Report, Worker, check
from model_server import ModelServer

STEPS = (2, 4, 16, 8, 8, 8)
COLUMNS = ("n=2", "n=4", "n=16", "n=8", "8 again", "8, other way")
DUE = (2, 2, 12, 0, 0, 0)
MODES = [(way, processes) for processes in (1, 2) for way in ("sync", "async")]
Settings = dict[str, Any]


# --- contenders: they ask for n samples of the prompt, in one way or the other ----------------------------------------


def rtk_lm(settings: Settings) -> bench.Work:
    """`rtk.LM` on a store."""
    import rtk

    model, base = settings["model"]
    lm = rtk.LM(model, api_base=base, api_key="any", temperature=0.7, store=os.path.join(settings["place"], "rtk"))
    work = _asking(
        lambda order: lm(order["prompt"], n=order["n"]), lambda order: lm.acall(order["prompt"], n=order["n"])
    )

    def metered(order: dict[str, Any]) -> Any:
        with rtk.Budget() as meter:
            return work(order) | {"lost": meter.spent.lost}

    return metered


def dspy_lm(settings: Settings) -> bench.Work:
    """`dspy.LM` with its cache on, as it comes."""
    import dspy

    model, base = settings["model"]
    dspy.configure_cache(disk_cache_dir=os.path.join(settings["place"], "dspy"))
    lm = dspy.LM(model, api_base=base, api_key="any", temperature=0.7)
    return _asking(
        lambda order: lm(order["prompt"], n=order["n"]), lambda order: lm.acall(order["prompt"], n=order["n"])
    )


def cachesaver_client(settings: Settings) -> bench.Work:
    """cachesaver's OpenAI clients; a namespace for each step.

    A sync client answers once: its second call finds a queue of another event loop and spins for ever (0.0.6). So each
    sync step has a client of its own, on the same folder.
    """
    from cachesaver.models.openai import AsyncOpenAI, OpenAI

    where = {"cachedir": os.path.join(settings["place"], "cachesaver"), "base_url": settings["model"][1],
             "api_key": "any", "max_retries": 3}  # fmt: skip
    awaited = AsyncOpenAI(**where)

    def asked(client: Any, order: dict[str, Any]) -> Any:
        chat = [{"role": "user", "content": order["prompt"]}]
        return client.chat.completions.create(
            model="scripted", messages=chat, temperature=0.7, n=order["n"], namespace=f"step {order['step']}"
        )

    def texts(reply: Any) -> list[str]:
        return [choice.message.content for choice in reply.choices]

    async def later(order: dict[str, Any]) -> list[str]:
        return texts(await asked(awaited, order))

    return _asking(lambda order: texts(asked(OpenAI(**where), order)), later)


def _asking(plainly: Any, awaited: Any) -> bench.Work:
    loop = asyncio.new_event_loop()

    def work(order: dict[str, Any]) -> Any:
        found = loop.run_until_complete(awaited(order)) if order["way"] == "async" else plainly(order)
        return {"texts": list(found)}

    return work


CONTENDERS: dict[str, tuple[str, bench.Make]] = {
    "rtk": ("rtk", rtk_lm),
    "dspy": ("dspy", dspy_lm),
    "cachesaver": ("cachesaver", cachesaver_client),
}
LABELS = {"rtk": "rtk.LM", "dspy": "dspy.LM", "cachesaver": "cachesaver"}


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass
class Course:
    """One contender's way through the steps: what the server counted, and what the contender was given."""

    name: str
    way: str
    processes: int
    counts: list[dict[str, Any]] = field(default_factory=list)
    given: list[list[list[str]]] = field(default_factory=list)
    told: list[int] = field(default_factory=list)  # lost, as a client that counts them says

    @property
    def lost(self) -> str:
        """Generated in vain: as the server counts, and as the client does."""
        served = sum(count["lost"] for count in self.counts)
        return f"{served}, told {sum(self.told)}" if self.told else str(served)

    @property
    def samples(self) -> list[int]:
        """Generated at each step."""
        return [count["samples"] for count in self.counts]

    @property
    def same(self) -> str:
        """Whether every step, in every process, was given the first n of the same samples."""
        every = [texts for step in self.given for texts in step]
        longest = max(every, key=len)
        if all(texts == longest[: len(texts)] for texts in every):
            return "yes"
        sets = {n: {frozenset(texts) for texts in every if len(texts) == n} for n in STEPS}
        whole = all(len(found) == 1 and next(iter(found)) <= set(longest) for found in sets.values())
        return "in another order" if whole else "no"

    def row(self) -> list[str]:
        """For the table."""
        cells = [f"{count['samples']} ({count['requests']})" for count in self.counts]
        total = f"{sum(self.samples)} ({sum(count['requests'] for count in self.counts)})"
        ways = f"{self.way}, {'one process' if self.processes == 1 else f'{self.processes} at once'}"
        return [LABELS[self.name], ways, *cells, total, self.lost, self.same]


def course(server: ModelServer, name: str, way: str, processes: int, options: Any, python: str, to: Settings) -> Course:
    """Take one contender through all steps, every process at the same moment."""
    found = Course(name, way, processes)
    place = os.path.join(to["environment"]["folder"], f"{name}-{way}-{processes}")
    with ExitStack() as stack:
        settings = to | {"place": place}
        workers = [stack.enter_context(Worker(__file__, name, settings, python, 60)) for _ in range(processes)]
        server.control(cut_every=options.cut_every)
        for step, n in enumerate(STEPS):
            other = step == len(STEPS) - 1
            now = {"sync": "async", "async": "sync"}[way] if other else way
            order = {"n": n, "way": now, "step": step, "prompt": f"{name} {way} {processes}: what is left of 24?"}
            for worker in workers:
                worker.send(order)
            results = [worker.receive()["result"] for worker in workers]
            texts = [result["texts"] for result in results]
            check(all(len(each) == n for each in texts), f"{name}, {way}: {[len(t) for t in texts]} samples, not {n}")
            found.given.append(texts)
            found.told += [result["lost"] for result in results if "lost" in result]
            found.counts.append(server.control())
    check(found.counts[0]["samples"] >= 2, f"{name}, {way}: the server was not asked")
    return found


def measure(options: Any) -> tuple[list[Course], dict[str, str], dict[str, str]]:
    """The courses; who could not take part, or went no further, and why; the versions' interpreters."""
    courses, absent, pythons = [], {}, {"openai": sys.executable}
    with (
        bench.folder() as environment,
        ModelServer(latency=options.latency, honours_n=not options.one_choice) as server,
    ):
        ollama = options.wire == "ollama"
        model = ("ollama_chat/scripted", server.root) if ollama else ("openai/scripted", server.root + "/v1")
        for name in bench.chosen(options.only, list(CONTENDERS)):
            try:
                python = bench.python_with(CONTENDERS[name][0], options.peers)
                check(not (ollama and name == "cachesaver"), "speaks OpenAI's wire only")
                pythons |= {name: python} if name != "rtk" else {}
                for way, processes in MODES:
                    settings = {"environment": environment, "model": model}
                    courses.append(course(server, name, way, processes, options, python, settings))
            except (bench.NotInstalled, bench.Fake) as error:
                absent[name] = str(error)
            except RuntimeError as error:
                absent[name] = f"failed: {str(error).strip().splitlines()[-1]}"
    return courses, absent, pythons


def report(options: Any, courses: list[Course], absent: dict[str, str], pythons: dict[str, str]) -> Report:
    """The table."""
    serving = "one choice a request" if options.one_choice else "n honoured"
    cut = f", one reply in {options.cut_every} cut" if options.cut_every else ""
    made = Report(
        f"top_up: samples generated (HTTP requests), by the server's count; {options.wire}'s wire, {serving}{cut}",
        ["client", "way", *COLUMNS, "all", "lost", "same samples"], {k: str(v) for k, v in vars(options).items()},
    )  # fmt: skip
    made.rows = [each.row() for each in courses] + [(LABELS[name], why) for name, why in absent.items()]
    paths: dict[str, set[str]] = {}
    for each in courses:
        paths.setdefault(LABELS[each.name], set()).update(*(count["paths"] for count in each.counts))
    made.notes = [f"{name} asked {', '.join(sorted(asked))}" for name, asked in paths.items()]
    made.notes.append(bench.versions(pythons))
    ours = [each for each in courses if each.name == "rtk" and not options.cut_every]
    for each in ours:
        over = sum(abs(drawn - due) for drawn, due in zip(each.samples, DUE, strict=True))
        made.goals.append(Goal(f"rtk, {each.row()[1]}: samples off 2+2+12+0+0+0", over, 0, at_most=True))
    return made


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.set_defaults(rounds=1)
    parser.add_argument("--latency", type=float, default=0.05, help="of the server, in seconds (%(default)s)")
    parser.add_argument("--one-choice", action="store_true", help="the server gives one choice, whatever n says")
    parser.add_argument("--wire", choices=("openai", "ollama"), default="openai", help="(%(default)s)")
    parser.add_argument("--cut-every", type=int, default=0, metavar="K", help="break off every K-th reply")
    options = parser.parse_args()
    courses, absent, pythons = measure(options)
    made = report(options, courses, absent, pythons)
    bench.conclude(made, [vars(each) for each in courses], options)


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        bench.serve({name: make for name, (_, make) in CONTENDERS.items()})
    else:
        main()
