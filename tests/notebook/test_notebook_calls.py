"""Every public call of rtk in a cell, where an event loop is running: as a line of the cell, and inside a coroutine."""

import textwrap

import pytest
from kernel import Kernel

import rtk
from rtk.testing import ScriptedServer

SET_UP = """
import dspy, rtk
lm = rtk.LM("openai/scripted", api_base={url!r}, api_key="any", store={store!r}, max_tokens=50)
dspy.configure(lm=lm, adapter=rtk.LinesAdapter())
task = rtk.tasks.load("arithmetic", size=4)
ask = {{"question": "What is 2 + 2?"}}
"""
REPLY = "reasoning: 2 + 2 = 4\nanswer: 4\nthought: 4\nanalysis: fine\nverdict: sure"

CALLS = {
    "AdaptiveEffort": (
        'effort = rtk.AdaptiveEffort("question -> answer: int", 1, [2])\n'
        "effort.calibrate(task).why, effort(**ask).answer, str(effort.plan)"
    ),
    "Cascade": (
        'levels = {"faq": rtk.Retriever([("Where?", "Here.")]), "deep": "question -> answer"}\n'
        "said = rtk.Cascade(levels, hand_over=True, accept=0.9)(question='Where?')\n"
        "said.answer, str(said.route), rtk.Cascade(levels)(**ask).answer"
    ),
    "Retriever": 'rtk.Retriever([("Where?", "Here.")])(question="Where?").answer',
    "SelfRefine": 'rtk.SelfRefine("question -> answer: int", explain="plain")(**ask).explanation',
    "aallocate": (
        "import asyncio\n"
        'begun = asyncio.ensure_future(rtk.aallocate(rtk.SelfConsistency("question -> answer: int"), task, 20))\n'
        "begun.done()"
    ),
    "allocate": 'rtk.allocate(rtk.SelfConsistency("question -> answer: int", 4), task, 20).to_frame()',
    "Endpoint": (
        "with rtk.testing.ScriptedServer('0.5', wire='vllm-score') as server:\n"
        "    score = rtk.Endpoint(server.url, cache=False)(question='?', answer='4').score\n"
        "score"
    ),
    "Inputs": "dict(rtk.Inputs({'question': '?'}, withheld={'answer'}))",
    "LM": (
        'rtk.LM.of(dspy.utils.DummyLM([{"answer": "4"}]), cache=False)("hello", n=1) and len(lm("hello", n=3))\n'
        "lm.ping().answers"
    ),
    "BestOfN": 'rtk.BestOfN("question -> answer: int", 3, lambda inputs, pred: pred.answer)(**ask).answer',
    "Budget": 'with rtk.Budget(samples=2) as budget: lm("hi", n=1)\nbudget.spent.samples',
    "BudgetSpent": 'try:\n    with rtk.Budget(samples=0): lm("hi")\nexcept rtk.BudgetSpent as over: over.limit\n1',
    "ChainOfThought": 'rtk.ChainOfThought("question -> answer: int")(**ask).answer',
    "Deliberation": 'len(rtk.ChainOfThought("question -> answer")(**ask).deliberation.html()) > 0',
    "LinesAdapter": 'with dspy.context(adapter=rtk.LinesAdapter()): dspy.Predict("question -> answer")(**ask)\n1',
    "NotRecorded": (
        'with rtk.recording("empty.jsonl") as made: lm("kept")\n'
        'try:\n    with rtk.recording("empty.jsonl", mode="replay"): lm("never asked")\n'
        "except rtk.NotRecorded as error: len(str(error))\n1"
    ),
    "Outcome": "rtk.Outcome(dspy.Prediction(answer=4)).prediction.answer",
    "Playground": "board = rtk.Playground(task=task); board.run(); board.wait(60), board.prediction.answer",
    "Prediction": "isinstance(rtk.ChainOfThought('question -> answer')(**ask), rtk.Prediction)",
    "Results": (
        'found = rtk.sweep(rtk.SelfConsistency("question -> answer: int"), task, {"samples": [1, 2]})\n'
        'found.save("kept-results"); again = rtk.Results.load("kept-results")\n'
        "again.replay(samples=[1, 2]).to_frame(), again.frontier('tokens').rows(), again.grid(), again.failures()\n"
        'again.report("study.html"); repr(again) == repr(found)'
    ),
    "RTKError": "try: rtk.LM('')\nexcept rtk.RTKError as error: error.mend\n1",
    "Recording": 'with rtk.recording("kept.jsonl") as made: lm("kept")\nlen(made), isinstance(made, rtk.Recording)',
    "SampleError": (
        "class Broken(dspy.BaseLM):\n"
        "    def forward(self, prompt=None, messages=None, **kwargs): raise dspy.utils.exceptions.LMError('no')\n"
        "try: rtk.LM.of(Broken('m'), cache=False)('?')\nexcept rtk.SampleError as error: error.kind, error.arrived\n1"
    ),
    "SampleStore": "rtk.SampleStore(lm.store.path).count() >= 0",
    "SelfConsistency": 'rtk.SelfConsistency("question -> answer: int", samples=4)(**ask).vote.winner',
    "Setting": "class S(rtk.Strategy):\n    wide = rtk.Setting(2)\nS().wide",
    "Spent": 'rtk.ChainOfThought("question -> answer")(**ask).spent.samples',
    "Strategy": (
        "class Twice(rtk.Strategy):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        '        self.draft = dspy.ChainOfThought("question -> answer: int")\n'
        "    def flow(self, **inputs):\n"
        "        return (yield rtk.ask(self.draft, inputs, samples=2))[1]\n"
        "Twice()(**ask).answer"
    ),
    "Task": (
        'own = rtk.Task.from_frame([{"question": f"{n} + {n}?", "answer": 2 * n} for n in range(40)])\n'
        'ideas = rtk.tasks.load("brainstorm", size=2).judged_by(lambda question, answer: 7)\n'
        "own.answer_type, own.metric(own.test[0], {'answer': own.test[0].answer}), ideas.metric(ideas.test[0], 'a')"
    ),
    "TextAdapter": 'with dspy.context(adapter=rtk.TextAdapter()): dspy.Predict("question -> answer")(**ask)\n1',
    "TreeOfThoughts": 'rtk.TreeOfThoughts("question -> answer: int", depth=1)(**ask).answer',
    "asweep": (
        "import asyncio\n"
        'begun = asyncio.ensure_future(rtk.asweep(rtk.SelfConsistency("question -> answer: int", samples=2), task))\n'
        "begun.done()"
    ),
    "answers": 'rtk.answers.vote(["4", "4", "5"]).winner',
    "ask": "rtk.ask(dspy.Predict('question -> answer'), ask, samples=2).samples",
    "errors": "issubclass(rtk.errors.RecordingError, rtk.RTKError)",
    "events": (
        "with rtk.watch(only=rtk.events.VoteMoved) as seen: rtk.SelfConsistency('question -> answer: int', 3)(**ask)\n"
        "list(seen)[-1].votes"
    ),
    "experiments": (
        'vote = rtk.experiments.program("self-consistency", task, samples=2, shots=1)\n'
        "found = rtk.experiments.sweep(vote, task, {'samples': [1, 2]})\n"
        "found.compare({'samples': 1}, {'samples': 2}).difference.value, len(found.curve().rows())"
    ),
    "power": "rtk.power(0.2).questions, rtk.power(questions=100).difference",
    "optimize": (
        'found = rtk.optimize(rtk.ChainOfThought("question -> answer: int"), task, "bootstrap", max_labeled_demos=2)\n'
        "found.verdict, found.diff().changed, found.after['questions']"
    ),
    "recording": 'standing = rtk.recording("standing.jsonl"); lm("kept"); standing.stop(); len(standing)',
    "replicate": 'with rtk.replicate(1): lm("hi", n=2)\n1',
    "statistics": "rtk.statistics.proportion(3, 4).value",
    "sweep": (
        'both = {"a": rtk.ChainOfThought("question -> answer: int"), "b": dspy.Predict("question -> answer: int")}\n'
        "found = rtk.sweep(both, task, replicates=2)\n"
        "found.summary().rows(), found.compare().pairs[0].difference, found.replicated().rows(), found.latency().rows()"
    ),
    "tasks": 'rtk.tasks.load("hidden_sequence", size=3).test[0].answer',
    "testing": (
        'replies = [{"reasoning": "r", "answer": "4"}]\n'
        'said = rtk.testing.play(rtk.ChainOfThought("question -> answer"), replies, question="?").answer\n'
        'with rtk.testing.ScriptedServer("hello") as server:\n'
        '    told = rtk.LM("openai/scripted", api_base=server.url, api_key="k", cache=False)("hi")\n'
        "said, told"
    ),
    "watch": 'seen = []\nwith rtk.watch(seen.append): lm("watched", n=2)\nlen(seen)',
}
AWAITED = {
    "AdaptiveEffort": (
        'effort = rtk.AdaptiveEffort("question -> answer: int", 1, [2])\n'
        "(await effort.acalibrate(task)).why, (await effort.acall(**ask)).answer"
    ),
    "Cascade": '(await rtk.Cascade({"deep": "question -> answer"}).acall(**ask)).answer',
    "SelfRefine": '(await rtk.SelfRefine("question -> answer: int").acall(**ask)).answer',
    "allocate": 'len(await rtk.aallocate(rtk.SelfConsistency("question -> answer: int", 4), task, 20))',
    "LM": 'len(await lm.acall("hello", n=3)), (await lm.aping()).answers',
    "BestOfN": '(await rtk.BestOfN("question -> answer: int", 3, lambda _, pred: pred.answer).acall(**ask)).answer',
    "ChainOfThought": '(await rtk.ChainOfThought("question -> answer: int").acall(**ask)).answer',
    "SelfConsistency": '(await rtk.SelfConsistency("question -> answer: int", samples=4).acall(**ask)).vote.winner',
    "TreeOfThoughts": '(await rtk.TreeOfThoughts("question -> answer: int", depth=1).acall(**ask)).answer',
    "asweep": (
        'found = await rtk.asweep(rtk.SelfConsistency("question -> answer: int"), task, {"samples": [1, 2]})\n'
        "len(found.rows()), found.by_difficulty().rows(), found.calibration().rows()"
    ),
    "events": (
        "with rtk.watch() as seen:\n"
        "    async for event in seen.of(rtk.ChainOfThought('question -> answer: int').acall(**ask)): pass\n"
        "seen.result.answer"
    ),
    "recording": 'with rtk.recording("awaited.jsonl") as made: await lm.acall("kept")\nlen(made)',
    "Budget": 'with rtk.Budget(samples=2) as budget: await lm.acall("hi", n=1)\nbudget.spent.samples',
    "optimizer": (
        "optimizer = dspy.BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=1, max_labeled_demos=0)\n"
        'len(optimizer.compile(rtk.ChainOfThought("question -> answer: int"), trainset=task.dev).predict.demos)'
    ),
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel whose model answers everything alike."""
    folder = tmp_path_factory.mktemp("calls")
    with ScriptedServer(REPLY) as server, Kernel(folder) as running:
        running.run(SET_UP.format(url=server.url, store=str(folder / "samples")))
        yield running


def test_no_public_name_is_left_out():
    """The table below calls every public name of rtk."""
    assert sorted(CALLS) == sorted(rtk.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_it_works_as_a_line_of_a_cell(kernel, name):
    """Called plainly in a cell, while the kernel's own loop runs."""
    kernel.run(CALLS[name])


@pytest.mark.parametrize("name", CALLS)
def test_it_works_inside_a_coroutine(kernel, name):
    """Called without await from a coroutine that the cell awaits: the loop is busy with this very call."""
    body = textwrap.indent(CALLS[name], "    ")
    kernel.run(f"async def inside():\n{body}\nawait inside()")


@pytest.mark.parametrize("name", AWAITED)
def test_it_is_awaited_in_a_cell(kernel, name):
    """The async twin, awaited at the top of a cell."""
    kernel.run(AWAITED[name])
