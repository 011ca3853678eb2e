"""How fast samples are drawn, and what that costs the client's processor.

Measured: N completions of one prompt, at most C requests at once, from a server in another process that answers each
after a fixed latency; wall clock, and CPU seconds (user + system, all threads) of the client's process alone. Every
contender draws C untimed samples first, so connections are open and what is detected once has been detected. Each
round's prompt is new to everybody. The server counts requests and samples and keeps what it said: every run is checked
against that, and for rtk so is the store, opened anew. rtk's figures include storing; the others keep nothing, except
`dspy.LM` with its cache on.

Contenders, all in the same interleaved rounds: a raw socket that parses nothing (the floor), bare aiohttp, its_hub,
`litellm.acompletion`, `dspy.LM` (cache on, as it comes: in threads, and `acall`; cache off), `rtk.LM` directly on
OpenAI's and on Ollama's wire, and through LiteLLM. its_hub comes with `pip install 'its_hub[lm]'`, here or in one of
the `--peers`.

With `--honours-n` the server gives n completions for n asked for, and those take part that ask for several.

Goals: rtk directly ≥ 0.9 of bare aiohttp's rate and ≤ 0.8 CPU ms a sample; rtk through LiteLLM no slower than
`litellm.acompletion` alone; where n is honoured, as fast as bare aiohttp with the same requests.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bench
from bench import Figures, Goal, Report, Worker, check
from model_server import ModelServer, digest

KEY, TEMPERATURE, MOST = "any", 0.7, 64
Settings = dict[str, Any]


def messages(order: dict[str, Any]) -> list[dict[str, str]]:
    """The prompt as a chat."""
    return [{"role": "user", "content": order["prompt"]}]


def proof(texts: list[str], **more: Any) -> dict[str, Any]:
    """What is checked against the server's count."""
    return {"count": len(texts), "digest": digest(texts), **more}


async def fan_out(order: dict[str, Any], one: Callable[[int], Awaitable[list[str]]], per: int = 1) -> list[str]:
    """Texts of as many requests as it takes, `concurrency` of them at once; `one` asks for so many samples."""
    left = [per] * (order["count"] // per) + ([order["count"] % per] if order["count"] % per else [])
    found: list[str] = []

    async def worker() -> None:
        while left:
            found.extend(await one(left.pop()))

    await asyncio.gather(*(worker() for _ in range(order["concurrency"])))
    return found


def looped(one_of: Callable[[Settings], Any], per: int = 1) -> Callable[[Settings], bench.Work]:
    """A contender from an async function that makes requests, on one loop for all rounds."""

    def make(settings: Settings) -> bench.Work:
        loop = asyncio.new_event_loop()
        ask = one_of(settings)

        def work(order: dict[str, Any]) -> Any:
            texts = loop.run_until_complete(fan_out(order, lambda count: ask(order, count), per or order["count"]))
            return lambda: proof(texts)

        return work

    return make


# --- contenders -------------------------------------------------------------------------------------------------------


class _RawClient(asyncio.Protocol):
    """Sends a request again as soon as a whole reply is there; looks at nothing but its length."""

    def __init__(self, request: bytes, left: list[int], replies: list[bytes], done: asyncio.Future[None]) -> None:
        self._request, self._left, self._replies, self._done, self._got = request, left, replies, done, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if not self._left:
            return self._transport.close()
        self._left.pop()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head = self._got.find(b"\r\n\r\n")
        if head < 0 or len(self._got) < head + 4 + int(self._got[:head].rpartition(b": ")[2]):
            return
        self._replies.append(self._got[head + 4 :])
        self._got = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and not self._done.done():
            self._done.set_exception(error)


def raw_socket(settings: Settings) -> bench.Work:
    """The floor: no HTTP library, no JSON."""
    loop, port = asyncio.new_event_loop(), int(settings["root"].rpartition(":")[2])

    async def draw(order: dict[str, Any]) -> list[bytes]:
        body = json.dumps({"model": "scripted", "messages": messages(order), "temperature": TEMPERATURE}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"
        left, replies, done = [1] * order["count"], list[bytes](), loop.create_future()
        for _ in range(order["concurrency"]):
            await loop.create_connection(
                lambda: _RawClient(head.encode() + body, left, replies, done), "127.0.0.1", port
            )
        while len(replies) < order["count"] and not done.done():
            await asyncio.sleep(0.001)
        return replies

    def work(order: dict[str, Any]) -> Any:
        replies = loop.run_until_complete(draw(order))
        return lambda: proof([_text_of(json.loads(reply)) for reply in replies])

    return work


def _text_of(reply: dict[str, Any]) -> str:
    return reply["choices"][0]["message"]["content"]


def aiohttp_(settings: Settings) -> Any:
    """Bare aiohttp: one session, the body prepared once, the reply parsed."""
    import aiohttp

    sessions: list[Any] = []
    bodies: dict[tuple[str, int], bytes] = {}

    async def ask(order: dict[str, Any], count: int) -> list[str]:
        if not sessions:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
            sessions.append(aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)))
        asked = {"model": "scripted", "messages": messages(order), "temperature": TEMPERATURE}
        asked |= {"n": count} if count > 1 else {}
        at = (order["prompt"], count)
        body = bodies.get(at) or bodies.setdefault(at, json.dumps(asked).encode())
        async with sessions[0].post(settings["root"] + "/v1/chat/completions", data=body) as reply:
            return [choice["message"]["content"] for choice in json.loads(await reply.text())["choices"]]

    return ask


def litellm_(settings: Settings) -> Any:
    """`litellm.acompletion`, without retries."""
    import litellm

    litellm.suppress_debug_info = True

    async def ask(order: dict[str, Any], count: int) -> list[str]:
        reply = await litellm.acompletion(
            model="openai/scripted", messages=messages(order), temperature=TEMPERATURE, num_retries=0,
            api_base=settings["root"] + "/v1", api_key=KEY, **({"n": count} if count > 1 else {}),
        )  # fmt: skip
        return [choice.message.content for choice in reply.choices]

    return ask


def its_hub(settings: Settings) -> bench.Work:
    """its_hub's own fan-out, the quicker of its two (`LMOrchestrator` waits for each place in a thread)."""
    import warnings

    from its_hub import OpenAICompatibleLanguageModel
    from its_hub.api import ChatMessage

    warnings.simplefilter("ignore")
    loop = asyncio.new_event_loop()
    lm = OpenAICompatibleLanguageModel(
        settings["root"] + "/v1", KEY, "scripted", temperature=TEMPERATURE, max_concurrency=settings["concurrency"]
    )

    def work(order: dict[str, Any]) -> Any:
        chats = [[ChatMessage(role="user", content=order["prompt"])] for _ in range(order["count"])]
        found = loop.run_until_complete(lm.agenerate(chats))
        return lambda: proof([message["content"] for message in found])

    return work


def _dspy(settings: Settings, cache: bool, engine: str = "auto") -> Any:
    import dspy

    return dspy.LM(
        "openai/scripted", api_base=settings["root"] + "/v1", api_key=KEY, temperature=TEMPERATURE, cache=cache,
        engine=engine,
    )  # fmt: skip


def dspy_threads(cache: bool) -> Callable[[Settings], bench.Work]:
    """`dspy.LM` in as many threads as requests at once, each sample under a `rollout_id` of its own."""

    def make(settings: Settings) -> bench.Work:
        lm, pool = _dspy(settings, cache), ThreadPoolExecutor(settings["concurrency"])

        def work(order: dict[str, Any]) -> Any:
            ask = lambda i: lm(order["prompt"], rollout_id=i + 1)[0]  # noqa: E731
            texts = list(pool.map(ask, range(order["count"])))
            return lambda: proof(texts)

        return work

    return make


def dspy_acall(settings: Settings) -> Any:
    """`dspy.LM.acall`, each sample under a `rollout_id` of its own."""
    lm, numbers = _dspy(settings, cache=True), iter(range(1, 1 << 40))

    async def ask(order: dict[str, Any], count: int) -> list[str]:
        return await lm.acall(order["prompt"], rollout_id=next(numbers))

    return ask


def rtk_lm(model: str, base: str = "/v1", **how: Any) -> Callable[[Settings], bench.Work]:
    """`rtk.LM`, called as a user does: one call for all samples; stored when it returns."""

    def make(settings: Settings) -> bench.Work:
        import rtk

        path = os.path.join(settings["environment"]["folder"], f"store-{os.getpid()}")
        lm = rtk.LM(
            model, api_base=settings["root"] + base, api_key=KEY, temperature=TEMPERATURE, store=path,
            concurrency=settings["concurrency"], **how,
        )  # fmt: skip

        def work(order: dict[str, Any]) -> Any:
            texts = lm(order["prompt"], n=order["count"])

            def stored() -> dict[str, Any]:
                with rtk.SampleStore(path) as store:
                    found = store.read(lm.request(messages(order), {}).key, "0")
                return proof(texts, stored=digest(sample.text for sample in found.values()))

            return stored

        return work

    return make


ONE_EACH: dict[str, tuple[str, bench.Make]] = {
    "raw": ("", raw_socket),
    "aiohttp": ("aiohttp", looped(aiohttp_)),
    "its_hub": ("its_hub", its_hub),
    "litellm": ("litellm", looped(litellm_)),
    "dspy": ("dspy", dspy_threads(cache=True)),
    "dspy-acall": ("dspy", looped(dspy_acall)),
    "dspy-uncached": ("dspy", dspy_threads(cache=False)),
    "rtk": ("rtk", rtk_lm("openai/scripted")),
    "rtk-ollama": ("rtk", rtk_lm("ollama_chat/scripted", base="")),
    "rtk-litellm": ("rtk", rtk_lm("openai/scripted", transport="litellm")),
}
SEVERAL: dict[str, tuple[str, bench.Make]] = {
    "aiohttp-one": ("aiohttp", looped(aiohttp_, per=0)),
    "aiohttp": ("aiohttp", looped(aiohttp_, per=MOST)),
    "litellm": ("litellm", looped(litellm_, per=MOST)),
    "rtk": ("rtk", rtk_lm("openai/scripted")),
    "rtk-litellm": ("rtk", rtk_lm("openai/scripted", transport="litellm")),
}
LABELS = {
    "raw": "raw sockets (the floor)",
    "aiohttp": "bare aiohttp",
    "aiohttp-one": "bare aiohttp, one request",
    "litellm": "litellm.acompletion",
    "dspy": "dspy.LM, threads, cached",
    "dspy-acall": "dspy.LM.acall, cached",
    "dspy-uncached": "dspy.LM, threads, cache=False",
    "rtk": "rtk.LM, OpenAI's wire, stored",
    "rtk-ollama": "rtk.LM, Ollama's wire, stored",
    "rtk-litellm": "rtk.LM through LiteLLM, stored",
}


# --- measuring --------------------------------------------------------------------------------------------------------


def measure(options: Any) -> tuple[Figures, dict[str, str], list[str]]:
    """The figures, who could not take part and why, and what else is to be known."""
    contenders = SEVERAL if options.honours_n else ONE_EACH
    figures, absent, workers = Figures(), {}, {}
    pythons = {"aiohttp": sys.executable, "openai": sys.executable}
    with bench.folder() as environment, ModelServer(words=options.words, honours_n=options.honours_n) as server:
        try:
            for name in bench.chosen(options.only, list(contenders)):
                settings = {"environment": environment, "root": server.root, "concurrency": options.concurrency}
                try:
                    package = contenders[name][0]
                    python = bench.python_with(package, options.peers)
                    workers[name] = Worker(__file__, key(name, options.honours_n), settings, python)
                    pythons |= {package: python} if package not in ("", "rtk") else {}
                except bench.NotInstalled as error:
                    absent[name] = str(error)
            alone = server_alone(server, environment, options)
            server.control(latency=options.latency)
            for number, name in bench.rounds(options.rounds, list(workers)):
                figures.add(name, **one_run(server, workers[name], options, f"{number} of {name}"))
        finally:
            for worker in workers.values():
                worker.close()
    return figures, absent, [alone, bench.versions(pythons)]


def key(name: str, several: bool) -> str:
    """The name under which a worker knows a contender."""
    return f"{name} several" if several else name


def one_run(server: ModelServer, worker: Worker, options: Any, about: str) -> dict[str, float]:
    """A warm-up, then one timed run, checked against what the server said."""
    order, more = {"concurrency": options.concurrency}, " then" * options.prompt_words
    worker.ask(order | {"count": options.concurrency, "prompt": f"Warm-up before {about}: what is left of 24{more}?"})
    server.control()
    got = worker.ask(order | {"count": options.samples, "prompt": f"Round {about}: what is left of 24{more}?"})
    said, proven = server.control(), got["result"]
    who = worker.name
    check(said["samples"] == options.samples, f"{who}: the server drew {said['samples']}, not {options.samples}")
    check(proven["count"] == options.samples, f"{who} got {proven['count']} samples, not {options.samples}")
    check(proven["digest"] == said["digest"], f"{who} got other texts than the server sent")
    check(proven.get("stored", said["digest"]) == said["digest"], f"{who}: its store lacks samples, or has others")
    check(said["peak"] <= options.concurrency, f"{who} had {said['peak']} requests at once")
    return {
        "wall": got["wall"], "rate": options.samples / got["wall"], "requests": said["requests"], "peak": said["peak"],
        "cpu_ms": 1000 * got["cpu"] / options.samples, "server_cpu_ms": 1000 * said["cpu"] / options.samples,
    }  # fmt: skip


def server_alone(server: ModelServer, environment: dict[str, str], options: Any) -> str:
    """What the server can do: requests a second over raw sockets with no latency."""
    settings = {"environment": environment, "root": server.root}
    with Worker(__file__, "raw", settings) as worker:
        server.control(latency=0.0)
        order = {"concurrency": options.concurrency, "count": max(1000, options.samples), "prompt": "?"}
        worker.ask(order)
        server.control()
        got, said = worker.ask(order), server.control()
    rate, each = order["count"] / got["wall"], 1000 * said["cpu"] / said["requests"]
    waves = -(-options.samples // (options.concurrency * (MOST if options.honours_n else 1)))
    floor = waves * options.latency
    return (
        f"server alone, no latency: {rate:,.0f} requests/s, {each:.3f} CPU ms each; "
        f"{waves} waves of {options.latency:g} s are {floor:.2f} s at least"
    )


def report(options: Any, figures: Figures, absent: dict[str, str], notes: list[str]) -> Report:
    """The table."""
    told = f"{options.samples:,} samples, {options.concurrency} requests at once, {1000 * options.latency:g} ms latency"
    wire = "n honoured" if options.honours_n else "one choice a request"
    columns = [
        "client",
        "wall s",
        "samples/s",
        "× aiohttp",
        "CPU ms/sample",
        "× aiohttp",
        "server CPU ms",
        "requests",
        "peak",
    ]
    made = Report(f"draw_rate: {told}, {wire}", columns, {k: str(v) for k, v in vars(options).items()})
    for name, of in figures.by_name.items():
        ratios = [bench.spread(figures.ratios(name, what, "aiohttp")) for what in ("rate", "cpu_ms")]
        made.rows.append((
            LABELS.get(name, name), bench.spread(of["wall"], ".3f"), f"{bench.middle(of['rate']):,.0f}", ratios[0],
            bench.spread(of["cpu_ms"], ".3f"), ratios[1], f"{bench.middle(of['server_cpu_ms']):.3f}",
            f"{bench.middle(of['requests']):,.0f}", f"{bench.middle(of['peak']):.0f}",
        ))  # fmt: skip
    made.rows += [(LABELS.get(name, name), why) for name, why in absent.items()]
    made.notes = notes
    made.goals = goals(options, figures)
    return made


def goals(options: Any, figures: Figures) -> list[Goal]:
    """The issue's."""

    def ratio(name: str, to: str) -> float | None:
        return bench.middle(figures.ratios(name, "rate", to))

    through = Goal("rtk through LiteLLM: rate × litellm.acompletion", ratio("rtk-litellm", "litellm"), 1.0)
    if options.honours_n:
        return [Goal("rtk, n honoured: rate × bare aiohttp", ratio("rtk", "aiohttp"), 0.9), through]
    return [
        goal
        for name in ("rtk", "rtk-ollama")
        for goal in (
            Goal(f"{LABELS[name]}: rate × bare aiohttp", ratio(name, "aiohttp"), 0.9),
            Goal(f"{LABELS[name]}: CPU ms/sample", bench.middle(figures.get(name, "cpu_ms")), 0.8, at_most=True),
        )
    ] + [through]


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.add_argument("--samples", type=int, default=1000, help="in a run (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=64, help="requests at once (%(default)s)")
    parser.add_argument("--latency", type=float, default=0.05, help="of the server, in seconds (%(default)s)")
    parser.add_argument("--words", type=int, default=60, help="in a completion (%(default)s)")
    parser.add_argument("--prompt-words", type=int, default=0, help="so many more in the prompt (%(default)s)")
    parser.add_argument("--honours-n", action="store_true", help="the server gives n completions for n asked for")
    options = parser.parse_args()
    measured = measure(options)
    bench.conclude(report(options, *measured), measured[0].by_name, options)


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        several = {key(name, True): make for name, (_, make) in SEVERAL.items()}
        bench.serve({name: make for name, (_, make) in ONE_EACH.items()} | several)
    else:
        main()
