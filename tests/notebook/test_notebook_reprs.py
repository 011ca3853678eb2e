"""What a cell shows is the same in every run: a stored output and its replay are compared byte by byte."""

import hashlib
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import dspy
import pytest
from IPython.core.formatters import DisplayFormatter

import rtk
from rtk import answers, budget, deliberation, errors, events, experiments, samples, statistics, strategies, testing
from rtk.experiments import Demo, Optimized, Policy, Route, Routes, Section, Tried, read_program
from rtk.models import Ping, doctor

PLACE = re.compile(r"0x[0-9a-f]{6,}", re.IGNORECASE)
SECRETS = ("sk-secret", "gpu-box", ":8000", "Bearer")
CONNECTION = {"api_key": "sk-secret", "api_base": "http://gpu-box:8000/v1", "headers": {"Authorization": "Bearer x"}}
ELSEWHERE = {"Playground"}  # a control: its room tests what it shows
NEVER_SHOWN = {"TextDisk"}  # diskcache's own affair
CHAINS = [{"reasoning": "r", "answer": 4}, {"reasoning": "s", "answer": 5}, "no idea"]


def agreed(answered):
    """A vote function of a user's own."""
    return answers.vote(answered)


def short(inputs, candidate):
    """A checker of a user's own."""
    return answers.Check(len(candidate) < 9, reason="too long")


class Twice(rtk.Strategy):
    """A strategy of a user's own."""

    drafts = rtk.Setting(2)

    def __init__(self):
        super().__init__()
        self.draft = dspy.ChainOfThought("question -> answer")

    def flow(self, **inputs):
        """Two drafts, the first of which is the answer."""
        return (yield rtk.ask(self.draft, inputs, samples=self.drafts))[0]


class Always(dspy.Module):
    """A user's module."""

    def forward(self, question):
        """The same answer always."""
        return dspy.Prediction(answer="4")


def estimated(vote):
    """A forecast, in which nothing is stored."""
    with dspy.context(lm=rtk.LM("openai/NAME", cache=False, max_tokens=9, **CONNECTION)):
        return vote.estimate(question="?")


def models(folder):
    """Models, their samples, and where these are kept."""
    address = samples.Address("k" * 64, "0/1", 2)
    sample = samples.Sample(address, "text", samples.Usage(3, 4, 0.5, 1.5), versions=(("rtk", "0.1.0"),))
    with rtk.recording(folder / "recording.jsonl") as recording:
        pass
    return {
        "LM": rtk.LM("openai/NAME", store=folder, **CONNECTION),
        "LM.of": rtk.LM.of(dspy.LM("openai/NAME", **CONNECTION), store=folder),
        "copy": rtk.LM("openai/NAME", store=folder, **CONNECTION).copy(temperature=0.2),
        "LinesAdapter": rtk.LinesAdapter(),
        "Ping": Ping("ollama_chat/NAME", True, serves=("NAME",), n=False, seed=True, notes={"n": "a request each"}),
        "Place": doctor.Place("Ollama", "localhost:11434", "not running", "ollama serve"),
        "TextAdapter": rtk.TextAdapter("boxed"),
        "SampleStore": rtk.SampleStore(folder),
        "Recording": recording,
        "Request": samples.Request.of("m", [{"role": "user", "content": "?"}], {"temperature": 1.0, **CONNECTION}),
        "Address": address,
        "Sample": sample,
        "Missing": samples.Missing(address, "timeout", "after 60 s"),
        "Usage": sample.usage,
        "Stream": samples.Stream(1, (0, 2), 3),
        "SampleArrived": events.SampleArrived(sample, reused=True),
        "SamplePart": events.SamplePart(address, "so"),
        "StrategyEvent": events.StrategyEvent("Debate"),
        "VoteMoved": events.VoteMoved("SelfConsistency", "4", 0.75, 4, 5, 8),
        "CandidateScored": events.CandidateScored("BestOfN", 0, 0.5, "fine"),
        "ThoughtScored": events.ThoughtScored("TreeOfThoughts", "2, 4", 0.5, 2),
        "BranchPruned": events.BranchPruned("TreeOfThoughts", "2, 5", "5 is odd", 2),
        "Backtracked": events.Backtracked("TreeOfThoughts", "2", 1),
        "CheckFailed": events.CheckFailed("ChainOfThought", "2 + 2 = 5", "2 + 2 is 4"),
        "BestSoFar": events.BestSoFar("Debate", {"answer": "4"}),
        "BudgetLeft": events.BudgetLeft("Debate", {"calls": 3}, {"calls": 7}),
        "Events": events.Events(),
    }


def values():
    """Budgets, answers, estimates and errors."""
    vote = answers.vote(["4", 4, "5", answers.Abstention("malformed", "no number")])
    limit = rtk.Budget(samples=8, dollars=0.5)
    return {
        "Budget": limit,
        "Spent": rtk.Spent(1, 8),
        "Ceiling": budget.Ceiling(),
        "Cost": budget.Cost(3, 4),
        "Vote": vote,
        "FieldsVote": answers.vote_fields([{"city": "Bonn"}, {"city": "Ulm"}]),
        "Cluster": vote.clusters[0],
        "Abstention": answers.Abstention("empty"),
        "Check": short({}, "4"),
        "Prospect": answers.prospect(vote, 4),
        "Claim": answers.check_arithmetic("2 + 2 = 5")[0],
        "Estimate": statistics.proportion(3, 4),
        "Power": rtk.power(0.1),
        "Discrimination": statistics.auroc([0.5, 0.9], [False, True]),
        "Calibration": statistics.calibration([0.5, 0.9], [True, False], bins=2),
        "BudgetSpent": rtk.BudgetSpent("samples", limit),
        "NotRecorded": rtk.NotRecorded("sample 3 is not recorded", mend="mode='auto' draws it"),
        "SampleError": errors.SampleError("no sample came", mend="ask again", kind="timeout"),
        **{
            name: error("what happened", mend="what to do")
            for name, error in vars(errors).items()
            if isinstance(error, type) and issubclass(error, rtk.RTKError)
        },
    }


def programs():
    """Strategies, their parts, and what they return."""
    task = rtk.tasks.load("hidden_sequence", size=4, seed=0)
    vote = rtk.SelfConsistency("question -> answer: int", samples=3, temperature=0.5)
    pred = testing.play(vote, CHAINS, question="?")
    stopped = testing.play(vote, iter(CHAINS), question="?", budget=rtk.Budget(samples=1))
    places = frozenset(f"{n}:0:0" for n in range(9))
    candidate = strategies.Candidate(0, pred, addresses=places, trace=[(vote, {}, pred)])
    nothing = strategies.Candidate(1, abstention=answers.Abstention("empty"), addresses=places)
    tree = rtk.TreeOfThoughts(task.signature, check=task.check, depth=task.depth)
    levels = [rtk.Retriever([("Where is it?", "Here.")]), "calculator", vote]
    handing = rtk.Cascade(levels, accept=0.9, hand_over=True)
    handed = testing.play(handing, CHAINS, question="Why is it there?")
    lead = {"after": {"2": [{"below": 0.8, "then": "3"}, {"then": "stop"}]}}
    effort = rtk.AdaptiveEffort("question -> answer: int", 2, (3, tree), policy=lead)
    climbed = testing.play(effort, CHAINS, question="?")
    return {
        "Retriever": rtk.Retriever([("Where is it?", "Here."), ("Where is it?", "Here.")]),
        "Task": task,
        "judged task": rtk.tasks.load("brainstorm", size=2).judged_by(agreed),
        "own task": rtk.Task.from_frame([{"question": f"{n}?", "answer": n} for n in range(20)], name="own"),
        "Judge": rtk.tasks.load("brainstorm", size=1).judge,
        "Flaw": rtk.tasks.Flaw(3, "answer", "nothing is there"),
        "examples": task.test,
        "Prediction": pred,
        "stopped": stopped,
        "completions": pred.completions,
        "Deliberation": pred.deliberation,
        "Step": pred.deliberation.root,
        "own step": deliberation.Step("thought", "x", score=0.5),
        "Outcome": rtk.Outcome(pred, used=[candidate]),
        "Setting": vars(Twice)["drafts"],
        "a function as setting": rtk.Setting(agreed),
        "Settings": vote.settings,
        "Forecast": estimated(vote),
        "Span": strategies.Span(3, 8),
        "Strategy": rtk.Strategy(),
        "ChainOfThought": rtk.ChainOfThought("question -> answer"),
        "SelfConsistency": vote,
        "functions": rtk.SelfConsistency(Always(), vote=agreed, comparer=lambda a, b: a == b),
        "a lambda": rtk.SelfConsistency("question -> answer", vote=lambda answered: agreed(answered)),
        "BestOfN": rtk.BestOfN("question -> answer", 3, agreed, threshold=1.0),
        "Endpoint": rtk.Endpoint("http://127.0.0.1:9", model="reward", api_key="sk-secret"),
        "a reward model": rtk.BestOfN("question -> answer", 3, rtk.Endpoint("http://127.0.0.1:9")),
        "Inputs": rtk.Inputs({"question": "?"}, withheld={"answer"}),
        "a judge": rtk.BestOfN(Always(), reward_fn=dspy.Predict("question, answer -> score: float")),
        "TreeOfThoughts": tree,
        "own checker": rtk.TreeOfThoughts("question -> answer", check=short, depth=lambda inputs: 2, proposers=2),
        "SelfRefine": rtk.SelfRefine("question -> answer", ["arithmetic", short], explain=True),
        "explained": testing.play(rtk.SelfRefine("question -> answer", explain="plain"), CHAINS[:1], question="?"),
        "AdaptiveEffort": effort,
        "EffortPolicy": effort.plan,
        "climbed": climbed,
        "rungs": climbed.route,
        "Rung": climbed.route[0],
        "Cascade": handing,
        "a tool": rtk.Cascade([agreed, Always()], signature="question, answered -> answer"),
        "handed over": handed,
        "HandOver": handed.hand_over,
        "route": handed.route,
        "Level": handed.route[0],
        "own": Twice(),
        "nested": rtk.SelfConsistency(Twice()),
        "AskFor": rtk.ask(tree, {"question": "?"}, samples=2),
        "Candidate": candidate,
        "Candidates": strategies.Candidates([candidate, nothing]),
    }


def swept(folder, programs, over=None):
    """Programs on samples that others drew: nothing of it depends on when it is run."""
    answered = {f"What is {n} + {n}?": [2 * n if (n + i) % 3 else "none" for i in range(4)] for n in range(6)}
    table = [
        {"question": question, "text": f"Answer: {answer}", "prompt_tokens": 9, "tokens": 5, "seconds": 0.5}
        for question, given in answered.items()
        for answer in given
    ]
    examples = [
        dspy.Example(question=f"What is {n} + {n}?", answer=str(2 * n)).with_inputs("question") for n in range(6)
    ]
    store = rtk.SampleStore(folder / "theirs")
    store.ingest(table, "openai/NAME")
    lm = rtk.LM("openai/NAME", store=store, params=1e9, **CONNECTION)
    with dspy.context(lm=lm, adapter=rtk.TextAdapter()):
        return rtk.sweep(programs, examples, over, metric=lambda example, pred: pred.answer == example.answer)


def allotted(folder):
    """A budget over two questions, on samples that others drew."""
    store = rtk.SampleStore(folder / "shared")
    store.ingest(
        [{"question": question, "text": f"Answer: {answer}"} for question in "ab" for answer in ("<b>4</b>", 5, 5)],
        "openai/NAME",
    )
    with dspy.context(lm=rtk.LM("openai/NAME", store=store, **CONNECTION), adapter=rtk.TextAdapter()):
        vote = rtk.SelfConsistency("question -> answer", samples=3)
        return rtk.allocate(vote, [{"question": "a"}, {"question": "b"}, {"question": "b"}], 3, progress=None)


def studies(folder):
    """Results of sweeps, and what can be asked of them."""
    vote, chain = rtk.SelfConsistency("question -> answer", samples=4), dspy.ChainOfThought("question -> answer")
    found = swept(folder, {"vote": vote, "chain": chain}, {"samples": [1, 2, 4]})
    tried, about = Tried(vote, 0.5, 4), {"name": "sums"}
    interrupted = Optimized(vote, vote, None, rtk.Spent(), 0.0, [tried], "interrupted", "SIMBA", {}, about)
    both = swept(folder, {"before": chain, "after": vote})
    share = statistics.proportion(3, 4)
    route = Route("cascade", "easy", "faq", 3, share, share, 0.0, 1.5, 20.0, None)
    return {
        "Results": found,
        "Records": found.task,
        "Setting of a sweep": found.settings[0],
        "Summary": found.summary(),
        "Contrast": found.compare({"samples": 1}, {"samples": 4}),
        "Contrasts": found.compare(),
        "Frontier": found.frontier("tokens"),
        "Matched": found.matched("flops"),
        "Replicated": found.replicated(),
        "Latency": found.latency(4),
        "Curve": found.curve(),
        "Replayed": found.replay(samples=[2, 4], stop=[None, "beta"]),
        "Policy": Policy(8, stop="beta"),
        "Route": route,
        "Allocated": allotted(folder),
        "Routes": Routes((route,), found.task),
        "Difficulty": found.by_difficulty(),
        "Reliability": found.calibration(),
        "Failures": found.failures(),
        "Grid": found.grid(),
        "Section": Section("Cost", [found.frontier("tokens")]),
        "Demo": Demo({"sums": found}),
        "interrupted": interrupted,
        "Optimized": Optimized(chain, vote, both, rtk.Spent(), 0.0, [tried], None, "SIMBA", {}, about),
        "Tried": tried,
        "PromptDiff": interrupted.diff(),
        "SavedProgram": read_program(interrupted.save(folder / "program.json")),
    }


def servers():
    """What tests are made of."""
    received = []
    testing.play(rtk.ChainOfThought("question -> answer"), lambda one: received.append(one) or CHAINS[0], question="?")
    with testing.ScriptedServer("yes", api_key="sk-secret") as server:
        assert server.url.rpartition(":")[2].removesuffix("/v1") not in repr(server)
    return {
        "ScriptedServer": server,
        "Reply": testing.Reply("4", delay=1.5),
        "Received": received[0],
        "Faults": testing.faults({"2+2": "4"}, 0.1, kinds=("500",), seed=3),
    }


def everything(folder):
    """One of every public object."""
    return {**models(folder), **values(), **programs(), **studies(folder), **servers()}


def shown(thing):
    """All ways in which a cell, a traceback or a print shows a thing; of a picture its digest."""
    page = DisplayFormatter().format(thing)[0]
    drawn = {kind: hashlib.sha256(value).hexdigest() for kind, value in page.items() if isinstance(value, bytes)}
    return {"repr": repr(thing), "str": str(thing), **page, **drawn}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def told(folder):
    return {name: shown(thing) for name, thing in everything(folder).items()}


def test_nothing_shows_its_place_in_memory(told):
    """Neither repr, str nor a page holds what Python shows of an object that has no repr."""
    assert {name: ways for name, ways in told.items() if PLACE.search(json.dumps(ways))} == {}


def test_what_is_built_twice_is_shown_the_same(told, folder):
    """The same content is the same text and the same page."""
    again = {name: shown(thing) for name, thing in everything(folder).items()}
    assert {name for name in told if told[name] != again[name]} == set()


def test_another_process_shows_the_same(told, folder):
    """Nothing is shown in the order of a set, which is another one in each process."""
    code = (
        "import json, sys, test_notebook_reprs as here; from pathlib import Path;"
        "print(json.dumps({name: here.shown(one) for name, one in here.everything(Path(sys.argv[1])).items()}))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert {name for name in told if json.loads(json.dumps(told[name])) != again[name]} == set()


def test_nothing_shows_a_key_or_an_endpoint(told):
    """What is shown can be published: no key, no header, no address of a server."""
    found = {name: ways for name, ways in told.items() if any(secret in json.dumps(ways) for secret in SECRETS)}
    assert found == {}


def test_one_is_told_from_another(told):
    """A repr names its class, or the call that made it, and says what tells it from others."""
    reprs = {name: ways["repr"] for name, ways in told.items()}
    assert reprs["SelfConsistency"] == (
        "SelfConsistency(samples=3, vote='majority', comparer='auto', temperature=0.5, "
        "chain.predict='question -> reasoning, answer')"
    )
    assert reprs["functions"].startswith("SelfConsistency(samples=8, vote=<function agreed>, comparer=<function ")
    assert reprs["own"] == "Twice(drafts=2, draft.predict='question -> reasoning, answer')"
    assert reprs["Candidates"] == f"[{reprs['Candidate']}, Candidate(1, Abstention(kind='empty', reason=''))]"
    assert (reprs["Setting"], reprs["a function as setting"]) == ("Setting(2)", "Setting(<function agreed>)")
    assert (reprs["LinesAdapter"], reprs["TextAdapter"]) == ("LinesAdapter()", "TextAdapter('boxed')")
    assert reprs["ScriptedServer"] == "ScriptedServer(wire='openai')"
    assert reprs["Faults"] == "Faults(rate=0.1, kinds=('500',), seed=3, permanent=0.0)"


def test_demonstrations_are_counted():
    """A compiled program is told from the one that it was made of."""
    program = rtk.ChainOfThought("question -> answer")
    program.predict.demos = [dspy.Example(question="1+1", reasoning="r", answer="2")] * 4
    assert repr(program) == "ChainOfThought(predict='question -> reasoning, answer' with 4 demos)"


def test_every_public_class_is_shown_here(folder):
    """Whatever rtk offers is built above, so that a new class is looked at."""
    built = {kind.__name__ for thing in everything(folder).values() for kind in type(thing).__mro__}
    rooms = (rtk, experiments)
    offered = {name for room in rooms for name in room.__all__ if isinstance(getattr(room, name), type)}
    assert sorted(offered - built - ELSEWHERE) == []


@pytest.mark.parametrize("room", [found.name for found in pkgutil.iter_modules(rtk.__path__)])
def test_no_class_is_shown_as_python_shows_what_has_no_repr(room):
    """Every class that a room offers has a repr, its own or an inherited one."""
    module = importlib.import_module(f"rtk.{room}")
    listed = [getattr(module, name) for name in getattr(module, "__all__", ()) if name not in NEVER_SHOWN]
    classes = [one for one in listed if isinstance(one, type) and not getattr(one, "_is_protocol", False)]
    assert [one.__name__ for one in classes if one.__repr__ is object.__repr__] == []
