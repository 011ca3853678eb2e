"""The benchmarks: their commands answer, run small, count rightly, and refuse to measure what was not done."""

import json
import urllib.request

import pytest
from running import run

COMMANDS = (
    "adaptive_stop",
    "allocate",
    "cascade",
    "claims",
    "draw_rate",
    "effort",
    "embedded_rate",
    "import_time",
    "interval_coverage",
    "optimize",
    "overhead",
    "replay_rate",
    "self_refine",
    "sweep_cost",
    "top_up",
    "torture",
    "tree_search",
    "tree_wall_clock",
)


def ask(server, **body):
    asked = {"model": "any", "messages": [{"role": "user", "content": "?"}], **body}
    with urllib.request.urlopen(f"{server.root}/v1/chat/completions", json.dumps(asked).encode(), timeout=10) as reply:
        return [choice["message"]["content"] for choice in json.load(reply)["choices"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_benchmark_says_what_it_measures(command):
    """Every command's help tells what is measured, against whom, and the goals."""
    told = run(command, "--help")
    assert all(word in told for word in ("Measured:", "Contenders", "Goal", "--json", "--rounds"))


def test_the_model_server_counts_what_it_generates():
    """Samples are counted and remembered whether or not they arrive, no two of them alike."""
    from model_server import ModelServer, digest

    with ModelServer(cut_every=2) as server:
        texts = ask(server, n=3)
        with pytest.raises(Exception, match="IncompleteRead"):
            ask(server)
        told = server.control()
    assert len(set(texts)) == 3
    assert (told["requests"], told["samples"], told["lost"], told["peak"]) == (2, 4, 1, 1)
    assert told["digest"] != digest(texts)


def test_the_model_server_may_ignore_n():
    """Set to one choice a request, it gives one whatever n says."""
    from model_server import ModelServer

    with ModelServer(honours_n=False) as server:
        assert len(ask(server, n=3)) == 1


@pytest.mark.parametrize("wrong", [{"count": 1}, {"digest": "other"}, {"stored": "other"}])
def test_a_fake_is_not_measured(wrong):
    """A run whose texts or store are not what the server sent ends the benchmark."""
    import bench
    import draw_rate

    said = {"samples": 2, "digest": "d", "peak": 1, "requests": 2, "cpu": 0.0}
    proof = {"count": 2, "digest": "d", "stored": "d"} | wrong
    options = type("Options", (), {"concurrency": 1, "samples": 2, "prompt_words": 0})
    server = type("Server", (), {"control": lambda self: said})()
    worker = type("Worker", (), {"name": "x", "ask": lambda self, order: {"wall": 1.0, "cpu": 1.0, "result": proof}})()
    with pytest.raises(bench.Fake):
        draw_rate.one_run(server, worker, options, "round 0")


@pytest.mark.slow
def test_drawing_is_measured_end_to_end(tmp_path):
    """A small run gives a figure for every contender asked, in the table and in the file."""
    file = tmp_path / "figures.json"
    told = run("draw_rate", "--samples", "40", "--concurrency", "8", "--latency", "0", "--rounds", "1",
               "--only", "raw", "aiohttp", "rtk", "rtk-ollama", "--json", str(file))  # fmt: skip
    figures = json.loads(file.read_text())["figures"]
    assert set(figures) == {"raw", "aiohttp", "rtk", "rtk-ollama"}
    assert all(of["wall"][0] > 0 and of["requests"] == [40] for of in figures.values())
    assert "rtk.LM, Ollama's wire" in told


@pytest.mark.slow
def test_topping_up_draws_what_is_missing():
    """Ours draws 2 + 2 + 12 + 0 + 0 + 0 in one process, whichever way it is asked."""
    told = run("top_up", "--only", "rtk", "--latency", "0")
    assert "✓ rtk, sync, one process" in told
    assert "✓ rtk, async, one process" in told


@pytest.mark.slow
def test_reading_back_is_measured_end_to_end():
    """A small run reads what was drawn, and asks the model nothing while it reads."""
    small = ("--requests", "2", "--samples", "10", "--questions", "2", "--recorded", "20")
    only = ("rtk", "sqlite", "rtk-vote", "recording", "recording-json")
    told = run("replay_rate", "--only", *only, *small, "--rounds", "1", "--passes", "2")
    assert all(label in told for label in ("rtk.SelfConsistency(16)", "opened, verified, read", "SQLite"))


@pytest.mark.slow
def test_a_sweep_is_measured_end_to_end(tmp_path):
    """A small run: a sweep says of each row what `dspy.Evaluate` does, and asks the model nothing."""
    file = tmp_path / "figures.json"
    told = run("sweep_cost", "--sizes", "20", "40", "--json", str(file))
    figures = json.loads(file.read_text())["figures"]
    assert set(figures) == {"20", "40"}
    assert all(len(of) == 6 and all(one["rate"][0] > 0 for one in of.values()) for of in figures.values())
    assert "votes: rtk.sweep" in told


@pytest.mark.slow
def test_stopping_is_measured_end_to_end(tmp_path):
    """A small run: ours stops where the published rule does, in fewer rounds, whatever the concurrency."""
    file = tmp_path / "figures.json"
    told = run("adaptive_stop", "--no-model", "--questions", "3", "--samples", "12", "--orders", "2",
               "--only", "fixed", "beta-published", "beta", "oracle", "--json", str(file))  # fmt: skip
    found = json.loads(file.read_text())["figures"]["matrices"]["made up"]
    assert found["beta"]["samples"] == found["beta-published"]["samples"] < found["fixed"]["samples"] == 12
    assert found["beta"]["rounds"] < found["beta-published"]["rounds"]
    assert found["oracle"]["same"] == 1.0
    assert "✓ live, 64 at once" in told


@pytest.mark.slow
def test_allocating_is_measured_end_to_end(tmp_path):
    """A small run: nobody spends more than there is, and nothing beats the oracle, which knows the answers."""
    file = tmp_path / "figures.json"
    told = run("allocate", "--quick", "--json", str(file))
    worlds = json.loads(file.read_text())["figures"]
    assert set(worlds) == {"made up", "long tail", "half hopeless", "close"}
    for of in worlds.values():
        assert set(of) == {"uniform", "allocate", "margin", "beta", "oracle"}
        assert all(sum(of[name][each]) <= sum(of["oracle"][each]) for name in of for each in of["oracle"])
    assert "allocate − uniform" in told


def test_what_an_lm_was_asked_is_asked_bare_once():
    """Requests that are the same are one draw of all their samples; what was asked side by side is a round."""
    import overhead

    class Counting:
        def __init__(self):
            self.calls = []

        def __call__(self, n=1, **given):
            self.calls.append((given["messages"], n, "alone"))
            return ["text"] * n

        async def acall(self, n=1, **given):
            self.calls.append((given["messages"], n, "together"))
            return ["text"] * n

    requests, lm = overhead.Requests(), Counting()
    for call, (messages, samples) in enumerate([("a", 4), ("a", 2)]):  # two waves
        requests.start(call, {"prompt": None, "messages": messages, "kwargs": {}})
        requests.end(call, samples)
    for call in ("b", "c"):
        requests.start(call, {"prompt": None, "messages": call, "kwargs": {}})
    for call in ("b", "c"):
        requests.end(call, 1)
    assert requests.draw(lm) == 8
    assert lm.calls == [("a", 6, "alone"), ("b", 1, "together"), ("c", 1, "together")]


@pytest.mark.slow
def test_overhead_is_measured_end_to_end(tmp_path):
    """A small run: the server counted every sample, none while the store was read; each figure has its measure."""
    file = tmp_path / "figures.json"
    told = run("overhead", "--quick", "--only", "predict", "vote-8-beta", "dfs", "--json", str(file))
    figures = json.loads(file.read_text())["figures"]
    assert set(figures) == {"predict", "vote-8-beta", "dfs"}
    assert all(
        of[f"bare {how}"][0] > 0 and of[f"beside {how}"] for of in figures.values() for how in ("live", "stored")
    )
    assert figures["predict"]["samples"] == [1.0]
    assert figures["vote-8-beta"]["samples"][0] > 1
    assert "rtk.TreeOfThoughts, dfs: CPU above bare" in told


def test_what_teaches_a_critic_is_one_miscalculation():
    """A result is wrong, what follows rests on it, and the demonstrations are the prompts of runs that mended it."""
    import dspy
    import self_refine

    import rtk

    worked = dspy.Example(reasoning="7 + 4 = 11. 11 × 8 = 88.", answer="88")
    wrong = self_refine.miscalculated(worked, 0, 1)
    assert wrong == {"reasoning": "7 + 4 = 12. 12 × 8 = 96.", "answer": "96"}
    task = rtk.tasks.load("hidden_sequence", size=2)
    program = self_refine.programs(task, 2)["refine, critique"]
    assert [demo.passes for demo in program.critic.demos] == [False, True, False, True]
    assert all(" is wrong: " in demo.finding for demo in program.revise.demos)


@pytest.mark.slow
def test_effort_is_measured_end_to_end(tmp_path):
    """A small run: what is learned costs less than all effort, and the oracle is right where all samples are."""
    file = tmp_path / "figures.json"
    told = run("effort", "--quick", "--json", str(file))
    found = json.loads(file.read_text())["figures"]
    assert set(found) == {"mixed", "alike", "all"}
    for of in found.values():
        assert sum(of["effort, within 4"]["samples"]) < 12 * len(of["beta"]["samples"])
        assert sum(of["oracle"]["samples"]) <= min(sum(of[name]["samples"]) for name in ("beta", "window", "horizon"))
        assert of["oracle"]["scores"] == pytest.approx(of["window"]["scores"], abs=0.5)
    assert "all: within 1 point, samples × beta's" in told
