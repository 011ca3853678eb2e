"""How fast samples that were drawn once are read back, and whether reading them again and again takes memory.

Measured: samples a second. *Cold* is the first pass of a fresh process (imports done, the store opened, one other
request read, so that nothing is loaded late; the operating system may hold the files); *warm* is the median of the
passes after it. All readers hold the same kind of completions, drawn for real from a model server, which must not be
asked while they read; every pass must give the texts, or the answers, that were drawn. Memory is what the process
holds after each pass; its growth is counted over the later two thirds of the passes.

Contenders, in interleaved rounds:
- `lm(prompt, n=100)` with `rtk.LM` from its store (texts verified by their checksums), and with DSPy's history off;
- one SQLite select a request and `json.loads`, which is what can be had; diskcache, a `get` a sample, and `json.loads`;
- `dspy.LM` from its disk tier (cold) and its memory tier (warm): one call a sample (`rollout_id`), and n=100;
- `rtk.SelfConsistency(16)` from the store, against 16 calls of `dspy.ChainOfThought` and `dspy.majority`, of which each
  is stored apart, as rtk's chains are; and against one call with n=16, which DSPy stores and counts as one;
- a recording of rtk's, opened, verified and read through `rtk.LM`, against `json.loads` of each of its lines.

Goals: rtk cold ≥ 20 × DSPy's disk tier at n=1 and ≥ 1.7 × diskcache; SelfConsistency(16) ≥ 3 × DSPy's, by 16 calls and
by one; a recording in ≤ 2.5 × parsing its JSON; memory flat (≤ 50 KB a pass) over repeated passes.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bench
from bench import Figures, Goal, Report, Worker, check
from model_server import PLAIN, ModelServer, digest

CHAIN = "[[ ## reasoning ## ]]\n{serial}: {words}\n\n[[ ## answer ## ]]\n{vote}\n\n[[ ## completed ## ]]"
VOTES, WARM_UP = 16, "Warm-up: what is left of 24?"
Settings = dict[str, Any]


def prompts(settings: Settings, count: str) -> list[str]:
    """The questions."""
    return [f"Question {i}: what is left of 24?" for i in range(settings[count])]


def place(settings: Settings, name: str) -> str:
    """Where something is kept."""
    return os.path.join(settings["environment"]["folder"], name)


def reading(warm_up: Callable[[], Any], read: Callable[[], list[str]]) -> bench.Work:
    """A contender: everything is read, and what was read is the proof."""
    warm_up()

    def work(order: dict[str, Any]) -> Any:
        texts = read()
        return lambda: {"count": len(texts), "digest": digest(texts)}

    return work


# --- samples ----------------------------------------------------------------------------------------------------------


def _rtk(settings: Settings, name: str) -> Any:
    import rtk

    return rtk.LM("openai/scripted", api_base=settings["root"] + "/v1", api_key="any", temperature=0.7, concurrency=64,
                  store=place(settings, name))  # fmt: skip


def rtk_store(settings: Settings) -> bench.Work:
    """`lm(prompt, n=100)` from the store."""
    lm, n = _rtk(settings, "samples"), settings["samples"]
    return reading(lambda: lm(WARM_UP), lambda: [t for p in prompts(settings, "requests") for t in lm(p, n=n)])


def rtk_without_history(settings: Settings) -> bench.Work:
    """The same, and DSPy keeps no history of it."""
    import dspy

    dspy.configure(disable_history=True)
    return rtk_store(settings)


def _stored(settings: Settings) -> dict[str, list[str]]:
    """rtk's samples as it stores them, by prompt."""
    lm = _rtk(settings, "samples")
    keys = {p: lm.request([{"role": "user", "content": p}], {}).key for p in prompts(settings, "requests")}
    return {p: [sample.to_json() for sample in lm.store.read(key, "0").values()] for p, key in keys.items()}


def _texts(rows: list[str]) -> list[str]:
    return [json.loads(row)["text"] for row in rows]


def sqlite_select(settings: Settings) -> bench.Work:
    """One select a request."""
    path, n = place(settings, "plain.db"), settings["samples"]
    if settings["fill"]:
        with sqlite3.connect(path) as filled:
            filled.execute(
                "CREATE TABLE samples (prompt TEXT, number INTEGER, value TEXT, PRIMARY KEY (prompt, number))"
            )
            rows = [(p, i, row) for p, rows in _stored(settings).items() for i, row in enumerate(rows)]
            filled.executemany("INSERT INTO samples VALUES (?, ?, ?)", rows)
    connection = sqlite3.connect(path)
    query = "SELECT value FROM samples WHERE prompt = ? AND number < ? ORDER BY number"

    def one(prompt: str) -> list[str]:
        return _texts([value for (value,) in connection.execute(query, (prompt, n))])

    return reading(lambda: None, lambda: [text for p in prompts(settings, "requests") for text in one(p)])


def diskcache_each(settings: Settings) -> bench.Work:
    """A `get` a sample."""
    import diskcache

    cache, n = diskcache.Cache(place(settings, "diskcache")), settings["samples"]
    if settings["fill"]:
        for prompt, rows in _stored(settings).items():
            for number, row in enumerate(rows):
                cache[f"{prompt}:{number}"] = row
    return reading(
        lambda: cache.get("nothing"),
        lambda: _texts([cache[f"{p}:{i}"] for p in prompts(settings, "requests") for i in range(n)]),
    )


def _dspy(settings: Settings, name: str) -> Any:
    import dspy

    dspy.configure_cache(disk_cache_dir=place(settings, name))
    return dspy.LM("openai/scripted", api_base=settings["root"] + "/v1", api_key="any", temperature=0.7)


def _filled(settings: Settings, calls: list[Callable[[], Any]]) -> None:
    """Draw, side by side, what is to be read later."""
    if settings["fill"]:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda call: call(), calls))


def dspy_each(settings: Settings) -> bench.Work:
    """A call a sample."""
    lm, n = _dspy(settings, "dspy-each"), settings["samples"]
    pairs = [(p, i) for p in prompts(settings, "requests") for i in range(1, n + 1)]
    _filled(settings, [lambda p=p, i=i: lm(p, rollout_id=i) for p, i in pairs])
    return reading(lambda: lm(WARM_UP), lambda: [lm(p, rollout_id=i)[0] for p, i in pairs])


def dspy_together(settings: Settings) -> bench.Work:
    """A call for all samples of a request."""
    lm, n = _dspy(settings, "dspy-together"), settings["samples"]
    asked = prompts(settings, "requests")
    _filled(settings, [lambda p=p: lm(p, n=n) for p in asked])
    return reading(lambda: lm(WARM_UP), lambda: [text for p in asked for text in lm(p, n=n)])


# --- votes ------------------------------------------------------------------------------------------------------------


def _votes(settings: Settings, vote: Callable[[str], tuple[str, int]]) -> bench.Work:
    """A vote on every question; the answers are the proof, and how many samples were counted."""
    _filled(settings, [lambda p=p: vote(p) for p in prompts(settings, "questions")])
    vote(WARM_UP)

    def work(order: dict[str, Any]) -> Any:
        found = [vote(question) for question in prompts(settings, "questions")]
        told = [f"{i} {answer} {votes}" for i, (answer, votes) in enumerate(found)]
        return lambda: {"count": sum(votes for _, votes in found), "digest": digest(told)}

    return work


def rtk_vote(settings: Settings) -> bench.Work:
    """`rtk.SelfConsistency(16)`."""
    import dspy

    import rtk

    lm = _rtk(settings, "votes")
    program = rtk.SelfConsistency("question -> answer", samples=VOTES)

    def vote(question: str) -> tuple[str, int]:
        with dspy.context(lm=lm):
            found = program(question=question)
        return found.answer, found.vote.votes

    return _votes(settings, vote)


def dspy_vote(settings: Settings) -> bench.Work:
    """`dspy.ChainOfThought` with n=16, and `dspy.majority`."""
    import dspy

    lm, chain = _dspy(settings, "dspy-vote"), dspy.ChainOfThought("question -> answer", n=VOTES)

    def vote(question: str) -> tuple[str, int]:
        with dspy.context(lm=lm):
            found = chain(question=question)
        return dspy.majority(found).answer, len(found.completions)

    return _votes(settings, vote)


def dspy_vote_calls(settings: Settings) -> bench.Work:
    """Sixteen calls of `dspy.ChainOfThought`, and `dspy.majority`."""
    import dspy

    lm, chain = _dspy(settings, "dspy-vote-calls"), dspy.ChainOfThought("question -> answer")

    def vote(question: str) -> tuple[str, int]:
        with dspy.context(lm=lm):
            found = [chain(question=question, config={"rollout_id": i}) for i in range(1, VOTES + 1)]
        return dspy.majority([dict(each) for each in found]).answer, len(found)

    return _votes(settings, vote)


# --- a recording ------------------------------------------------------------------------------------------------------


def recording_read(settings: Settings) -> bench.Work:
    """A recording opened, verified and read."""
    import rtk

    path, n = place(settings, "study.jsonl"), settings["samples"]
    lm = _rtk(settings, "recorded" if settings["fill"] else "nothing")
    asked = prompts(settings, "recorded")

    def read() -> list[str]:
        with rtk.recording(path, mode="record" if settings["fill"] else "replay"):
            return [text for prompt in asked for text in lm(prompt, n=n)]

    return reading(lambda: None, read)


def recording_opened(settings: Settings) -> bench.Work:
    """A recording opened and verified, and not read."""
    import rtk

    load = rtk.recording  # loads its room now, and not within the time

    def work(order: dict[str, Any]) -> Any:
        with load(place(settings, "study.jsonl"), mode="replay") as held:
            found = len(held)
        return {"count": found, "digest": ""}

    return work


def recording_json(settings: Settings) -> bench.Work:
    """Its lines, parsed."""

    def read() -> list[str]:
        with open(place(settings, "study.jsonl"), "rb") as file:
            lines = [json.loads(line) for line in file]
        return [line["sample"]["text"] for line in lines if "sample" in line]

    return reading(lambda: None, read)


CONTENDERS: dict[str, tuple[str, bench.Make]] = {
    "rtk": ("samples", rtk_store),
    "rtk-no-history": ("", rtk_without_history),
    "sqlite": ("copied", sqlite_select),
    "diskcache": ("copied", diskcache_each),
    "dspy-1": ("samples", dspy_each),
    "dspy-n": ("samples", dspy_together),
    "rtk-vote": ("votes", rtk_vote),
    "dspy-vote": ("votes", dspy_vote),
    "dspy-vote-calls": ("votes", dspy_vote_calls),
    "recording": ("recorded", recording_read),
    "recording-opened": ("", recording_opened),
    "recording-json": ("", recording_json),
}
"""By name: what is drawn for it (nothing: it reads what another's run has left), and what it does."""

LABELS = {
    "rtk": "rtk.LM, n=N, from the store", "rtk-no-history": "the same, DSPy's history off",
    "sqlite": "SQLite, a select a request, + JSON", "diskcache": "diskcache, a get a sample, + JSON",
    "dspy-1": "dspy.LM, a call a sample: disk, memory", "dspy-n": "dspy.LM, n=N: disk, memory",
    "rtk-vote": "rtk.SelfConsistency(16)", "dspy-vote": "dspy: chain, n=16, + majority",
    "dspy-vote-calls": "dspy: 16 chains + majority", "recording": "rtk.recording: opened, verified, read",
    "recording-opened": "rtk.recording: opened, verified", "recording-json": "json.loads of its lines",
}  # fmt: skip
TO = {"dspy-1": "DSPy's disk tier, n=1", "dspy-vote-calls": "DSPy's 16 chains", "recording-json": "json.loads"}
LEAVES = {"rtk": ("rtk-no-history", "sqlite", "diskcache"), "recording": ("recording-opened", "recording-json")}


# --- measuring --------------------------------------------------------------------------------------------------------


def fill(server: ModelServer, name: str, settings: Settings) -> dict[str, Any]:
    """Draw for real what a contender is to read; the proof that its passes must give again."""
    kind = CONTENDERS[name][0]
    server.control(form=CHAIN if kind == "votes" else PLAIN)
    with Worker(__file__, name, settings | {"fill": True}) as worker:
        got = worker.ask({})["result"]
        said = server.control()
    due = {"votes": settings["questions"] * VOTES, "recorded": settings["recorded"] * settings["samples"]}
    expected = due.get(kind, settings["requests"] * settings["samples"])
    check(got["count"] == expected, f"{name}: {got['count']} samples are there, not {expected}")
    if kind in ("samples", "recorded", "votes"):
        check(said["samples"] >= expected, f"{name}: the server drew {said['samples']} of {expected} samples")
    return got


def measure(options: Any) -> Figures:
    """The figures."""
    figures, proofs = Figures(), dict[str, dict[str, Any]]()
    names = bench.chosen(options.only, list(CONTENDERS))
    with bench.folder() as environment, ModelServer(words=options.words) as server:
        settings = {
            "environment": environment, "root": server.root, "requests": options.requests, "fill": False,
            "samples": options.samples, "questions": options.questions, "recorded": options.recorded // options.samples,
        }  # fmt: skip
        sources = [name for name in CONTENDERS if name in names or set(LEAVES.get(name, ())) & set(names)]
        for name in (name for name in sources if CONTENDERS[name][0]):
            proofs[name] = fill(server, name, settings)
            proofs |= dict.fromkeys(LEAVES.get(name, ()), proofs[name])
        for _, name in bench.rounds(options.rounds, names):
            figures.add(name, **one_run(server, name, settings, proofs[name], options))
    return figures


def one_run(
    server: ModelServer, name: str, settings: Settings, proof: dict[str, Any], options: Any
) -> dict[str, float]:
    """A fresh process: a cold pass, warm ones, and what it held after each."""
    server.control()
    with Worker(__file__, name, settings) as worker:
        passes = [worker.ask({}) for _ in range(options.passes)]
    check(server.control()["requests"] == 0, f"{name} asked the model while it was to read")
    for each in passes:
        same = {**proof, "digest": each["result"]["digest"] and proof["digest"]}
        check(each["result"] == same, f"{name} read {each['result']}, not {same}")
    rates = [proof["count"] / each["wall"] for each in passes]
    held = [each["rss"] for each in passes]
    later = held[len(held) // 3 :]  # past what is allocated once
    grown = 1000 * (later[-1] - later[0]) / max(1, len(later) - 1)
    return {"cold": rates[0], "warm": bench.middle(rates[1:]) or rates[0], "mb": held[-1], "kb_a_pass": grown,
            "seconds": passes[0]["wall"]}  # fmt: skip


def report(options: Any, figures: Figures) -> Report:
    """The table."""
    told = f"{options.requests} requests of {options.samples} samples, {options.questions} votes of {VOTES}"
    columns = ["reader", "cold samples/s", "warm samples/s", "cold ×", "to", "MB at the end", "KB more a pass"]
    made = Report(
        f"replay_rate: {told}, {options.passes} passes", columns, {k: str(v) for k, v in vars(options).items()}
    )
    against = {name: "dspy-vote-calls" for name in CONTENDERS if "vote" in name}
    against |= {name: "recording-json" for name in CONTENDERS if name.startswith("recording")}
    for name, of in figures.by_name.items():
        to = against.get(name, "dspy-1")
        made.rows.append((
            LABELS[name], bench.spread(of["cold"], ",.0f"), bench.spread(of["warm"], ",.0f"),
            bench.spread(figures.ratios(name, "cold", to)), TO[to],
            f"{bench.middle(of['mb']):.0f}", bench.spread(of["kb_a_pass"], ",.0f"),
        ))  # fmt: skip
    made.notes = [bench.versions(dict.fromkeys(("dspy", "diskcache"), sys.executable))]
    made.goals = goals(figures)
    return made


def goals(figures: Figures) -> list[Goal]:
    """The issue's."""

    def ratio(name: str, to: str, what: str = "cold") -> float | None:
        return bench.middle(figures.ratios(name, what, to))

    def grown(name: str) -> float | None:
        return bench.middle(figures.get(name, "kb_a_pass"))

    return [
        Goal("rtk, n=N cold × DSPy's disk tier at n=1", ratio("rtk", "dspy-1"), 20),
        Goal("rtk, n=N cold × diskcache a sample at a time", ratio("rtk", "diskcache"), 1.7),
        Goal("SelfConsistency(16), cold × DSPy's 16 chains + majority", ratio("rtk-vote", "dspy-vote-calls"), 3),
        Goal("SelfConsistency(16), cold × DSPy's chain, n=16, + majority", ratio("rtk-vote", "dspy-vote"), 3),
        Goal("a recording, time × json.loads", ratio("recording", "recording-json", "seconds"), 2.5, at_most=True),
        Goal("rtk, n=N: KB more a pass", grown("rtk"), 50, at_most=True),
        Goal("SelfConsistency(16): KB more a pass", grown("rtk-vote"), 50, at_most=True),
    ]


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.add_argument("--requests", type=int, default=100, help="to read (%(default)s)")
    parser.add_argument("--samples", type=int, default=100, help="of each request (%(default)s)")
    parser.add_argument("--questions", type=int, default=300, help="to vote on (%(default)s)")
    parser.add_argument("--recorded", type=int, default=10_000, help="samples in the recording (%(default)s)")
    parser.add_argument("--passes", type=int, default=10, help="in a process (%(default)s)")
    parser.add_argument("--words", type=int, default=60, help="in a completion (%(default)s)")
    options = parser.parse_args()
    figures = measure(options)
    bench.conclude(report(options, figures), figures.by_name, options)


if __name__ == "__main__":
    if "--as-worker" in sys.argv:
        bench.serve({name: make for name, (_, make) in CONTENDERS.items()})
    else:
        main()
