"""How long a tree of thoughts takes: wall clock of a whole search, against the published loop and a bare pipelined one.

Measured: seconds from the program's being made to its answer, against a model server in another process, whose replies
take a constant time or a lognormal one. The server's texts and latencies follow from a request's content, every
contender sends the same prompts (those of `rtk.TreeOfThoughts`), and it is checked that those of a group got the same
texts, so they search the same tree. The server counts the HTTP requests and the nodes (thoughts that were valued). rtk
starts cold: a new LM and a new store in every run; only what is imported and made once in a process is not counted.

Contenders, breadth-first, one value for each thought, in interleaved rounds:
- thoughts proposed as one list (66 requests at depth 3, breadth and branching 5): the published loop (Yao et al.,
  2023), one request after the other; the same with `asyncio.gather` and a barrier between proposing and valuing; a bare
  pipelined search, each thought valued as soon as its proposals came; rtk with `proposals="list"`, also without a
  store, and with a final request for the answer;
- thoughts proposed by samples of their own, from a server that honours n: rtk; and from one that gives one choice a
  request: barrier, pipelined, rtk, and `treequest` (`pip install treequest`, here or in one of `--peers`), whose
  breadth-first search takes one thought from the root, and so has about half the nodes.

The bare ones are aiohttp and no more; they read a reply by splitting it.

Goals: rtk at most 1.15 × (depth × 2 × latency), and with a final request 1.15 × (depth × 2 × latency + latency), with
no more requests than the published loop (and that final one); with lognormal latencies at most 1.05 × the pipelined one
of the same round.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import bench
from bench import Figures, Goal, Report, Worker, check
from tree_server import TreeServer

HOLE = "@@PARTIAL@@"
QUESTION = "Use 4 9 10 13 to make 24."
SCORES = {"sure": 1.0, "likely": 0.5, "impossible": 0.0}
Settings = dict[str, Any]
Search = Callable[["Client", Settings], Coroutine[Any, Any, str]]


# --- what is asked, as rtk asks it ------------------------------------------------------------------------------------


def prompts(branching: int) -> dict[str, Any]:
    """The messages of every kind of request, with a hole for the partial solution."""
    import dspy

    listed, single = tree("list", branching), tree("independent", branching)
    asked = {"list": listed.propose, "thought": single.propose, "value": listed.value}
    inputs = {"question": QUESTION, "partial": HOLE, "branching": branching}
    found = {}
    for kind, module in asked.items():
        signature = module.predict.signature
        given = {name: inputs[name] for name in signature.input_fields}
        found[kind] = dspy.ChatAdapter().format(signature, [], given)
    return found


def tree(proposals: str, branching: int, breadth: int = 5, depth: int = 3, separator: str | None = "\n") -> Any:
    """The program of rtk."""
    import rtk

    return rtk.TreeOfThoughts(
        "question -> answer", breadth, branching, depth, proposals=proposals, separator=separator
    )  # fmt: skip


def body(settings: Settings, kind: str, partial: str) -> bytes:
    """A request."""
    messages = json.dumps(settings["prompts"][kind]).replace(HOLE, json.dumps(partial)[1:-1])
    return f'{{"model": "scripted", "temperature": 0.7, "messages": {messages}}}'.encode()


def read(reply: bytes, field: str) -> str:
    """A field of the completion."""
    text = json.loads(reply)["choices"][0]["message"]["content"]
    return re.split(r"\[\[ ## \w+ ## \]\]", text.partition(f"[[ ## {field} ## ]]")[2])[0].strip()


def joined(partial: str, thought: str) -> str:
    """A partial solution and what comes next."""
    return f"{partial}\n{thought}" if partial else thought


# --- bare searches over aiohttp ---------------------------------------------------------------------------------------


class Client:
    """Asks the server, over connections that are kept."""

    def __init__(self, session: Any, settings: Settings) -> None:
        self._session, self._settings = session, settings

    async def _ask(self, kind: str, partial: str, field: str) -> str:
        url = self._settings["root"] + "/v1/chat/completions"
        head = {"Content-Type": "application/json"}
        async with self._session.post(url, data=body(self._settings, kind, partial), headers=head) as reply:
            return read(await reply.read(), field)

    async def listed(self, partial: str) -> list[str]:
        """Thoughts from one request, each behind the partial solution."""
        return [joined(partial, one) for one in json.loads(await self._ask("list", partial, "thoughts"))]

    async def one(self, partial: str) -> list[str]:
        """One thought, likewise."""
        return [joined(partial, await self._ask("thought", partial, "thought"))]

    async def value(self, partial: str) -> float:
        """How promising a partial solution is."""
        return SCORES[await self._ask("value", partial, "verdict")]


def best(found: list[tuple[float, str]], breadth: int) -> list[str]:
    """The best ones; of equals the first."""
    return [partial for _, partial in sorted(found, key=lambda pair: -pair[0])[:breadth]]


async def one_by_one(client: Client, settings: Settings) -> str:
    """The published loop."""
    frontier = [""]
    for _ in range(settings["depth"]):
        fresh = [one for partial in frontier for one in await client.listed(partial)]
        frontier = best([(await client.value(one), one) for one in fresh], settings["breadth"])
    return frontier[0]


def asks(client: Client, settings: Settings, partial: str) -> list[Coroutine[Any, Any, list[str]]]:
    """What proposes next thoughts: one list, or single ones."""
    if settings["one_choice"]:
        return [client.one(partial) for _ in range(settings["branching"])]
    return [client.listed(partial)]


async def barrier(client: Client, settings: Settings) -> str:
    """Everything is proposed, then everything is valued."""
    frontier = [""]
    for _ in range(settings["depth"]):
        lists = await asyncio.gather(*(ask for one in frontier for ask in asks(client, settings, one)))
        fresh = [one for each in lists for one in each]
        values = await asyncio.gather(*map(client.value, fresh))
        frontier = best(list(zip(values, fresh, strict=True)), settings["breadth"])
    return frontier[0]


async def pipelined(client: Client, settings: Settings) -> str:
    """Everything is valued as soon as it is there; a level ends with the last value."""

    async def followed(ask: Coroutine[Any, Any, list[str]]) -> list[tuple[float, str]]:
        fresh = await ask
        return list(zip(await asyncio.gather(*map(client.value, fresh)), fresh, strict=True))

    frontier = [""]
    for _ in range(settings["depth"]):
        lists = await asyncio.gather(*(followed(ask) for one in frontier for ask in asks(client, settings, one)))
        frontier = best([pair for each in lists for pair in each], settings["breadth"])
    return frontier[0]


def bare(search: Search) -> bench.Make:
    """A search over aiohttp, with a session of its own every time."""

    def make(settings: Settings) -> bench.Work:
        import aiohttp

        async def run() -> str:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=settings["at_once"])) as session:
                return await search(Client(session, settings), settings)

        return lambda order: {"answer": asyncio.run(run())}

    return make


# --- rtk, treequest ---------------------------------------------------------------------------------------------------


def rtk_tree(proposals: str, separator: str | None = "\n", *, stored: bool = True) -> bench.Make:
    """`rtk.TreeOfThoughts` over an `rtk.LM`, both and the store new every time; or with no store."""

    def make(settings: Settings) -> bench.Work:
        import dspy

        import rtk

        folder = settings["environment"]["folder"]
        shape = [settings[name] for name in ("branching", "breadth", "depth")]

        def work(order: dict[str, Any]) -> Any:
            lm = rtk.LM(
                "openai/scripted", api_base=settings["root"] + "/v1", api_key="any", temperature=0.7,
                concurrency=settings["at_once"], server_n=not settings["one_choice"], cache=stored,
                store=os.path.join(folder, f"{settings['name']} {order['round']}"),
            )  # fmt: skip
            with dspy.context(lm=lm):
                found = tree(proposals, *shape, separator)(question=QUESTION)
            check(found.spent.drawn == found.spent.samples, "a sample came from a store")
            return {"answer": found.answer}

        return work

    return make


def treequest(settings: Settings) -> bench.Work:
    """treequest's breadth-first search, a batch at a time in threads; a node is a thought and its value."""
    import treequest as tq

    address, here = settings["root"].removeprefix("http://"), threading.local()

    def ask(kind: str, partial: str, field: str) -> str:
        if not hasattr(here, "connection"):
            here.connection = http.client.HTTPConnection(address)
        head = {"Content-Type": "application/json"}
        here.connection.request("POST", "/v1/chat/completions", body(settings, kind, partial), head)
        return read(here.connection.getresponse().read(), field)

    def node(parent: str | None) -> tuple[str, float]:
        partial = joined(parent or "", ask("thought", parent or "", "thought"))
        return partial, SCORES[ask("value", partial, "verdict")]

    def work(order: dict[str, Any]) -> Any:
        algorithm = tq.TreeOfThoughtsBFSAlgo(breadth_limit=settings["breadth"], size_limit=settings["branching"])
        state, leaves = algorithm.init_tree(), 0
        with ThreadPoolExecutor(settings["at_once"]) as pool:
            for _ in range(settings["depth"]):
                leaves = min(leaves, settings["breadth"]) * settings["branching"] or 1  # more would be thrown away
                state, trials = algorithm.ask_batch(state, leaves, ["think"])
                for trial, result in zip(trials, pool.map(node, [one.parent_state for one in trials]), strict=True):
                    state = algorithm.tell(state, trial.trial_id, result)
        found = [(score, partial) for partial, score in algorithm.get_state_score_pairs(state)]
        return {"answer": best([pair for pair in found if pair[1].count("\n") == settings["depth"] - 1], 1)[0]}

    return work


LIST, MANY, ONE = "a list", "n samples", "one choice a request"
CONTENDERS: dict[str, tuple[str, str, str, bench.Make]] = {
    "published": ("published loop", LIST, "", bare(one_by_one)),
    "barrier": ("bare, a barrier a stage", LIST, "", bare(barrier)),
    "pipelined": ("bare, pipelined", LIST, "", bare(pipelined)),
    "rtk": ("rtk.TreeOfThoughts", LIST, "rtk", rtk_tree("list")),
    "rtk-unstored": ("rtk.TreeOfThoughts, no store", LIST, "rtk", rtk_tree("list", stored=False)),
    "rtk-answer": ("rtk.TreeOfThoughts, and an answer", LIST, "rtk", rtk_tree("list", None)),
    "rtk-many": ("rtk.TreeOfThoughts", MANY, "rtk", rtk_tree("independent")),
    "barrier-one": ("bare, a barrier a stage", ONE, "", bare(barrier)),
    "pipelined-one": ("bare, pipelined", ONE, "", bare(pipelined)),
    "rtk-one": ("rtk.TreeOfThoughts", ONE, "rtk", rtk_tree("independent")),
    "treequest": ("treequest", ONE, "treequest", treequest),
}
"""By name: label, how thoughts are proposed, the module it needs, how it is made."""
FLOOR = {LIST: "pipelined", MANY: "pipelined", ONE: "pipelined-one"}
LATENCIES = ("constant", "lognormal")


# --- measuring --------------------------------------------------------------------------------------------------------


def expected(name: str, options: Any) -> dict[str, int]:
    """The requests of a contender, by kind."""
    asked = 1 + min(options.breadth, options.branching) * (options.depth - 1)
    nodes = asked * options.branching
    if name == "treequest":
        levels = [1]
        while len(levels) < options.depth:
            levels.append(min(levels[-1], options.breadth) * options.branching)
        return {"thought": sum(levels), "value": sum(levels)}
    group = CONTENDERS[name][1]
    proposing = {"list" if group == LIST else "thought": nodes if group == ONE else asked}
    return {**proposing, "value": nodes, **({"answer": 1} if name.endswith("answer") else {})}


def one_run(server: TreeServer, worker: Worker, number: int, how: str, options: Any) -> dict[str, Any]:
    """One search; its seconds, requests, and nodes, once it is known that it asked all there was to ask."""
    sigma = options.sigma if how == "lognormal" else 0.0
    group = CONTENDERS[worker.name][1]
    server.control(latency=options.latency, sigma=sigma, seed=number, honours_n=group != ONE)
    did = worker.ask({"round": f"{how} {number}"})
    said = server.control()
    due = expected(worker.name, options)
    check(said["kinds"] == due, f"{worker.name}, {how}: requests {said['kinds']}, not {due}")
    answer = did["result"]["answer"]
    whole = worker.name.endswith("answer") or answer.count("\n") == options.depth - 1
    check(whole, f"{worker.name}, {how}: no whole solution: {answer!r}")
    return {"wall": did["wall"], "cpu": did["cpu"], "requests": said["requests"], "nodes": said["kinds"]["value"],
            "digest": said["digest"]}  # fmt: skip


def measure(options: Any) -> tuple[Figures, dict[str, str], dict[str, str]]:
    """The figures, by latency and contender; who is absent, and why; the versions' interpreters."""
    figures, absent, pythons = Figures(), {}, {"aiohttp": sys.executable}
    shape = {name: getattr(options, name) for name in ("breadth", "branching", "depth", "at_once")}
    with bench.folder() as environment, TreeServer() as server, ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in bench.chosen(options.only, list(CONTENDERS)):
            _, group, module, _ = CONTENDERS[name]
            try:
                python = bench.python_with(module, options.peers)
            except bench.NotInstalled as error:
                absent[name] = str(error)
                continue
            pythons |= {"treequest": python} if module == "treequest" else {}
            settings = {**shape, "environment": environment, "root": server.root, "name": name,
                        "prompts": prompts(options.branching), "one_choice": group == ONE}  # fmt: skip
            workers[name] = stack.enter_context(Worker(__file__, name, settings, python))
            figures.add(f"first {name}", wall=one_run(server, workers[name], -1, "constant", options)["wall"])
        for how in LATENCIES:
            seen: dict[tuple[int, str], str] = {}
            for number, name in bench.rounds(options.rounds, list(workers)):
                got = one_run(server, workers[name], number, how, options)
                digest = got.pop("digest")
                if name != "rtk-answer" and CONTENDERS[name][1] == LIST:
                    same = seen.setdefault((number, LIST), digest) == digest
                    check(same, f"{name}, {how}: it searched another tree than the others")
                figures.add(f"{how} {name}", **got)
    return figures, absent, pythons


def report(options: Any, figures: Figures, absent: dict[str, str], pythons: dict[str, str]) -> Report:
    """The table and the goals."""
    columns = ["search", "thoughts by", "requests", "nodes", "constant, s", "× pipelined", "first in its process, s",
               "lognormal, s", "× pipelined", "CPU ms"]  # fmt: skip
    title = f"tree_wall_clock: depth {options.depth}, breadth {options.breadth}, branching {options.branching}, " \
        f"{1000 * options.latency:g} ms, lognormal with σ {options.sigma:g}, {options.rounds} rounds"  # fmt: skip
    made = Report(title, columns, {k: str(v) for k, v in vars(options).items()})
    for name in bench.chosen(options.only, list(CONTENDERS)):
        text, group, *_ = CONTENDERS[name]
        if name in absent:
            made.rows.append((text, group, absent[name]))
            continue
        row = [text, group, *(f"{figures.get(f'constant {name}', what)[0]:g}" for what in ("requests", "nodes"))]
        for how in LATENCIES:
            times = figures.ratios(f"{how} {name}", "wall", f"{how} {FLOOR[group]}")
            row += [bench.spread(figures.get(f"{how} {name}", "wall"), ".3f"), bench.spread(times)]
            row += [bench.spread(figures.get(f"first {name}", "wall"), ".3f")] if how == "constant" else []
        made.rows.append([*row, f"{1000 * bench.middle(figures.get(f'constant {name}', 'cpu')):.0f}"])
    made.notes = [bench.versions({**pythons, "dspy": sys.executable}),
                  "one choice a request: which of the choices comes first is chance, so trees may differ there",
                  "n samples: a request takes as long as the slowest of its samples, so lognormal it has another floor",
                  ]  # fmt: skip
    made.goals = goals(options, figures)
    return made


def goals(options: Any, figures: Figures) -> list[Goal]:
    """See the top of this file."""
    path = 2 * options.depth * options.latency
    loop = expected("published", options)
    found = []
    for name, seconds, further in (("rtk", path, 0), ("rtk-answer", path + options.latency, 1), ("rtk-many", path, 0)):
        label = f"{CONTENDERS[name][0]}, by {CONTENDERS[name][1]}"
        wall = bench.middle(figures.get(f"constant {name}", "wall"))
        found.append(Goal(f"{label}: wall clock × {seconds:g} s", wall and wall / seconds, 1.15, at_most=True))
        asked = bench.middle(figures.get(f"constant {name}", "requests"))
        found.append(Goal(f"{label}: requests", asked, sum(loop.values()) + further, at_most=True))
    for name in ("rtk", "rtk-one"):
        times = figures.ratios(f"lognormal {name}", "wall", f"lognormal {FLOOR[CONTENDERS[name][1]]}")
        found.append(Goal(f"{CONTENDERS[name][0]}, by {CONTENDERS[name][1]}: lognormal, × pipelined",
                          bench.middle(times), 1.05, at_most=True))  # fmt: skip
    return found


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.set_defaults(rounds=7)
    for name, default in (("depth", 3), ("breadth", 5), ("branching", 5)):
        parser.add_argument(f"--{name}", type=int, default=default, help="(%(default)s)")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds; the median (%(default)s)")
    parser.add_argument("--sigma", type=float, default=0.6, help="of the logarithm, where lognormal (%(default)s)")
    parser.add_argument("--at-once", type=int, default=64, help="connections that anybody may open (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of a small tree: that it works, no figures")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.latency, options.depth, options.breadth, options.branching = 1, 0.005, 2, 2, 2
    figures, absent, pythons = measure(options)
    bench.conclude(report(options, figures, absent, pythons), figures.by_name, options)


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        bench.serve({name: make for name, (*_, make) in CONTENDERS.items()})
    else:
        main()
