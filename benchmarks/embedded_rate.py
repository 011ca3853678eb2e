"""Tokens a second out of the embedded model through rtk, against llama.cpp's own HTTP server driven with bare aiohttp.

Measured: P completions of one prompt side by side (or of P prompts, with `--different`), each of the same number of
tokens (`ignore_eos` keeps the model from ending before), temperature 0.7 with llama.cpp's filters off. Each contender
has a process and an engine of its own, started by `rtk.models.engine` with the same slots and context, so that both run
the same build with the same threads; one computes at a time. Tokens are counted by the engine's own `/tokenize`,
outside the time, and must agree with what the engine says that it generated. Prompts are new in every round, and the
same for all.

Contenders: llama.cpp's server with P requests of one choice, and with one request of n = P (nothing stored, the reply
parsed); `rtk.LM("embedded")` with n = P in one call (`--different`: P calls in P threads), storing included.

Goal: ≥ 0.97 of the quicker way of llama.cpp's server at each P, median of the rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bench
from bench import Figures, Goal, Report, Worker, check

TOPICS = ("rivers", "bridges", "bread", "winter", "clocks", "maps", "gardens", "trains", "wool", "lamps", "ships",
          "stones", "kites", "bells", "roads", "glass")  # fmt: skip
Settings = dict[str, Any]


def prompts(order: dict[str, Any]) -> list[str]:
    """One for each completion."""
    about = [TOPICS[i if order["different"] else 0] for i in range(order["parallel"])]
    return [f"Round {order['round']}: write a long text about {topic}." for topic in about]


def _engine(settings: Settings) -> Any:
    from rtk.models import weights
    from rtk.models.engine import engine

    path = settings["gguf"] or weights.require()
    return engine(path, slots=settings["slots"], context=settings["context"])


def counted(running: Any, texts: list[str]) -> int:
    """Tokens in texts, by the engine's own tokenizer."""
    total = 0
    for text in texts:
        asked = urllib.request.Request(
            running.url.removesuffix("/v1") + "/tokenize", json.dumps({"content": text}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {running.api_key}"},
        )  # fmt: skip
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as reply:
            total += len(json.load(reply)["tokens"])
    return total


def llama(together: bool) -> bench.Make:
    """llama.cpp's server, driven with bare aiohttp."""

    def make(settings: Settings) -> bench.Work:
        import aiohttp

        from rtk.models.engine import NEUTRAL_SAMPLING

        running, loop = _engine(settings), asyncio.new_event_loop()
        sampling = {"max_tokens": settings["tokens"], "temperature": 0.7, "ignore_eos": True, **NEUTRAL_SAMPLING}

        async def opened() -> aiohttp.ClientSession:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {running.api_key}"}
            # llama.cpp closes kept connections as it likes; a fresh one on the loopback costs nothing beside a token
            return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0, force_close=True))

        session = loop.run_until_complete(opened())

        async def one(prompt: str, count: int) -> dict[str, Any]:
            body = {"model": "any", "messages": [{"role": "user", "content": prompt}], **sampling, "n": count}
            async with session.post(running.url + "/chat/completions", data=json.dumps(body).encode()) as reply:
                return json.loads(await reply.text())

        async def all_of(order: dict[str, Any]) -> list[dict[str, Any]]:
            asked = prompts(order)
            pairs = [(asked[0], len(asked))] if together else [(prompt, 1) for prompt in asked]
            return await asyncio.gather(*(one(*pair) for pair in pairs))

        def work(order: dict[str, Any]) -> Any:
            replies = loop.run_until_complete(all_of(order))
            choices = [choice for reply in replies for choice in reply["choices"]]
            texts = [choice["message"]["content"] for choice in choices]
            ended = [choice["finish_reason"] for choice in choices]
            said = [reply["usage"]["completion_tokens"] for reply in replies]
            return lambda: {"texts": len(texts), "ended": sorted(set(ended)), "said": sorted(set(said)),
                            "tokens": counted(running, texts)}  # fmt: skip

        return work

    return make


def rtk_lm(settings: Settings) -> bench.Work:
    """`rtk.LM("embedded")`: one call for all completions of a prompt; stored when it returns."""
    import rtk

    path = os.path.join(settings["environment"]["folder"], "store")
    lm = rtk.LM(
        "embedded", gguf=settings["gguf"], slots=settings["slots"], context=settings["context"], store=path,
        max_tokens=settings["tokens"], temperature=0.7, ignore_eos=True, concurrency=settings["slots"],
    )  # fmt: skip
    pool = ThreadPoolExecutor(settings["slots"])

    def work(order: dict[str, Any]) -> Any:
        asked = prompts(order)
        if order["different"]:
            texts = [found[0] for found in pool.map(lm, asked)]
        else:
            texts = lm(asked[0], n=len(asked))

        def stored() -> dict[str, Any]:
            keys = {lm.request([{"role": "user", "content": prompt}], lm.kwargs).key for prompt in asked}
            found = [sample for key in keys for sample in lm.store.read(key, "0").values()]
            check(sorted(sample.text for sample in found) == sorted(texts), "the store holds other texts")
            ended = sorted({sample.finish_reason for sample in found})
            said = sorted({sample.usage.completion_tokens for sample in found})
            return {"texts": len(texts), "ended": ended, "said": said, "tokens": counted(_engine(settings), texts)}

        return stored

    return work


CONTENDERS: dict[str, bench.Make] = {"llama": llama(together=False), "llama-n": llama(together=True), "rtk": rtk_lm}
LABELS = {
    "llama": "llama.cpp's server, P requests", "llama-n": "llama.cpp's server, n = P",
    "rtk": 'rtk.LM("embedded"), stored',
}  # fmt: skip


def measure(options: Any) -> Figures:
    """The figures, by contender and parallelism."""
    figures = Figures()
    names = [n for n in bench.chosen(options.only, list(CONTENDERS)) if not (n == "llama-n" and options.different)]
    with bench.folder() as environment:
        settings = {
            "environment": environment, "gguf": options.gguf, "slots": max(options.parallel), "tokens": options.tokens,
            "context": options.context,
        }  # fmt: skip
        workers = {name: Worker(__file__, name, settings) for name in names}
        try:
            for name in names:
                workers[name].ask(
                    {"round": "nought", "parallel": max(options.parallel), "different": options.different}
                )
            for number in range(options.rounds):
                for parallel in options.parallel:
                    shift = number % len(names)
                    for name in (*names[shift:], *names[:shift]):
                        order = {"round": f"{number}.{parallel}", "parallel": parallel, "different": options.different}
                        rate = one_run(workers[name], order, options.tokens)
                        figures.add(name, **{str(parallel): rate})
        finally:
            for worker in workers.values():
                worker.close()
    return figures


def one_run(worker: Worker, order: dict[str, Any], tokens: int) -> float:
    """Tokens a second, checked against what was to be generated."""
    got = worker.ask(order)
    proof, due = got["result"], order["parallel"] * tokens
    check(proof["texts"] == order["parallel"], f"{worker.name} got {proof['texts']} of {order['parallel']} texts")
    check(proof["ended"] == ["length"], f"{worker.name}: completions ended by {proof['ended']}, not by their length")
    fair = set(proof["said"]) <= {tokens, due}  # llama.cpp reports one choice's tokens, or all of them
    check(fair, f"{worker.name}: the engine says {proof['said']} tokens, not {tokens} for each")
    check(0.8 * due <= proof["tokens"] <= 1.2 * due, f"{worker.name}: {proof['tokens']} tokens counted, of {due}")
    return proof["tokens"] / got["wall"]


def report(options: Any, figures: Figures) -> Report:
    """The table."""
    levels = [str(parallel) for parallel in options.parallel]
    asked = "of P prompts" if options.different else "of one prompt"
    made = Report(
        f"embedded_rate: tokens/s, P completions {asked} side by side, {options.tokens} tokens each",
        ["", *(f"P = {level}" for level in levels), *(f"× best, P = {level}" for level in levels)],
        {k: str(v) for k, v in vars(options).items()},
    )
    for name, of in figures.by_name.items():
        ratios = [bench.spread(by_best(figures, name, level)) for level in levels]
        made.rows.append((LABELS[name], *(bench.spread(of[level], ",.0f") for level in levels), *ratios))
    made.notes = [bench.versions({"xllamacpp": sys.executable, "aiohttp": sys.executable}), f"model {model(options)}"]
    made.goals = [
        Goal(f"rtk × llama.cpp's server, P = {level}", bench.middle(by_best(figures, "rtk", level)), 0.97)
        for level in levels
    ]
    return made


def by_best(figures: Figures, name: str, level: str) -> list[float]:
    """A contender's rate by that of the server's quicker way, round by round."""
    ways = [figures.get(way, level) for way in ("llama", "llama-n") if figures.get(way, level)]
    best = max(ways, key=lambda rates: bench.middle(rates) or 0.0, default=[])
    return [a / b for a, b in zip(figures.get(name, level), best, strict=False)]


def model(options: Any) -> str:
    """What was run."""
    from rtk.models import weights

    return os.path.basename(options.gguf) if options.gguf else str(weights.require().name)


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 4, 8, 16], metavar="P", help="(%(default)s)")
    parser.add_argument("--tokens", type=int, default=128, help="of each completion (%(default)s)")
    parser.add_argument("--context", type=int, default=512, help="of each slot (%(default)s)")
    parser.add_argument("--gguf", metavar="PATH", help="other weights than rtk's own")
    parser.add_argument("--different", action="store_true", help="P prompts, not one")
    options = parser.parse_args()
    figures = measure(options)
    bench.conclude(report(options, figures), figures.by_name, options)


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        bench.serve(CONTENDERS)
    else:
        main()
